// The tutorial's recipe by LLaMA-Factory, by a tuned plain loop of PyTorch and PEFT, by Unsloth, and by qwen-pt, in turn:
// A B A B on one machine, medians and ratios (contestants.mjs says who, and in which settings). tokens/s, peak memory of the
// process tree, time to the first step, losses by step; and the time that each program takes to print its version.
//   node bench/peers.mjs [--quick] [--smoke] [--only NAME ...]
// --only runs these contestants once and keeps what they did for the whole section, which goes on from there.
// --smoke only tries whether every contestant runs, on the embedded model and a few tokens; nothing is measured.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ensureLlamaFactory } from "./environments/llamafactory.mjs";
import { ensureUnsloth } from "./environments/unsloth.mjs";
import { contestantsOf, tokensOf } from "./harness/contestants.mjs";
import { secondsUntil } from "./harness/processes.mjs";
import { processorHere } from "./harness/processor.mjs";
import { cli, ensureModel, gigabytes, median, root, table, tutorialRecipe } from "./harness/subject.mjs";
import { environmentIn, trainingCommand, trainOnce } from "./harness/trainings.mjs";
import { ensureFloat32 } from "./programs/float32_model.mjs";

/** The first one also meets memory for the first time, which a run of millions of steps does not notice. */
const STEPS = 3;
/** For --smoke: enough for every program to take two steps. */
const TINY = { cutoff_len: 64, gradient_accumulation_steps: 1, preprocessing_num_workers: 1 };

/** The last line in which a log says what went wrong. */
function complaintOf(log) {
  const lines = readFileSync(log, "utf8").trim().split("\n");
  return lines.reverse().find((line) => /error|cannot|unsupported/i.test(line)) ?? lines[0];
}

/**
 * One run: what its own log says of time and losses, and what the sampler saw. A peer that refuses this machine is
 * recorded with what it said; we, and the reference, have to run.
 */
async function runOnce(folder, name, contestant, { programs, models, keys }) {
  const { program, wide } = contestant;
  if (program === "unsloth" && programs.unsloth.refused !== undefined) return programs.unsloth;
  const all = { max_steps: STEPS, ...contestant.keys, ...keys };
  const model = wide ? models.float32 : models.bf16;
  const run = await trainOnce({ folder, name, program, programs, model, keys: all });
  if (run.status !== 0 && program === "unsloth") return { refused: complaintOf(run.log) };
  if (run.status !== 0) throw new Error(`${name} failed: see ${run.log}`);
  const { peakBytes, aroundSeconds, dtype, losses } = run;
  const tokensPerSecond = tokensOf({ keys: all }, STEPS) / run.stepSeconds;
  return { tokensPerSecond, peakBytes, aroundSeconds, dtype, losses };
}

function versions({ llamafactory }, turns) {
  const timed = (command, args) => {
    const start = performance.now();
    spawnSync(command, args, { stdio: "ignore" });
    return (performance.now() - start) / 1000;
  };
  const found = { llamafactory: [], "qwen-pt": [] };
  for (let turn = 0; turn < turns; turn++) {
    found.llamafactory.push(timed(llamafactory.cli, ["version"]));
    found["qwen-pt"].push(timed(process.execPath, [cli, "version"]));
  }
  return { llamafactory: median(found.llamafactory), "qwen-pt": median(found["qwen-pt"]) };
}

/** From launch to the first forward pass of a recipe that was run before: its tokens are in each program's cache. */
async function startUps(folder, { programs, models }, turns) {
  const recipe = path.join(folder, "start-up.yaml");
  const keys = { overwrite_cache: false, max_steps: 1, preprocessing_num_workers: 2 };
  writeFileSync(recipe, tutorialRecipe(models.bf16, path.join(folder, "out-start-up"), keys));
  const found = { llamafactory: [], "qwen-pt": [] };
  for (let turn = 0; turn <= turns; turn++) {
    for (const program of Object.keys(found)) {
      const [command, args] = trainingCommand(program, programs, recipe);
      const begun = await secondsUntil("***** Running training *****", command, args, {
        cwd: folder,
        env: environmentIn(folder),
      });
      if (turn > 0) found[program].push(begun); // the first one fills the caches
    }
  }
  return { llamafactory: median(found.llamafactory), "qwen-pt": median(found["qwen-pt"]) };
}

const farthest = (ours, theirs) =>
  Math.max(...ours.map((loss, i) => Math.abs(loss - theirs[i]) / Math.abs(theirs[i])));

function summary(runs, base) {
  if (runs[0].refused !== undefined) return runs[0];
  const middle = (field) => median(runs.map((run) => run[field]));
  const own = {
    tokensPerSecond: middle("tokensPerSecond"),
    peakBytes: middle("peakBytes"),
    aroundSeconds: middle("aroundSeconds"),
    dtype: runs[0].dtype,
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

function summaries(contestants, runs) {
  const results = {};
  const bases = {};
  for (const [name, { group }] of Object.entries(contestants)) {
    results[name] = summary(runs[name], bases[group]);
    bases[group] ??= results[name];
  }
  return results;
}

function printResults(results) {
  const rows = [["", "tokens/s", "ratio", "peak", "ratio", "before and after", "losses apart"]];
  for (const [name, one] of Object.entries(results)) {
    if (one.refused !== undefined) {
      rows.push([name, `refused: ${one.refused}`]);
      continue;
    }
    rows.push([
      name,
      one.tokensPerSecond.toFixed(one.tokensPerSecond < 10 ? 2 : 1),
      one.speed?.toFixed(2) ?? "1",
      gigabytes(one.peakBytes),
      one.memory?.toFixed(2) ?? "1",
      `${one.aroundSeconds.toFixed(1)} s`,
      one.lossDifference?.toExponential(1) ?? "",
    ]);
  }
  table(rows);
}

function printTimes({ startUp, version }) {
  const both = (times) =>
    `LLaMA-Factory ${times.llamafactory.toFixed(2)} s, qwen-pt ${times["qwen-pt"].toFixed(2)} s`;
  console.log(`from launch to the first forward pass, tokens cached: ${both(startUp)}`);
  console.log(`version: ${both(version)}`);
}

/** The programs, installed where they are missing. */
function ensurePrograms(folder, contestants) {
  mkdirSync(folder, { recursive: true });
  const needed = Object.values(contestants).some(({ program }) => program === "unsloth");
  return {
    llamafactory: ensureLlamaFactory(folder),
    ...(needed ? { unsloth: ensureUnsloth(folder) } : {}),
  };
}

/** What the contestants run with. */
function placesOf(folder, contestants) {
  const programs = ensurePrograms(folder, contestants);
  const bf16 = ensureModel(folder, programs.llamafactory.python);
  const isWide = Object.values(contestants).some(({ wide }) => wide);
  return { programs, models: { bf16, float32: isWide ? ensureFloat32(bf16) : undefined } };
}

/** Contestants by name, in order, or the whole list of names. */
function chosen(processor, names) {
  const all = contestantsOf(processor);
  const unknown = names.filter((name) => all[name] === undefined);
  if (unknown.length > 0)
    throw new Error(
      `no contestant is called ${unknown.join("; ")}: there are ${Object.keys(all).join("; ")}`,
    );
  return Object.fromEntries(Object.entries(all).filter(([name]) => names.includes(name)));
}

/** Runs some contestants once more. */
async function runOnly(folder, processor, names) {
  const contestants = chosen(processor, names);
  const places = placesOf(folder, contestants);
  const kept = keptFile(folder, processor);
  const runs = readOr(kept, {});
  for (const [name, contestant] of Object.entries(contestants)) {
    process.stderr.write(`peers: ${name}\n`);
    runs[name] = [...(runs[name] ?? []), await runOnce(folder, name, contestant, places)];
    writeFileSync(kept, `${JSON.stringify(runs, null, 2)}\n`);
  }
  printResults(summaries(contestants, runs));
}

const keptFile = (folder, processor) => path.join(folder, `peers-runs-${processor}.json`);

/**
 * The section `peers` of the bench. What was run is kept in peers-runs-KIND.json, so that an interrupted section goes on.
 * @param {{folder: string, processor: string, quick?: boolean}} options `quick`: one turn
 */
export async function run({ folder, processor, quick = false }) {
  const contestants = contestantsOf(processor);
  const places = placesOf(folder, contestants);
  const kept = keptFile(folder, processor);
  const runs = readOr(kept, {});
  for (let turn = 0; turn < (quick ? 1 : 2); turn++) {
    for (const [name, contestant] of Object.entries(contestants)) {
      runs[name] ??= [];
      // the others take their time, and their ratios are far from where noise matters
      if (runs[name].length > turn || (turn > 0 && contestant.group !== "lora")) continue;
      process.stderr.write(`peers: ${name}, turn ${turn + 1}\n`);
      runs[name].push(await runOnce(folder, name, contestant, places));
      writeFileSync(kept, `${JSON.stringify(runs, null, 2)}\n`);
    }
  }
  const results = summaries(contestants, runs);
  process.stderr.write("peers: start-up\n");
  const startUp = await startUps(folder, places, quick ? 1 : 2);
  const found = { results, startUp, version: versions(places.programs, 3) };
  printResults(results);
  printTimes(found);
  rmSync(kept);
  return found;
}

/** Tries every contestant once on the embedded model; the figures mean nothing. */
async function smoke(folder, processor) {
  const contestants = contestantsOf(processor);
  const programs = ensurePrograms(folder, contestants);
  const bf16 = path.join(root, "examples", "model");
  const models = { bf16, float32: ensureFloat32(bf16, path.join(folder, "embedded-float32")) };
  const runs = {};
  for (const [name, contestant] of Object.entries(contestants)) {
    process.stderr.write(`peers: ${name}, smoke test\n`);
    runs[name] = [await runOnce(folder, name, contestant, { programs, models, keys: TINY })];
  }
  printResults(summaries(contestants, runs));
}

function readOr(file, otherwise) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return otherwise;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      smoke: { type: "boolean", default: false },
      only: { type: "string", multiple: true, default: [] },
    },
  });
  const folder = path.join(root, ".bench");
  const processor = await processorHere();
  if (values.only.length > 0) await runOnly(folder, processor, values.only);
  else if (values.smoke) await smoke(folder, processor);
  else await run({ folder, processor, quick: values.quick });
}
