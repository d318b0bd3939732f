// Reads damaged files of every kind in a child with limits, and counts how each ends: read, refused in one line, or a
// fault: a crash, a hang, more than 1 GB, another error. One child reads thousands of files, for starting one costs as
// much as hundreds of them; a hang or a crash ends it, and another goes on behind that file. What looks like too long
// or too much is done once more by itself, for a busy machine or the files before it may be why.
import { fork, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { KINDS } from "./kinds.mjs";
import { pick, randomOf } from "./mutate.mjs";

/** How a file can end; all but the first two are faults. */
export const OUTCOMES = ["read", "refused", "crash", "hang", "memory", "error"];

const worker = fileURLToPath(new URL("worker.mjs", import.meta.url));
const root = fileURLToPath(new URL("../..", import.meta.url));
/** Seconds of the processor's time, and GB, that no file may cost. */
const SECONDS = 5;
const GIGABYTES = 1;
/** Cases of one child, and the wall-clock patience for one case on a busy machine. */
const BATCH = 4000;
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
    // buffers of a quarter of a megabyte are what makes the collector run: room for more of them at once
    const execArgv = ["--max-old-space-size=900", "--max-semi-space-size=64"];
    const env = {
      ...process.env,
      OMP_NUM_THREADS: "1",
      UV_THREADPOOL_SIZE: "1",
      QWEN_PT_TOKEN_CACHE: "off",
      HF_HUB_OFFLINE: "1",
    };
    this.process = fork(worker, [this.folder, made, String(seed)], { execArgv, env, silent: true });
    this.said = "";
    this.process.stderr.on("data", (bytes) => {
      this.said = (this.said + bytes).slice(-400);
    });
  }

  /**
   * How cases end, in their order, up to the first that ends the child: that one is missing.
   * @returns why there are no more: undefined where all are done
   */
  run(cases, onResult, { patience = PATIENCE_MS, onEnd } = {}) {
    return new Promise((resolve) => {
      let last = this.at().first;
      let since = performance.now();
      const watch = setInterval(() => {
        const { first } = this.at();
        if (first !== last) [last, since] = [first, performance.now()];
        if (performance.now() - since > patience) end("hang");
      }, 500);
      const end = (why) => {
        clearInterval(watch);
        this.process.removeAllListeners("message").removeAllListeners("exit");
        resolve(why);
      };
      this.process.on("exit", (code, signal) => end(`exit ${code ?? signal}: ${this.said.trim()}`));
      this.process.on("message", ({ results, peak, cpu, ended }) => {
        for (const result of results) onResult({ ...result, peak });
        if (!ended) return;
        onEnd?.(cpu);
        end(undefined);
      });
      this.process.send({ cases });
    });
  }

  /** The cases that the child stands at, as it says itself: all from one to another. */
  at() {
    try {
      const [first, last] = readFileSync(path.join(this.folder, "status"), "utf8").split(" ").map(Number);
      return { first, last };
    } catch {
      return { first: -1, last: -1 };
    }
  }

  stop() {
    this.process.removeAllListeners("exit");
    this.process.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/**
 * @param options count of cases, seed, kinds (default all), from (the first case), onFault, onProgress, and onBatch with
 * the number of the first case that is not done, and the counts
 * @returns counts by kind and outcome, and the faults
 */
export async function fuzz({
  count,
  seed,
  kinds = Object.keys(KINDS),
  from = 0,
  onFault,
  onProgress,
  onBatch,
}) {
  // in memory, where there is such a folder: on a busy disk writing a file takes longer than reading it
  const folder = mkdtempSync(path.join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "qwen-pt-fuzz-"));
  const made = path.join(folder, "made");
  const counts = {};
  const faults = [];
  let done = 0;
  const tally = (result) => {
    counts[result.kind] ??= Object.fromEntries(OUTCOMES.map((outcome) => [outcome, 0]));
    counts[result.kind][result.outcome]++;
    if (OUTCOMES.indexOf(result.outcome) > 1) {
      faults.push(result);
      onFault?.(result);
    }
    onProgress?.(++done, counts);
  };
  try {
    mkdirSync(made);
    if (kinds.some((kind) => KINDS[kind].run)) makeRun(made);
    const all = Array.from({ length: count }, (_, i) => ({
      index: from + i,
      kind: kindOf(from + i, seed, kinds),
    }));
    while (all.length > 0) {
      const cases = all.splice(0, BATCH);
      const answered = new Set();
      const suspects = [];
      const child = new Child(folder, made, seed);
      const why = await child.run(cases, (result) => {
        answered.add(result.index);
        if (result.seconds > SECONDS || result.peak > GIGABYTES) suspects.push(result);
        else tally(result);
      });
      const at = child.at();
      child.stop();
      const missing = cases.filter(({ index }) => !answered.has(index));
      const isStuck = ({ index }) => why !== undefined && index >= at.first && index <= at.last;
      all.unshift(...missing.filter((one) => !isStuck(one)));
      for (const suspect of [...suspects, ...missing.filter(isStuck)])
        tally(await alone(suspect, folder, made, seed));
      onBatch?.(from + count - all.length, counts);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return { counts, faults };
}

/** One case by itself, with patience for a busy machine: what it takes is all its own. */
async function alone({ index, kind }, folder, made, seed) {
  const child = new Child(folder, made, seed);
  let result;
  let spent = 0;
  const why = await child.run([{ index, kind }], (one) => (result = one), {
    patience: 4 * PATIENCE_MS,
    onEnd: (cpu) => (spent = cpu),
  });
  child.stop();
  const fault = (outcome, message) => ({ index, kind, outcome, message });
  if (result === undefined) return why === "hang" ? fault("hang", "no end") : fault("crash", why);
  if (spent > SECONDS) return fault("hang", `${spent.toFixed(1)} s`);
  return result.peak > GIGABYTES ? fault("memory", `${result.peak.toFixed(2)} GB`) : result;
}
