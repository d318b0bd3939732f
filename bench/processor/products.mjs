// Products of frozen bf16 weights in each of our ways of making them (QWEN_PT_PRODUCTS), beside this machine's float32
// products: rates of forward and input's gradient at the shapes of Qwen3-0.6B, 1,024 tokens, and errors against float64
// beside bf16's own.
//   node bench/processor/products.mjs [--quick]
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { multipliesBf16, processorHere } from "../harness/processor.mjs";
import { child, table } from "../harness/subject.mjs";

/**
 * QWEN_PT_PRODUCTS: integers of 16 bits; packed pairs of bfloat16, where the processor multiplies those; panels of the
 * weight widened to float32; libtorch's own bf16 product.
 */
const MODES = ["int16", "packed", "panels", "native"];

/** `count`: how many a model of 28 layers has. The head is multiplied a chunk of rows at a time. */
const SHAPES = [
  { name: "q", inner: 1024, outer: 2048, count: 28 },
  { name: "k, v", inner: 1024, outer: 1024, count: 56 },
  { name: "o", inner: 2048, outer: 1024, count: 28 },
  { name: "gate, up", inner: 1024, outer: 3072, count: 56 },
  { name: "down", inner: 3072, outer: 1024, count: 28 },
  { name: "head", inner: 1024, outer: 151_936, count: 1, rows: 440 },
];

/** Time of all products of a block of 1,024 tokens, at the rates of a mode and at float32's: the ratio over the model. */
function overModel(shapes) {
  const total = (field) =>
    shapes.reduce((sum, one, at) => {
      const { inner, outer, count } = SHAPES[at];
      const work = (2 * 1024 * inner * outer * count) / 1e9;
      return sum + work / one.forward[field] + work / one.gradient[field];
    }, 0);
  return total("float32") / total("rate");
}

/**
 * The section `products` of the bench.
 * @param {{processor: string, quick?: boolean}} options `quick`: fewer pairs
 */
export async function run({ processor, quick = false }) {
  const modes = {};
  for (const mode of MODES) {
    if (mode === "packed" && !multipliesBf16(processor)) continue;
    process.stderr.write(`products: ${mode}\n`);
    // libtorch's own head would take minutes for each product where there is no bf16 arithmetic
    const shapes =
      mode === "native" && !multipliesBf16(processor) ? SHAPES.filter(({ name }) => name !== "head") : SHAPES;
    const options = {
      mode,
      shapes,
      rounds: quick || (mode === "native" && !multipliesBf16(processor)) ? 3 : 9,
    };
    const measured = child("programs/products_mode.mjs", [JSON.stringify(options)]);
    modes[mode] = { shapes: measured, overModel: overModel(measured) };
    print(mode, modes[mode]);
  }
  return { modes };
}

function print(mode, { shapes, overModel: ratio }) {
  const share = ({ added, bf16 }) => (added / bf16).toFixed(2);
  table([
    [
      `${mode}: a weight of`,
      "GFLOP/s forward",
      "/ float32",
      "gradient",
      "/ float32",
      "added error / bf16's",
      "gradient's",
      "with outliers",
      "gradient's",
    ],
    ...shapes.map((one) => [
      one.name,
      one.forward.rate.toFixed(one.forward.rate < 10 ? 2 : 0),
      one.forward.ratio.toFixed(2),
      one.gradient.rate.toFixed(one.gradient.rate < 10 ? 2 : 0),
      one.gradient.ratio.toFixed(2),
      share(one.errors.forward),
      share(one.errors.gradient),
      share(one.errorsWithOutliers.forward),
      share(one.errorsWithOutliers.gradient),
    ]),
  ]);
  console.log(`over the model: ${ratio.toFixed(2)} times float32's rate\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
  await run({ processor: await processorHere(), quick: values.quick });
}
