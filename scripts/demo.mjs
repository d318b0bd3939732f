// `npm run demo`: incremental pre-training from start to finish in a few minutes on two cores. The tutorial's recipe,
// by the command line as anyone would call it, on the small Qwen3 that comes with the package; and what that did to
// text which the model has not seen, of the new kind and of the old.
//   npm run demo [-- --out DIR] [KEY=VALUE ...]     the keys go to the training
import { spawn } from "node:child_process";
import path from "node:path";
import { parseArgs } from "node:util";
import { projectRoot } from "./libtorch.mjs";

// Layers this small are done before a second thread has woken up: threads that wait must not take the cores from
// those that work. It has to be said before libtorch is loaded.
process.env.OMP_WAIT_POLICY ??= "passive";
process.chdir(projectRoot);

const { values, positionals: keys } = parseArgs({
  options: { out: { type: "string", default: "saves/demo" } },
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
const domains = [
  { name: "prose_heldout", title: "held-out essays (22)", documents: 22 },
  { name: "poetry_heldout", title: "held-out poems (300)", documents: 300 },
];

const qwen = await import("../dist/index.js");
const device = qwen.chooseDevice({ use_cpu: keys.includes("use_cpu=true") }, () => {});
const began = performance.now();

async function heldOut({ name, documents }) {
  const [entry] = qwen.readDatasetInfo("examples/data", [name]);
  const texts = [];
  for await (const text of qwen.readDocuments(entry)) if (texts.push(text) === documents) break;
  return texts;
}

/** Perplexity of each domain, and a continuation of the prompt. */
async function look(adapters) {
  const { model, tokenizer } = await qwen.openModel({ model: base, adapters, device });
  const scores = [];
  for (const domain of domains) {
    const found = await qwen.scoreDocuments(model, tokenizer, await heldOut(domain), { device, length: 512 });
    scores.push(qwen.totalScore(found));
  }
  qwen.manualSeed(42);
  const start = await tokenizer.encode(prompt);
  // a model this small would end its text at once now and then
  const options = { maxNewTokens: 60, sample: true, temperature: 0.8, topP: 0.9, eosTokenIds: [] };
  const text = tokenizer.decode([...qwen.generateTokens(model, start, options)], { skipSpecialTokens: true });
  return { scores, text: text.replace(/\s+/g, " ").replace(/\ufffd/g, "·") };
}

/** Runs `qwen-pt train` on the tutorial's recipe. Ctrl-C reaches it too: it saves, and the demo ends as it does. */
function train() {
  const args = ["train", recipe, ...changes.map(([key, value]) => `${key}=${value}`), ...keys];
  console.log(`$ npx qwen-pt ${args.join(" ")}\n`);
  const child = spawn(process.execPath, ["dist/cli/main.js", ...args], { stdio: "inherit" });
  const forward = (signal) => child.kill(signal);
  const ignore = () => {};
  process.on("SIGTERM", forward).on("SIGINT", ignore);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      process.off("SIGTERM", forward).off("SIGINT", ignore);
      if (code !== 0) process.exit(code ?? 1);
      resolve();
    });
  });
}

function report(before, after) {
  const seconds = Math.round((performance.now() - began) / 1000);
  const rows = domains.map(({ title }, i) => {
    const [was, is] = [before.scores[i].perplexity, after.scores[i].perplexity];
    const change = `${is < was ? "" : "+"}${(100 * (is / was - 1)).toFixed(0)} %`;
    return `  ${title.padEnd(24)}${was.toFixed(1).padStart(10)}${is.toFixed(1).padStart(10)}${change.padStart(9)}`;
  });
  return `
==== What it learned, and what it forgot (${seconds} s in all) ====
Perplexity (how many tokens the model hesitates between; lower is better) of text that was never trained on:
  ${"".padEnd(24)}    before     after
${rows.join("\n")}
  The essays are what it was trained on now, the poems what it knew. A lower rate, or
  poems mixed into the data, forget less.

How it continues ${prompt}
  before: ${prompt}${before.text}
  after:  ${prompt}${after.text}

==== What it wrote ====
  ${path.join(values.out, "training_loss.png")}    the loss curve
  ${values.out}    the LoRA adapter, in PEFT's format, with its checkpoints and logs

==== Try next ====
  npx qwen-pt chat --model ${base} --adapter ${values.out} --prompt "${prompt}"
  npx qwen-pt eval --model ${base} --adapter ${values.out} --dataset-dir examples/data --data prose_heldout,poetry_heldout
  npx qwen-pt train ${recipe} model_name_or_path=Qwen/Qwen3-0.6B    # the recipe on a real model (1.5 GB)
  npx qwen-pt init                                                      # a recipe for your own text
  npx qwen-pt help                                                      # README.md and docs/ say the rest`;
}

const width = Math.max(...changes.map(([key, value]) => key.length + value.length));
const listed = changes
  .filter(([, , why]) => why !== "")
  .map(([key, value, why]) => `  ${`${key}: ${value}`.padEnd(width + 4)}${why}`);
console.log(`qwen-pt ${qwen.packageVersion()}: incremental pre-training of Qwen3, shown on 200 essays in classical Chinese (examples/data) and
${base}, a Qwen3 of 5 million parameters that knows Tang and Song poetry and nothing else.
The recipe is the tutorial's, ${recipe}: LoRA of rank 8 on every linear layer. Changed for this model:
${listed.join("\n")}
`);
const before = await look([]);
await train();
console.log(report(before, await look([values.out])));
