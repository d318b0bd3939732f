// The tutorial's recipe by LLaMA-Factory, by a tuned plain loop of PyTorch and PEFT, and by qwen-pt, in turn: A B A B on
// one machine, medians and ratios. tokens/s, peak memory of the process tree, time to the first step, losses by step;
// and the time that each program takes to print its version.
//   node bench/peers.mjs [--quick]
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ensureLlamaFactory } from "./llamafactory.mjs";
import { measure, secondsUntil } from "./processes.mjs";
import { cli, ensureModel, gigabytes, median, root, table, tutorialRecipe } from "./subject.mjs";

const FULL = { finetuning_type: "full", learning_rate: 1e-5, save_strategy: '"no"' };

/** Each contestant with its keys; `group` names what it is compared with. */
const contestants = {
  "LLaMA-Factory, LoRA": { program: "llamafactory", group: "lora" },
  "qwen-pt, LoRA": { program: "qwen-pt", group: "lora", keys: { gradient_checkpointing: false } },
  "qwen-pt, LoRA, selective": {
    program: "qwen-pt",
    group: "lora",
    keys: { gradient_checkpointing: "selective" },
  },
  "qwen-pt, LoRA, checkpointing": {
    program: "qwen-pt",
    group: "lora",
    keys: { gradient_checkpointing: true },
  },
  "plain PyTorch + PEFT loop": { program: "loop", group: "lora" },
  "LLaMA-Factory, full": { program: "llamafactory", group: "full", keys: FULL },
  "qwen-pt, full": {
    program: "qwen-pt",
    group: "full",
    keys: { ...FULL, gradient_checkpointing: false },
  },
  "qwen-pt, full, checkpointing": {
    program: "qwen-pt",
    group: "full",
    keys: { ...FULL, gradient_checkpointing: true },
  },
  "qwen-pt, full, pure_bf16": {
    program: "qwen-pt",
    group: "full",
    keys: { ...FULL, pure_bf16: true, bf16: false, gradient_checkpointing: false },
  },
};

function commandOf({ program }, reference, recipe, output) {
  if (program === "llamafactory") return [reference.cli, ["train", recipe]];
  if (program === "qwen-pt") return [process.execPath, [cli, "train", recipe]];
  return [reference.python, [path.join(root, "bench", "plain_loop.py"), recipe, output]];
}

/** One run: what its own log says of time and losses, and what the sampler saw. */
async function runOnce(folder, name, contestant, { reference, model, steps }) {
  const id = name.replaceAll(/[^a-z0-9]+/gi, "-").toLowerCase();
  const output = path.join(folder, `out-${id}`);
  rmSync(output, { recursive: true, force: true });
  const recipe = path.join(folder, `${id}.yaml`);
  writeFileSync(recipe, tutorialRecipe(model, output, { max_steps: steps, ...contestant.keys }));
  const env = environment(folder);
  const [command, args] = commandOf(contestant, reference, recipe, output);
  const log = path.join(folder, `${id}.log`);
  const run = await measure(command, args, { cwd: folder, env, log });
  if (run.status !== 0) throw new Error(`${name} failed: see ${log}`);
  const read = (file) => JSON.parse(readFileSync(path.join(output, file), "utf8"));
  const { train_runtime: seconds } = read("train_results.json");
  rmSync(path.join(output, "model.safetensors"), { force: true });
  return {
    tokensPerSecond: (steps * 2 * 1024) / seconds,
    peakBytes: run.peakBytes,
    // everything but the steps: start, data, model before them and files after them
    aroundSeconds: run.seconds - seconds,
    losses: read("trainer_state.json")
      .log_history.filter(({ loss }) => loss !== undefined)
      .map(({ loss }) => loss),
  };
}

function versions(reference, turns) {
  const timed = (command, args) => {
    const start = performance.now();
    spawnSync(command, args, { stdio: "ignore" });
    return (performance.now() - start) / 1000;
  };
  const found = { llamafactory: [], "qwen-pt": [] };
  for (let turn = 0; turn < turns; turn++) {
    found.llamafactory.push(timed(reference.cli, ["version"]));
    found["qwen-pt"].push(timed(process.execPath, [cli, "version"]));
  }
  return { llamafactory: median(found.llamafactory), "qwen-pt": median(found["qwen-pt"]) };
}

/** From launch to the first forward pass of a recipe that was run before: its tokens are in each program's cache. */
async function startUps(folder, { reference, model }, turns) {
  const recipe = path.join(folder, "start-up.yaml");
  const keys = { overwrite_cache: false, max_steps: 1, preprocessing_num_workers: 2 };
  writeFileSync(recipe, tutorialRecipe(model, path.join(folder, "out-start-up"), keys));
  const found = { llamafactory: [], "qwen-pt": [] };
  for (let turn = 0; turn <= turns; turn++) {
    for (const program of Object.keys(found)) {
      const [command, args] = commandOf({ program }, reference, recipe);
      const begun = await secondsUntil("***** Running training *****", command, args, {
        cwd: folder,
        env: environment(folder),
      });
      if (turn > 0) found[program].push(begun); // the first one fills the caches
    }
  }
  return { llamafactory: median(found.llamafactory), "qwen-pt": median(found["qwen-pt"]) };
}

const environment = (folder) => ({
  ...process.env,
  HF_HOME: path.join(folder, "huggingface"),
  HF_DATASETS_CACHE: path.join(folder, "datasets"),
  QWEN_PT_CACHE: path.join(folder, "cache"),
});

const farthest = (ours, theirs) =>
  Math.max(...ours.map((loss, i) => Math.abs(loss - theirs[i]) / Math.abs(theirs[i])));

function summary(runs, base) {
  const middle = (field) => median(runs.map((run) => run[field]));
  const own = {
    tokensPerSecond: middle("tokensPerSecond"),
    peakBytes: middle("peakBytes"),
    aroundSeconds: middle("aroundSeconds"),
    losses: runs[0].losses,
    runs,
  };
  if (base === undefined) return own;
  return {
    ...own,
    speed: own.tokensPerSecond / base.tokensPerSecond,
    memory: own.peakBytes / base.peakBytes,
    lossDifference: farthest(own.losses, base.losses),
  };
}

function print({ results, startUp, version }) {
  const rows = [["", "tokens/s", "ratio", "peak", "ratio", "before and after", "losses apart"]];
  for (const [name, one] of Object.entries(results)) {
    rows.push([
      name,
      one.tokensPerSecond.toFixed(1),
      one.speed?.toFixed(2) ?? "1",
      gigabytes(one.peakBytes),
      one.memory?.toFixed(2) ?? "1",
      `${one.aroundSeconds.toFixed(1)} s`,
      one.lossDifference?.toExponential(1) ?? "",
    ]);
  }
  table(rows);
  console.log(
    `from launch to the first forward pass, tokens cached: LLaMA-Factory ${startUp.llamafactory.toFixed(2)} s, qwen-pt ${startUp["qwen-pt"].toFixed(2)} s`,
  );
  console.log(
    `version: LLaMA-Factory ${version.llamafactory.toFixed(2)} s, qwen-pt ${version["qwen-pt"].toFixed(2)} s`,
  );
}

/**
 * The section `peers` of the bench. What was run is kept in peers-runs.json, so that an interrupted section goes on.
 * @param {{folder: string, quick?: boolean}} options `quick`: one turn
 */
export async function run({ folder, quick = false }) {
  mkdirSync(folder, { recursive: true });
  const reference = ensureLlamaFactory(folder);
  const model = ensureModel(folder, reference.python);
  const steps = 2;
  const kept = path.join(folder, "peers-runs.json");
  const runs = readOr(kept, {});
  for (let turn = 0; turn < (quick ? 1 : 2); turn++) {
    for (const [name, contestant] of Object.entries(contestants)) {
      runs[name] ??= [];
      // full fine-tuning takes its time, and its ratios are far from where noise matters
      if (runs[name].length > turn || (turn > 0 && contestant.group === "full")) continue;
      process.stderr.write(`peers: ${name}, turn ${turn + 1}\n`);
      runs[name].push(await runOnce(folder, name, contestant, { reference, model, steps }));
      writeFileSync(kept, `${JSON.stringify(runs, null, 2)}\n`);
    }
  }
  const results = {};
  const bases = {};
  for (const [name, { group }] of Object.entries(contestants)) {
    results[name] = summary(runs[name], bases[group]);
    bases[group] ??= results[name];
  }
  process.stderr.write("peers: start-up\n");
  const startUp = await startUps(folder, { reference, model }, quick ? 1 : 2);
  const found = { results, startUp, version: versions(reference, 3) };
  print(found);
  rmSync(kept);
  return found;
}

function readOr(file, otherwise) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return otherwise;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
  await run({ folder: path.join(root, ".bench"), quick: values.quick });
}
