// What the ways of making 16-bit products do to what is learned: held-out loss after 200 LoRA steps of the embedded model
// on the essays, in bf16 by each way, against float32 from the same weights, over three seeds.
//   node bench/quality.mjs [--quick]
import { mkdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { child, root, table } from "./harness/subject.mjs";
import { ensureFloat32 } from "./programs/float32_model.mjs";

const MODES = ["panels", "int16"];
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
  const trained = (model, seed, mode) => {
    process.stderr.write(`quality: seed ${seed}, ${mode ?? "float32"}\n`);
    const options = {
      model,
      exact: float32,
      data: path.join(root, "examples", "data"),
      output: path.join(folder, "out-quality", mode ?? "float32"),
      seed,
      steps,
      bf16: mode !== undefined,
    };
    // layers this small gain nothing from a second thread, and one thread always sums in the same order
    const env = { QWEN_PT_PRODUCTS: mode, OMP_NUM_THREADS: "1" };
    return child("programs/quality_run.mjs", [JSON.stringify(options)], env);
  };
  const lines = (quick ? SEEDS.slice(0, 1) : SEEDS).map((seed) => {
    const { loss: base } = trained(float32, seed);
    const modes = MODES.map((mode) => {
      const { loss, exactLoss } = trained(bf16, seed, mode);
      return [mode, { loss, difference: loss / base - 1, exactDifference: exactLoss / base - 1 }];
    });
    return { seed, float32: base, ...Object.fromEntries(modes) };
  });
  print(lines);
  return { steps, lines };
}

function print(lines) {
  const percent = (value) => `${(100 * value).toFixed(3)} %`;
  table([
    ["seed", "float32", ...MODES.flatMap((mode) => [mode, "relatively", "its adapter in float32"])],
    ...lines.map((line) => [
      line.seed,
      line.float32.toFixed(5),
      ...MODES.flatMap((mode) => [
        line[mode].loss.toFixed(5),
        percent(line[mode].difference),
        percent(line[mode].exactDifference),
      ]),
    ]),
  ]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
  await run({ folder: path.join(root, ".bench"), quick: values.quick });
}
