// node cells.mjs MODEL RESULT.json cuda|cpu [--full]: ten steps of the recipe in each of a few named settings, each with a
// limit, and what they gave: tokens/s, peak memory, the share of the card's arithmetic; of one, its time by kernel. One
// process runs them all, so that the model's file and the kernels are opened once; where it dies or stays too long in a
// setting, another goes on with the next.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { byKernel } from "./pictures.mjs";

const [model, result, kind, full] = process.argv.slice(2);
const isCard = kind !== "cpu";
const steps = isCard ? 10 : 3;
const length = isCard ? 1024 : 64;
/** Seconds for one setting, loading included. */
const LIMIT = 40 * Number(process.env.PATIENCE ?? 1);

const batch = (rows) => ({ per_device_train_batch_size: isCard ? rows : Math.min(rows, 2) });
const composed = { QWEN_PT_FUSED: "0" };
const whole = {
  finetuning_type: "full",
  lora_target: undefined,
  lora_rank: undefined,
  pure_bf16: true,
  bf16: false,
};
const named = [
  ["LoRA, 1 row", batch(1)],
  ["LoRA, 1 row, composed of libtorch's kernels", batch(1), composed],
  ["LoRA, 1 row, by graphs", { ...batch(1), cuda_graphs: true }],
  ["LoRA, 8 rows", batch(8)],
  ["LoRA, 8 rows, composed of libtorch's kernels", batch(8), composed],
  ["LoRA, 8 rows, by graphs", { ...batch(8), cuda_graphs: true }],
  ["LoRA, 8 rows, recomputed", { ...batch(8), gradient_checkpointing: true }],
  ["LoRA, 8 rows, packed documents", { ...batch(8), neat_packing: true }],
  ["full in bfloat16, 8 rows", { ...batch(8), ...whole }],
  ["QLoRA in NF4, 8 rows", { ...batch(8), quantization_bit: 4 }],
];
/** Every combination, for `--full`. */
const every = () =>
  [1, 8].flatMap((rows) =>
    [{}, composed].flatMap((env) =>
      [
        ["LoRA", {}],
        ["full", whole],
        ["QLoRA", { quantization_bit: 4 }],
        ["LoRA in fp8", { fp8: true }],
        ["full in fp8", { ...whole, pure_bf16: false, bf16: true, fp8: true }],
      ].flatMap(([how, keys]) =>
        [false, "selective", true].map((gradient_checkpointing) => [
          `${how}, ${rows} rows, ${gradient_checkpointing} recomputed, ${env === composed ? "composed" : "fused"}`,
          { ...batch(rows), ...keys, gradient_checkpointing },
          env,
        ]),
      ),
    ),
  );

/** Dense bfloat16 TFLOP/s as their makers state them, by what nvidia-smi calls a card. */
const PEAKS = [
  [/H100 (?:PCIe|NVL)/, 756],
  [/H[12]00|GH200/, 989],
  [/B[23]00|GB200/, 2250],
  [/A100|A800/, 312],
  [/L40S/, 362],
  [/RTX 4090/, 165],
  [/RTX 5090/, 210],
  [/RTX 3090/, 71],
  [/\bA10\b/, 125],
  [/\bL4\b/, 121],
];

function recipeOf(keys) {
  return {
    model_name_or_path: model,
    stage: "pt",
    do_train: true,
    finetuning_type: "lora",
    lora_rank: 8,
    lora_target: "all",
    dataset: "prose",
    dataset_dir: path.join(process.cwd(), "examples", "data"),
    cutoff_len: length,
    output_dir: path.join(path.dirname(model), "run"),
    overwrite_output_dir: true,
    max_steps: steps,
    logging_steps: 1,
    save_strategy: "no",
    gradient_checkpointing: false,
    learning_rate: 1e-4,
    lr_scheduler_type: "constant",
    bf16: true,
    use_cpu: !isCard,
    report_to: "none",
    ...keys,
  };
}

let worker;
function startWorker() {
  const cell = fileURLToPath(new URL("cell.mjs", import.meta.url));
  const child = spawn(process.execPath, ["--expose-gc", cell], { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.on("error", () => {}); // it has died: its end says so
  const said = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return { child, said };
}

/** One setting in the process that there is; the process is given up where it says nothing within the limit. */
async function run([name, keys, env = {}], trace) {
  worker ??= startWorker();
  const { child, said } = worker;
  child.stdin.write(`${JSON.stringify([recipeOf(keys), env, trace])}\n`);
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, 1000 * LIMIT, { late: true });
  });
  const answer = await Promise.race([said.next(), late]);
  clearTimeout(timer);
  if (answer.late !== true && answer.done !== true) return { name, ...JSON.parse(answer.value) };
  child.kill("SIGKILL");
  worker = undefined;
  return { name, error: answer.late ? `over ${LIMIT} s` : "the process ended: see log.txt" };
}

/**
 * Operations of a step per token: 2 a weight forward, as many for the input's gradient, and as many again where the weight
 * trains; causal attention's two products, forward once and backward twice and a half.
 */
function operations(keys) {
  const c = JSON.parse(readFileSync(path.join(model, "config.json"), "utf8"));
  const heads = c.num_attention_heads * c.head_dim;
  const keyed = c.num_key_value_heads * c.head_dim;
  const layer = c.hidden_size * (2 * heads + 2 * keyed + 3 * c.intermediate_size);
  const weights = c.num_hidden_layers * layer + c.vocab_size * c.hidden_size;
  const attention = c.num_hidden_layers * 3.5 * 2 * heads * length;
  return (keys.finetuning_type === "full" ? 6 : 4) * weights + attention;
}

const said = isCard
  ? spawnSync("nvidia-smi", ["--query-gpu=name", "--format=csv,noheader"], { encoding: "utf8" })
  : undefined;
const card = said?.stdout?.split("\n")[0]?.trim() || "the processor";
const peak = PEAKS.find(([pattern]) => pattern.test(card))?.[1];
const cells = [];
const profiled = "LoRA, 8 rows";
const trace = path.join(path.dirname(model), "trace.json");
let profile;
const write = () =>
  writeFileSync(
    result,
    `${JSON.stringify({ card, peakTeraflops: peak, length, steps, cells, profile }, null, 2)}\n`,
  );
for (const one of full ? every() : named) {
  const cell = await run(one);
  if (cell.tokensPerSecond && peak) cell.mfu = (cell.tokensPerSecond * operations(one[1])) / (peak * 1e12);
  cells.push(cell);
  console.log(JSON.stringify(cell));
  write();
}
// last, and apart from what is timed: a profiler slows what it watches
const watched = await run(
  named.find(([name]) => name === profiled),
  trace,
);
if (watched.error === undefined && existsSync(trace)) {
  const { kernels, ...rest } = byKernel(JSON.parse(readFileSync(trace, "utf8")));
  profile = { setting: profiled, ...rest, kernels: kernels.slice(0, 40) };
} else profile = { setting: profiled, error: watched.error ?? "no trace was written" };
write();
worker?.child.stdin.end();
if (cells.some(({ error }) => error) || profile.error) process.exitCode = 1;
