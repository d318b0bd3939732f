// Reads damaged files of every kind in children with limits, and counts how each ends: read, refused in one line, or a
// fault: a crash, more than 5 s, more than 1 GB, another error. What looks like too long or too much is done once more
// by itself, for a busy machine or the cases before it may be why.
import { fork, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { KINDS } from "./kinds.mjs";
import { pick, randomOf } from "./mutate.mjs";

const worker = fileURLToPath(new URL("worker.mjs", import.meta.url));
const root = fileURLToPath(new URL("../..", import.meta.url));
const SECONDS = 5;
const GIGABYTES = 1;
/** Cases of one child, and the wall-clock patience for one case on a busy machine. */
const BATCH = 1000;
const PATIENCE_MS = 30_000;

/** A finished run of one step: its checkpoint and its tokenized data are seeds. */
function makeRun(folder) {
  const recipe = {
    model_name_or_path: path.join(root, "test/fixtures/train/model"), stage: "pt", do_train: true, finetuning_type: "lora",
    dataset: "one", dataset_dir: path.join(root, "test/fixtures/train/data"), cutoff_len: 48, max_steps: 1, max_samples: 8,
    save_steps: 1, logging_steps: 1, plot_loss: false, use_cpu: true, output_dir: path.join(folder, "out"),
  }; // biome-ignore format: a list to read
  writeFileSync(path.join(folder, "run.json"), JSON.stringify(recipe));
  for (const more of [[], [`tokenized_path=${path.join(folder, "tokens")}`]]) {
    const args = [
      path.join(root, "dist/cli/main.js"),
      "train",
      path.join(folder, "run.json"),
      "overwrite_output_dir=true",
      ...more,
    ];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
    if (status !== 0) throw new Error(`the run that is a seed failed: ${stderr}`);
  }
}

/** The kind of each case, by the kinds' weights. */
function kindOf(index, seed, kinds) {
  const bag = kinds.flatMap((kind) => Array(KINDS[kind].weight).fill(kind));
  return pick(randomOf(seed * 7919 + index), bag);
}

class Child {
  constructor(folder, made, seed) {
    this.folder = mkdtempSync(path.join(folder, "child-"));
    const execArgv = ["--max-old-space-size=900"];
    const env = { ...process.env, OMP_NUM_THREADS: "1", QWEN_PT_TOKEN_CACHE: "off", HF_HUB_OFFLINE: "1" };
    this.process = fork(worker, [this.folder, made, String(seed)], { execArgv, env, silent: true });
    this.said = "";
    this.process.stderr.on("data", (bytes) => {
      this.said = (this.said + bytes).slice(-400);
    });
    this.cases = 0;
  }

  /** How a case ends. */
  run(index, kind, patience = PATIENCE_MS) {
    this.cases++;
    return new Promise((resolve) => {
      let timer;
      const end = (result) => {
        clearTimeout(timer);
        this.process.removeAllListeners("message").removeAllListeners("exit");
        resolve({ index, kind, ...result });
      };
      this.process.on("exit", (code, signal) =>
        end({ outcome: "fault", message: `crash: exit ${code ?? signal}: ${this.said.trim()}`, dead: true }),
      );
      this.process.on("message", (message) => {
        if (message.started === undefined) return end(message);
        timer = setTimeout(
          () => end({ outcome: "fault", message: "hang", late: true, dead: true }),
          patience,
        );
      });
      this.process.send({ index, kind });
    });
  }

  stop() {
    this.process.removeAllListeners("exit");
    this.process.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/**
 * @param options count of cases, seed, kinds (default all), from (the first case), onFault, onProgress
 * @returns counts by kind and outcome, and the faults
 */
export async function fuzz({ count, seed, kinds = Object.keys(KINDS), from = 0, onFault, onProgress }) {
  const folder = mkdtempSync(path.join(tmpdir(), "qwen-pt-fuzz-"));
  const made = path.join(folder, "made");
  const counts = {};
  const faults = [];
  let child;
  try {
    mkdirSync(made);
    if (kinds.some((kind) => KINDS[kind].run)) makeRun(made);
    for (let index = from; index < from + count; index++) {
      const kind = kindOf(index, seed, kinds);
      child ??= new Child(folder, made, seed);
      let result = await child.run(index, kind);
      const isSuspect = result.late || result.dead || result.seconds > SECONDS || result.rss > GIGABYTES;
      if (result.dead || isSuspect || child.cases >= BATCH) {
        child.stop();
        child = undefined;
      }
      if (isSuspect) {
        const alone = new Child(folder, made, seed);
        result = await alone.run(index, kind, 4 * PATIENCE_MS);
        alone.stop();
        if (result.seconds > SECONDS)
          result = { ...result, outcome: "fault", message: `${result.seconds} s` };
        else if (result.rss > GIGABYTES)
          result = { ...result, outcome: "fault", message: `${result.rss} GB` };
      }
      counts[kind] ??= { read: 0, refused: 0, fault: 0, seconds: 0 };
      counts[kind].seconds += result.seconds ?? 0;
      counts[kind][result.outcome]++;
      if (result.outcome === "fault") {
        faults.push(result);
        onFault?.(result);
      }
      onProgress?.(index + 1 - from, counts);
    }
  } finally {
    child?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
  return { counts, faults };
}
