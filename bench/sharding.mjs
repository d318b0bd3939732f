// The memory of a sharded run measured: full fine-tuning of a model of 12 equal blocks by N processes that have the
// whole model each, its weights alone, or an N-th of everything (fsdp), and what a step sends. A process's memory is the
// peak until the first step, and that of its steps, over what it had before the model; as it saves a checkpoint and then the
// model, rank 0's over what it had after the last step. `hidden` is the share of the time in which weights and gradients of
// parts move that rank 0 computes in. docs/distributed.md has the figures.
//   node bench/sharding.mjs [--ranks 1,2] [--steps 4] [--ways none,shard_grad_op,full_shard] [--prefetch]
// Bytes are the loopback's, so nothing else should talk over it meanwhile. Linux.
import diagnostics from "node:diagnostics_channel";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { loopbackBytes, runRanks } from "./harness/ranks.mjs";
import { sentOf } from "./harness/scaling-model.mjs";
import { median, root } from "./harness/subject.mjs";

const { values } = parseArgs({
  options: {
    ranks: { type: "string", default: "1,2" },
    steps: { type: "string", default: "4" },
    ways: { type: "string", default: "none,shard_grad_op,full_shard" },
    model: { type: "string" }, // for a rank: the model's folder
    prefetch: { type: "boolean", default: false }, // the next block is gathered while one computes
    way: { type: "string" },
  },
});

if (!(Number(values.steps) >= 3)) {
  console.error(`--steps ${values.steps}: at least 3, for the first two are not measured`);
  process.exit(1);
}

const PREFETCH = { forward_prefetch: true, backward_prefetch: "backward_pre" };
const peakBytes = () => 1024 * Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]);
/** From now on the peak is what comes after. */
const resetPeak = () => writeFileSync("/proc/self/clear_refs", "5");

/** 12 blocks of 7.1 million parameters in float32, a small vocabulary. */
async function makeModel(dir) {
  mkdirSync(dir, { recursive: true });
  cpSync(path.join(root, "examples/model"), dir, {
    recursive: true,
    filter: (from) => !from.endsWith(".safetensors"),
  });
  const file = path.join(dir, "config.json");
  const config = JSON.parse(readFileSync(file, "utf8"));
  const wide = { hidden_size: 768, intermediate_size: 2048, num_hidden_layers: 12, num_attention_heads: 12 };
  const more = { num_key_value_heads: 12, head_dim: 64, torch_dtype: "float32", dtype: "float32" };
  const merged = { ...config, ...wide, ...more };
  delete merged.layer_types;
  writeFileSync(file, JSON.stringify(merged));
  const { buildEmptyModel, initializeWeights, readModelConfig, saveModel } = await import(
    "../dist/models/index.js"
  );
  const model = buildEmptyModel(readModelConfig(dir));
  initializeWeights(model);
  saveModel(model, dir);
}

/** In a process for each rank: the run; each prints a line of JSON. */
async function oneRank() {
  const { resolveRecipe } = await import("../dist/config/index.js");
  const { runRecipe } = await import("../dist/train/index.js");
  const size = Number(process.env.WORLD_SIZE ?? 1);
  const before = process.memoryUsage.rss();
  const recipe = resolveRecipe({
    model_name_or_path: values.model,
    finetuning_type: "full",
    gradient_checkpointing: true,
    dataset: "prose",
    dataset_dir: path.join(root, "examples/data"),
    cutoff_len: 64,
    per_device_train_batch_size: 1,
    gradient_accumulation_steps: 1,
    max_steps: Number(values.steps),
    output_dir: path.join(values.model, "out"),
    overwrite_output_dir: true,
    save_strategy: "steps",
    save_steps: Number(values.steps),
    logging_steps: 1000,
    use_cpu: true,
    ...(values.way !== "none" && { fsdp: values.way }),
    ...(values.way !== "none" && values.prefetch && { fsdp_config: PREFETCH }),
  });
  let [parameters, start, peak, saving, sent] = [0, 0, 0, 0, 0];
  let mark = { at: 0, bytes: 0 };
  let [moving, hidden] = [0, 0];
  let waits = { moving: 0, hidden: 0 };
  diagnostics.subscribe("qwen-pt:waits", (times) => {
    waits.moving += times.moving;
    waits.hidden += times.hidden;
  });
  const every = [];
  // ranks above 0 are told nothing: their peak is read after a time that is as good
  const timer = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage.rss());
  }, 5);
  await runRecipe(recipe, {
    callbacks: [
      {
        onBegin() {
          start = peakBytes();
        },
      },
    ],
    onEvent(event) {
      if (event.type === "model") parameters = event.total;
      if (event.type === "end") saving += peakBytes();
      if (event.type !== "step") return;
      const now = { at: performance.now(), bytes: loopbackBytes() };
      if (event.step === 2) resetPeak();
      if (event.step > 2) {
        every.push(now.at - mark.at);
        moving += waits.moving;
        hidden += waits.hidden;
        sent = now.bytes - mark.bytes;
        peak = peakBytes();
      }
      if (event.step === recipe.recipe.max_steps) {
        resetPeak(); // a checkpoint is next
        saving = -peakBytes();
      }
      mark = now;
      waits = { moving: 0, hidden: 0 };
    },
  });
  clearInterval(timer);
  const ms = median(every);
  if (Number(process.env.RANK ?? 0) === 0)
    console.log(JSON.stringify({ size, parameters, before, start, peak, saving, sent, ms, moving, hidden }));
}

const ranks = (size, way, model) =>
  runRanks(size, 1, [
    fileURLToPath(import.meta.url),
    ...["--model", model, "--way", way, "--steps", values.steps, ...(values.prefetch ? ["--prefetch"] : [])],
  ]);

if (values.model !== undefined) await oneRank();
else {
  const dir = mkdtempSync(path.join(os.tmpdir(), "qwen-pt-sharding-"));
  await makeModel(dir);
  const mb = (count) => `${(count / 1e6).toFixed(0)} MB`.padStart(9);
  console.log(
    "processes  fsdp           at start    memory    theory    saving    sent a step    theory   step ms   hidden",
  );
  for (const size of values.ranks.split(",").map(Number))
    for (const way of values.ways.split(",")) {
      if (size === 1 && way !== "none") continue;
      const { parameters, before, start, peak, saving, sent, ms, moving, hidden } = await ranks(
        size,
        way,
        dir,
      );
      // weights, gradients and AdamW's two moments in float32; of what is divided an N-th, and one block's weights and
      // gradients, the latter three times on their way to the others
      const block = parameters / 12;
      const whole = { none: 4, shard_grad_op: 1, full_shard: 0 }[way];
      const theory = 4 * parameters * (whole + (4 - whole) / size) + (way === "none" ? 0 : 16 * block);
      console.log(
        [
          String(size).padEnd(10),
          way.padEnd(14),
          mb(start - before),
          mb(peak - before),
          mb(theory),
          mb(saving),
          mb(size === 1 ? 0 : sent).padStart(12),
          mb(size * sentOf(parameters, 4, size, way)), // of all ranks together
          ms.toFixed(0).padStart(8),
          (moving > 0 ? `${((100 * hidden) / moving).toFixed(0)} %` : "").padStart(8),
        ].join(" "),
      );
    }
  rmSync(dir, { recursive: true, force: true });
}
