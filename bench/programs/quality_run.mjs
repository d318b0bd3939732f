// One training and its held-out loss in a separate process: node bench/programs/quality_run.mjs '{"model": ..., "seed": 1, ...}'.
// Prints one line of JSON. The held-out text is scored over the original weights in the precision of the training; over the
// float32 model `exact` if one is named; and with `isBase` over the base that was trained on, before and after.
import { readFileSync } from "node:fs";
import {
  openModel,
  readDatasetInfo,
  readDocuments,
  scoreDocuments,
  totalScore,
  train,
} from "../../dist/index.js";
import { readModelConfig } from "../../dist/models/index.js";

const { model, exact, data, output, seed, steps, bf16, keys, isBase } = JSON.parse(process.argv[2]);
await train({
  model_name_or_path: model,
  stage: "pt",
  do_train: true,
  finetuning_type: "lora",
  lora_rank: 8,
  lora_target: "all",
  dataset: "prose",
  dataset_dir: data,
  cutoff_len: 512,
  output_dir: output,
  overwrite_output_dir: true,
  save_strategy: "no",
  report_to: "none",
  per_device_train_batch_size: 1,
  gradient_accumulation_steps: 2,
  // a model of 5 million parameters wants a higher rate than the tutorial's
  learning_rate: 3e-3,
  max_steps: steps,
  lr_scheduler_type: "cosine",
  warmup_ratio: 0.1,
  bf16,
  seed,
  use_cpu: true,
  logging_steps: 10,
  ...keys,
});
/** Means of ten steps each. */
const curve = JSON.parse(readFileSync(`${output}/trainer_state.json`, "utf8")).log_history.flatMap(
  ({ loss }) => loss ?? [],
);
const [entry] = readDatasetInfo(data, ["prose_heldout"]);
const texts = [];
for await (const text of readDocuments(entry)) texts.push(text);

/** Held-out loss; with `own`, over the base that the recipe's keys make. */
async function lossOf(base, compute, { adapters = [output], own = false } = {}) {
  const opened = await openModel({ model: base, adapters, device: "cpu", ...(own && quantizing(base)) });
  const options = { device: "cpu", length: 512, compute };
  return totalScore(await scoreDocuments(opened.model, opened.tokenizer, texts, options)).loss;
}

/** How `openModel` is told of the base. */
function quantizing(base) {
  const { quantization_bit: bits = null, quantization_type = "nf4", quantization_compute } = keys;
  if (quantization_compute !== undefined)
    return { config: { ...readModelConfig(base), quantization: { type: "int8 products", skipped: [] } } };
  const quantize = { quantization_bit: bits, quantization_type, double_quantization: true };
  return { quantize: { ...quantize, model_name_or_path: base } };
}

const compute = bf16 ? "bfloat16" : undefined;
const loss = await lossOf(model, compute);
const losses = { loss };
if (exact !== undefined) losses.exactLoss = bf16 ? await lossOf(exact) : loss;
if (isBase) {
  losses.beforeLoss = await lossOf(model, compute, { adapters: [], own: true });
  losses.ownLoss = await lossOf(model, compute, { own: true });
}
console.log(JSON.stringify({ ...losses, curve }));
