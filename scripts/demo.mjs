// `npm run demo`: a first run, start to finish, in a few minutes on two cores. Two trainings by the command line as
// anyone would call it, and what they did to text that neither has seen. The package brings no weights, so the first
// makes a small Qwen3 from nothing; the second is the tutorial's LoRA recipe on top of it.
//   npm run demo [-- --out DIR] [KEY=VALUE ...]     the keys go to both trainings
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
const scratch = "examples/model";
const base = path.join(values.out, "base");
const adapter = path.join(values.out, "lora");
const prompt = "夫天下";
/** What makes the recipe fit a model of 4 million parameters and two minutes. */
const small = [
  "cutoff_len=256",
  "preprocessing_num_workers=1",
  "disable_gradient_checkpointing=true",
  "logging_steps=20",
];
const trainings = {
  base: [
    `model_name_or_path=${scratch}`,
    "train_from_scratch=true",
    "finetuning_type=full",
    "max_samples=100",
    ...small,
    "gradient_accumulation_steps=1",
    "num_train_epochs=2",
    "learning_rate=1e-3",
    `output_dir=${base}`,
  ],
  lora: [
    `model_name_or_path=${base}`,
    ...small,
    "gradient_accumulation_steps=2",
    "num_train_epochs=1",
    "learning_rate=5e-3",
    `output_dir=${adapter}`,
  ],
};

const qwen = await import("../dist/index.js");
const device = qwen.chooseDevice({ use_cpu: keys.includes("use_cpu=true") }, () => {});
const began = performance.now();

/** Loss over the held-out essays, nats a token, and a continuation of the prompt. */
async function look(name, model, tokenizer) {
  const corpus = { dataset: "prose_heldout", dataset_dir: "examples/data", cutoff_len: 256, packing: true };
  const { blocks } = await qwen.prepareTrainingData(corpus, tokenizer);
  let [sum, tokens] = [0, 0];
  for (let i = 0; i < blocks.length; i++) {
    const block = blocks.get(i);
    sum += qwen.evaluateBatch(model.eval(), qwen.collate([block], -1), {
      device,
      compute: undefined,
      scale: 1,
    });
    tokens += block.length - 1; // the first token of a block has nothing before it
  }
  qwen.manualSeed(42);
  const start = await tokenizer.encode(prompt);
  // a model this small would end its text at once now and then
  const options = { maxNewTokens: 40, sample: true, temperature: 0.7, topP: 0.9, eosTokenIds: [] };
  const text = tokenizer.decode([...qwen.generateTokens(model, start, options)], { skipSpecialTokens: true });
  return { name, loss: sum / tokens, text: text.replace(/\s+/g, " ").replace(/\ufffd/g, "·"), tokens };
}

/** The weights that the first training begins with: the recipe's seed draws them. */
async function lookAtRandomWeights() {
  qwen.manualSeed(42);
  const model = new qwen.Qwen3ForCausalLM(qwen.readConfig(scratch));
  qwen.initializeWeights(model);
  return look("random weights", model.to({ device }), await qwen.loadTokenizer(scratch));
}

async function lookAt(name, adapters) {
  const { model, tokenizer } = await qwen.openModel({ model: base, adapters, device });
  return look(name, model, tokenizer);
}

/** Runs `qwen-pt train` on the tutorial's recipe. Ctrl-C reaches it too: it saves, and the demo ends as it does. */
function train(overrides) {
  const args = ["train", "examples/recipe.yaml", ...overrides, ...keys];
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

function report(rows) {
  const [first, , last] = rows;
  const seconds = Math.round((performance.now() - began) / 1000);
  const table = rows.map(({ name, loss }) => {
    const perplexity = Math.round(Math.exp(loss)).toLocaleString("en-US");
    return `  ${name.padEnd(42)}${loss.toFixed(3)}${perplexity.padStart(13)}`;
  });
  const texts = rows.map(({ name, text }) => `  ${name}:\n    ${prompt}${text}`);
  return `
==== What it learned (${seconds} s in all) ====
The 22 held-out essays, ${first.tokens.toLocaleString("en-US")} tokens that were never trained on:
                                             loss   perplexity
${table.join("\n")}
  After both trainings each token is ${Math.exp(first.loss - last.loss).toFixed(1)} times as likely as before.

How each continues ${prompt} (4 million parameters and 200 essays make no writer: it is the look that changes)
${texts.join("\n")}

==== What it wrote ====
  ${path.join(base, "training_loss.png")}, ${path.join(adapter, "training_loss.png")}: the loss curves
  ${adapter}: the LoRA adapter, in PEFT's format     ${base}: the model it belongs to

==== Try next ====
  npx qwen-pt chat --model ${base} --adapter ${adapter} --prompt "${prompt}"
  npx qwen-pt export examples/merge.yaml model_name_or_path=${base} adapter_name_or_path=${adapter}
  npx qwen-pt train examples/recipe.yaml model_name_or_path=FOLDER_OF_QWEN3     # the recipe on a real model
  npx qwen-pt help                                                             # README.md and docs/ say the rest`;
}

console.log(`qwen-pt ${qwen.packageVersion()}: incremental pre-training of Qwen3, shown on 200 essays in classical Chinese
(examples/data) and a model of 4 layers, in two trainings of about a minute each.

==== 1 of 2: a base model from nothing ====
LoRA adapts a model that knows something, and this one has random weights. So the tutorial's recipe is changed to
train every weight (train_from_scratch, finetuning_type: full), on the first 100 essays, in blocks of 256 tokens.
`);
const rows = [await lookAtRandomWeights()];
await train(trainings.base);
rows.push(await lookAt("base model, 100 essays", []));
console.log(`
==== 2 of 2: the tutorial's LoRA recipe on that base ====
Incremental pre-training proper: the base stays frozen, rank-8 matrices beside every linear layer learn from all 200
essays. Changed from examples/recipe.yaml: shorter blocks, one epoch, and the higher rate that a tiny model needs.
`);
await train(trainings.lora);
rows.push(await lookAt("base model and LoRA adapter, 200 essays", [adapter]));
console.log(report(rows));
