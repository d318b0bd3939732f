// `npm run demo`: incremental pre-training from start to finish in less than four minutes. The tutorial's recipe,
// by the command line as anyone would call it, on the small Qwen3 that comes with the package; and what that did to
// text which the model has not seen, of the new kind and of the old. Then the same with some of the old replayed beside
// the new. It measures the machine first: on one that is too slow for all of it, it trains fewer steps and says so.
//   npm run demo [-- --out DIR --seconds 240] [KEY=VALUE ...]     the keys go to the training
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { projectRoot } from "./libtorch.mjs";
import { movingLine } from "./moving-line.mjs";

process.chdir(projectRoot);

const { values, positionals: keys } = parseArgs({
  options: { out: { type: "string", default: "saves/demo" }, seconds: { type: "string", default: "240" } },
  allowPositionals: true,
});
const base = "examples/model";
const recipe = "examples/recipe.yaml";
const prompt = "夫天下";
/** What makes the recipe fit a model of 5 million parameters and two minutes, and why. */
const changes = [
  ["model_name_or_path", base, "the recipe names Qwen3-0.6B"],
  ["learning_rate", "3e-3", "not 1e-4: a model this small wants a higher rate"],
  ["cutoff_len", "512", "not 1024: the length that this model was trained with"],
  ["gradient_accumulation_steps", "2", "not 8: more steps from little text"],
  ["logging_steps", "20", "not 10"],
  ["output_dir", values.out, ""],
];
/** The second training: some of what the model knows, mixed into the new text. */
const replay = [
  ["replay_dataset", "poetry", "596 of the poems that it knows"],
  ["replay_ratio", "0.1", "a tenth of what it reads"],
  ["output_dir", `${values.out}-replay`, ""],
];
/** Held-out text, and how much of it is scored. */
const domains = [
  { name: "prose_heldout", title: "held-out essays", documents: 22 },
  { name: "poetry_heldout", title: "held-out poems", documents: 300 },
];
/** Seconds that the demo should take at most, and those that starting, reading and writing take of them. */
const most = Number(values.seconds);
const OVERHEAD = 12;
/** Seconds that a training is given in any case: what it takes to start, train a few steps and write. */
const LEAST = 20;
/** What of the time that is left the training may plan with: a machine may turn slower. */
const MARGIN = 0.7;
/** The share of the time that one round of scoring may take, and the tokens it reads where nothing is left out. */
const SCORING = 0.1;
const SCORED_TOKENS = 42_000;
/** Both trainings in units of the first: the second reads what is replayed as well. */
const BOTH = 1 + 1 / (1 - 0.1);
/** Steps that are too few to compare two trainings by. */
const FEW = 20;
/** A forward pass takes about a third of a training step's time. */
const FORWARD = 1 / 3;

const qwen = await import("../dist/index.js");
const { isHost } = await import("../dist/torch/index.js");
const device = qwen.chooseDevice({ use_cpu: keys.includes("use_cpu=true") }, () => {});
const began = performance.now();
/** Seconds that the demo has taken. */
const seconds = () => (performance.now() - began) / 1000;

async function heldOut({ name, documents }) {
  const [entry] = qwen.readDatasetInfo("examples/data", [name]);
  const texts = [];
  for await (const text of qwen.readDocuments(entry)) if (texts.push(text) === documents) break;
  return texts;
}

/** Perplexity of each domain, and a continuation of the prompt. */
async function look(adapters, when) {
  const { model, tokenizer } = await qwen.openModel({ model: base, adapters, device });
  const scores = [];
  const line = movingLine(`scoring text that it has not seen, ${when}`);
  for (const domain of domains) {
    const onProgress = (done, total) => line.update(`${domain.title}, ${Math.round((100 * done) / total)} %`);
    const found = await qwen.scoreDocuments(model, tokenizer, await heldOut(domain), {
      device,
      length: 512,
      onProgress,
    });
    scores.push(qwen.totalScore(found));
  }
  line.stop();
  qwen.manualSeed(42);
  const start = await tokenizer.encode(prompt);
  // a model this small would end its text at once now and then
  const options = { maxNewTokens: 60, sample: true, temperature: 0.8, topP: 0.9, eosTokenIds: [] };
  const text = tokenizer.decode([...qwen.generateTokens(model, start, options)], { skipSpecialTokens: true });
  for (const parameter of model.parameters()) parameter.dispose();
  return { scores, text: text.replace(/\s+/g, " ").replace(/\ufffd/g, "·") };
}

/** The recipe as the training will read it, and how many steps it takes. */
async function plan() {
  const overrides = [...changes.map(([key, value]) => `${key}=${value}`), ...keys];
  const { recipe: read } = qwen.loadRecipe(recipe, overrides);
  const length = await qwen.estimateSteps(read, () => qwen.loadTokenizer(base, read));
  return { read, steps: length?.steps };
}

/** Tokens a second of the recipe's own micro-steps on this machine: the third and fourth are counted. */
function measureSpeed(read) {
  const line = movingLine("measuring this machine");
  const model = qwen.loadModel(base);
  qwen.addLora(model, { rank: read.lora_rank });
  model.train();
  const length = read.cutoff_len;
  const ids = Int32Array.from({ length }, (_, i) => (i * 7919) % model.config.vocab_size);
  const batch = { inputIds: ids, labels: ids, attentionMask: undefined, batch: 1, length };
  const options = { device, compute: read.bf16 ? "bfloat16" : undefined, checkpointing: false };
  const took = Array.from({ length: 4 }, () => {
    const start = performance.now();
    qwen.microStep(model, batch, { ...options, scale: 1 / length });
    return (performance.now() - start) / 1000;
  });
  line.stop();
  for (const parameter of model.parameters()) parameter.dispose();
  return (2 * length) / (took[2] + took[3]);
}

/** Fewer documents where scoring all of them would take too much of the time. */
function shortenScoring(speed) {
  const share = (SCORING * most * speed) / (FORWARD * SCORED_TOKENS);
  if (share >= 1) return;
  for (const domain of domains) domain.documents = Math.max(3, Math.floor(share * domain.documents));
}

/** How many steps each training can take in the time that is left; `looked`: seconds of one scoring. */
function possibleSteps({ read }, speed, looked, trainings) {
  const tokens = read.cutoff_len * read.per_device_train_batch_size * read.gradient_accumulation_steps;
  const left = most - seconds() - (1 + trainings) * looked - trainings * OVERHEAD;
  return Math.floor((MARGIN * left * speed) / (tokens * trainings));
}

/** Fewer steps where all of them would take longer than the time that is left. */
function shortenTraining({ steps }, possible, speed) {
  if (steps === undefined || possible >= steps) return;
  const why = `not all ${steps}: at ${Math.round(speed)} tokens/s they would take too long for a demo`;
  changes.push(["max_steps", String(Math.max(4, possible)), why]);
}

/**
 * Runs `qwen-pt train` on the tutorial's recipe with `changes` laid over it; resolves to the folder of the adapter.
 * Ctrl-C reaches it too: it saves, and the demo ends as it does. Where the machine has turned so much slower that
 * `seconds` are over, it is ended in the same way, and the demo goes on with its checkpoint.
 */
function train(changes, seconds) {
  const { output_dir: out } = Object.fromEntries(changes);
  const args = ["train", recipe, ...changes.map(([key, value]) => `${key}=${value}`), ...keys];
  console.log(`$ npx qwen-pt ${args.join(" ")}\n`);
  const child = spawn(process.execPath, ["dist/cli/main.js", ...args], { stdio: "inherit" });
  const forward = (signal) => child.kill(signal);
  // npm ends at once, and the shell's prompt with it; the training saves behind it
  const ignore = () =>
    console.log("\nCtrl-C: the training saves where it is; npm may give the prompt back before");
  process.on("SIGTERM", forward).on("SIGINT", ignore);
  let isLate = false;
  const stop = () => {
    isLate = child.kill("SIGTERM");
  };
  const timer = Number.isFinite(seconds) ? setTimeout(stop, 1000 * seconds) : undefined;
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(timer);
      process.off("SIGTERM", forward).off("SIGINT", ignore);
      const checkpoint = isLate && code === 143 ? qwen.listCheckpoints(out)[0] : undefined;
      if (code !== 0 && checkpoint === undefined) process.exit(code ?? 1);
      if (checkpoint)
        console.log(
          "\nThe training took longer than was measured before: the demo goes on with what is trained.",
        );
      resolve(checkpoint?.dir ?? out);
    });
  });
}

/** A score beside the one before training, and by how much it changed. */
function beside(is, was) {
  const change = `${is < was ? "" : "+"}${(100 * (is / was - 1)).toFixed(0)} %`;
  return `${is.toFixed(1).padStart(11)}${change.padStart(8)}`;
}

function report(before, after, replayed, adapter) {
  const rows = domains.map(({ title, documents }, i) => {
    const [was, is, kept] = [before, after, replayed].map((found) => found?.scores[i].perplexity);
    const second = kept === undefined ? "" : beside(kept, was);
    return `  ${`${title} (${documents})`.padEnd(24)}${was.toFixed(1).padStart(9)}${beside(is, was)}${second}`;
  });
  const heading = `  ${"".padEnd(24)}   before      after${replayed === undefined ? "" : "           with replay"}`;
  const advice = replayed
    ? `The essays are what it was trained on now, the poems what it knew. Poems replayed beside
  the essays keep most of them; docs/incremental-pretraining.md has what else helps.`
    : `The essays are what it was trained on now, the poems what it knew. A tenth of poems mixed into the
  data (replay_dataset=poetry) keeps most of them.`;
  const picture = path.join(values.out, "training_loss.png");
  const curve = existsSync(picture) ? `  ${picture}    the loss curve\n` : "";
  const second = replayed ? `\n  replay: ${prompt}${replayed.text}` : "";
  return `
==== What it learned, and what it forgot (${Math.round(seconds())} s in all) ====
Perplexity (how many tokens the model hesitates between; lower is better) of text that was never trained on:
${heading}
${rows.join("\n")}
  ${advice}

How it continues ${prompt}
  before: ${prompt}${before.text}
  after:  ${prompt}${after.text}${second}

==== What it wrote ====
${curve}  ${adapter}    the LoRA adapter, in PEFT's format${adapter === values.out ? ", with its checkpoints and logs" : ""}

==== Try next ====
  npx qwen-pt chat --model ${base} --adapter ${adapter} --prompt "${prompt}"
  npx qwen-pt eval --model ${base} --adapter ${adapter} --dataset-dir examples/data --data prose_heldout,poetry_heldout
  npx qwen-pt train ${recipe} model_name_or_path=Qwen/Qwen3-0.6B    # the recipe on a real model (1.5 GB)
  npx qwen-pt init                                                      # a recipe for your own text
  npx qwen-pt help                                                      # README.md and docs/ say the rest`;
}

console.log(`qwen-pt ${qwen.packageVersion()}: incremental pre-training of Qwen3, shown on 200 essays in classical Chinese (examples/data) and
${base}, a Qwen3 of 5 million parameters that knows Tang and Song poetry and nothing else.`);
const planned = await plan();
// whoever says how long to train is not overruled; an accelerator is fast enough
const isFree = isHost(device) && !keys.some((key) => /^(?:max_steps|num_train_epochs)=/.test(key));
let speed = measureSpeed(planned.read);
if (isFree) shortenScoring(speed);
const measured = seconds();
const before = await look([], "before");
const looked = seconds() - measured;
// measured again: other programs come and go
if (isFree) speed = Math.min(speed, measureSpeed(planned.read));
// whoever names other data, or replays by a key, sees that alone; so does who has no time for both
let hasSecond = !keys.some((key) => /^(?:replay_|dataset|output_dir=)/.test(key));
const possible = (trainings) => possibleSteps(planned, speed, looked, trainings);
if (isFree && possible(BOTH) < FEW) hasSecond = false;
const trainings = hasSecond ? BOTH : 1;
if (isFree) shortenTraining(planned, possible(trainings), speed);

const width = Math.max(...changes.map(([key, value]) => key.length + value.length));
const listed = changes
  .filter(([, , why]) => why !== "")
  .map(([key, value, why]) => `  ${`${key}: ${value}`.padEnd(width + 4)}${why}`);
console.log(`The recipe is the tutorial's, ${recipe}: LoRA of rank 8 on every linear layer. Changed for this model:
${listed.join("\n")}
This machine trains it at about ${Math.round(speed).toLocaleString("en-US")} tokens/s.
`);
/** Seconds that a training may take: its share of what is left beside `looks` scorings. */
const limit = (looks, share) =>
  isFree ? Math.max(LEAST, share * (most - seconds() - looks * looked - OVERHEAD / 2)) : undefined;
const adapter = await train(changes, limit(hasSecond ? 3 : 2, 1 / trainings));
const after = await look([adapter], "after");
let replayed;
if (hasSecond) {
  console.log(`
The same once more with replay: ${replay.flatMap(([key, value, why]) => (why ? [`${key}: ${value} (${why})`] : [])).join(", ")}.
`);
  const second = await train([...changes.filter(([key]) => key !== "output_dir"), ...replay], limit(2, 1));
  replayed = await look([second], "after replay");
}
console.log(report(before, after, replayed, adapter));
