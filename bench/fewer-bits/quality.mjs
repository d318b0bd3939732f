// What the ways of making products do to what is learned: held-out loss after 200 LoRA steps of the embedded model on the
// essays, in bf16 by each way, and with the frozen layers in 8-bit integers, against float32 from the same weights, over
// three seeds. The adapter is scored over the original weights. `curve`: how far a mean of ten steps' training losses is
// from float32's at most.
//   node bench/fewer-bits/quality.mjs [--quick]
// A bench that was interrupted goes on: a training that is finished is not run again.
import { mkdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Rows } from "../harness/rows.mjs";
import { child, root, table } from "../harness/subject.mjs";
import { ensureFloat32 } from "../programs/float32_model.mjs";

/** What each sets beside bf16: what multiplies the frozen weights, and the recipe's keys. */
const WAYS = {
  panels: { products: "panels" },
  int16: { products: "int16" },
  int8: { products: "int16", keys: { quantization_compute: "int8" } },
};
const MODES = Object.keys(WAYS);
const SEEDS = [1, 2, 3];

/**
 * The section `quality` of the bench.
 * @param {{folder: string, quick?: boolean}} options `quick`: one seed, 20 steps
 */
export async function run({ folder, quick = false }) {
  mkdirSync(folder, { recursive: true });
  const bf16 = path.join(root, "examples", "model");
  const float32 = ensureFloat32(bf16, path.join(folder, "embedded-float32"));
  const steps = quick ? 20 : 200;
  const rows = new Rows(folder, "quality", { quick });
  const trained = (model, seed, mode) =>
    rows.row(`${mode ?? "float32"}, seed ${seed}`, () => trainOne(model, seed, mode));
  const trainOne = (model, seed, mode) => {
    process.stderr.write(`quality: seed ${seed}, ${mode ?? "float32"}\n`);
    const options = {
      model,
      exact: float32,
      data: path.join(root, "examples", "data"),
      output: path.join(folder, "out-quality", mode ?? "float32"),
      seed,
      steps,
      bf16: mode !== undefined,
      keys: WAYS[mode]?.keys ?? {},
    };
    // layers this small gain nothing from a second thread, and one thread always sums in the same order
    const env = { QWEN_PT_PRODUCTS: WAYS[mode]?.products, OMP_NUM_THREADS: "1" };
    return child("programs/quality_run.mjs", [JSON.stringify(options)], env);
  };
  const lines = [];
  const seeds = quick ? SEEDS.slice(0, 1) : SEEDS;
  for (const seed of seeds) {
    const { loss: base, curve: baseCurve } = await trained(float32, seed);
    const line = { seed, float32: base };
    for (const mode of MODES) {
      const { loss, exactLoss, curve } = await trained(bf16, seed, mode);
      const apart = Math.max(...curve.map((value, i) => Math.abs(value / baseCurve[i] - 1)));
      const differences = { difference: loss / base - 1, exactDifference: exactLoss / base - 1 };
      line[mode] = { loss, ...differences, curve: apart };
    }
    lines.push(line);
  }
  print(lines);
  rows.clear();
  return { steps, lines };
}

function print(lines) {
  const percent = (value) => `${(100 * value).toFixed(3)} %`;
  table([
    ["seed", "float32", ...MODES.flatMap((mode) => [mode, "relatively", "its adapter in float32", "curve"])],
    ...lines.map((line) => [
      line.seed,
      line.float32.toFixed(5),
      ...MODES.flatMap((mode) => [
        line[mode].loss.toFixed(5),
        percent(line[mode].difference),
        percent(line[mode].exactDifference),
        percent(line[mode].curve),
      ]),
    ]),
  ]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
  await run({ folder: path.join(root, ".bench"), quick: values.quick });
}
