// Trains the embedded model for some steps: data_training.mjs DATA OUTPUT blocks|streamed STEPS. Prints one line of JSON:
// the share of time that it waited for data, and time and memory of the early and the late steps.
import path from "node:path";
import { fileURLToPath } from "node:url";
import { train } from "../../dist/index.js";

const [data, output, way, steps] = process.argv.slice(2);
const model = fileURLToPath(new URL("../../examples/model", import.meta.url));
const seen = [];
const result = await train(
  {
    model_name_or_path: model,
    stage: "pt",
    do_train: true,
    finetuning_type: "lora",
    dataset: "10MB",
    dataset_dir: data,
    cutoff_len: 128,
    packing: true,
    streaming: way === "streamed",
    max_steps: Number(steps),
    per_device_train_batch_size: 1,
    gradient_accumulation_steps: 1,
    logging_steps: 100,
    save_strategy: "no",
    output_dir: path.join(output, way),
    overwrite_output_dir: true,
    use_cpu: true,
  },
  { onStep: (step) => seen.push(step) },
);
const quarter = Math.floor(seen.length / 4);
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const part = (chosen) => ({
  milliseconds: median(chosen.map((step) => (1000 * step.tokens) / step.tokensPerSecond)),
  memoryBytes: median(chosen.map((step) => step.memoryBytes)),
});
console.log(
  JSON.stringify({
    steps: seen.length,
    waitShare: result.dataWaitShare,
    // the first quarter warms up
    early: part(seen.slice(quarter, 2 * quarter)),
    late: part(seen.slice(3 * quarter)),
  }),
);
