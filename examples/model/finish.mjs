// The last step in making the embedded model: takes what recipe.yaml trained, stores its weights in bfloat16 beside
// this file, scores them on the held-out text and writes the model card (README.md) with what was measured.
//   node examples/model/finish.mjs [FOLDER]     FOLDER: saves/poetry unless given
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import * as qwen from "../../dist/index.js";

const here = fileURLToPath(new URL(".", import.meta.url));
const data = fileURLToPath(new URL("../data", import.meta.url));
const run = process.argv[2] ?? "saves/poetry";
const LENGTH = 512; // the recipe's cutoff_len
const DOMAINS = [
  ["poetry_heldout", "held-out poems, Tang and Song"],
  ["prose_heldout", "essays in classical Chinese, none of them trained on"],
];
const PROMPTS = ["靜夜思\n唐：李白\n", "春雪\n", "江上"];

qwen.saveModel(qwen.loadModel(run, undefined, { dtype: "bfloat16" }), here);
copyFileSync(path.join(run, "training_loss.png"), path.join(here, "training_loss.png"));
const { model, tokenizer } = await qwen.openModel({ model: here });

async function score([name, title]) {
  const [entry] = qwen.readDatasetInfo(data, [name]);
  const texts = [];
  for await (const text of qwen.readDocuments(entry)) texts.push(text);
  const total = qwen.totalScore(
    await qwen.scoreDocuments(model, tokenizer, texts, { device: "cpu", length: LENGTH }),
  );
  const figures = [
    total.documents.toLocaleString("en-US"),
    total.perplexity.toFixed(1),
    total.bitsPerCharacter.toFixed(2),
    `${(100 * total.accuracy).toFixed(1)} %`,
  ];
  return `| ${title} (\`${name}\`) | ${figures.join(" | ")} |`;
}

/** A poem: the prompt, and what the model makes of it until it ends the text. */
async function sample(prompt) {
  qwen.manualSeed(1);
  const start = await tokenizer.encode(prompt);
  const options = { maxNewTokens: 128, sample: true, temperature: 0.8, topP: 0.9 };
  const made = [...qwen.generateTokens(model, start, options)];
  return `${prompt}${tokenizer.decode(made, { skipSpecialTokens: true })}`.trim();
}

const state = JSON.parse(readFileSync(path.join(run, "trainer_state.json"), "utf8"));
const losses = state.log_history.filter((entry) => "loss" in entry);
const tokens = state.global_step * 8 * LENGTH;
const curve = losses
  .filter(({ step }) => step % 500 === 0 || step === losses.at(-1).step)
  .map(({ step, loss }) => `| ${step.toLocaleString("en-US")} | ${loss.toFixed(3)} |`);
const rows = [];
for (const domain of DOMAINS) rows.push(await score(domain));
const poems = [];
for (const prompt of PROMPTS) poems.push(await sample(prompt));

writeFileSync(
  path.join(here, "README.md"),
  `---
language: zh
license: mit
library_name: transformers
pipeline_tag: text-generation
---

# A small Qwen3 that knows Tang and Song poetry

The model that comes with qwen-pt, so that a first run, the tests and the examples train something real. A Qwen3 like
its larger sisters (grouped queries, norms on queries and keys, tied embeddings), with 4,852,480 parameters: 4 layers,
width 256, 4 query and 2 key-value heads of 64, a byte-level BPE tokenizer of 8,192 entries. Weights in bfloat16.

## Figures

| text | documents | perplexity | bits per character | next-token accuracy |
|---|---|---|---|---|
${rows.join("\n")}

By \`npx qwen-pt eval --model examples/model --dataset-dir examples/data --data poetry_heldout,prose_heldout --length
${LENGTH}\`. Each document stands alone; title, poet and the end of the text are predicted too.

What it writes (temperature 0.8, top-p 0.9, nothing chosen):

${poems.map((poem) => `> ${poem.replaceAll("\n", "  \n> ")}`).join("\n\n")}

## How it was made

By qwen-pt itself, from random weights (\`train_from_scratch: true\`), on CPU cores:

    node examples/model/corpus.mjs                      # the poems, from the npm package chinese-poetry 2.0.1
    python examples/model/make_tokenizer.py             # the tokenizer, learnt from the same poems
    npx qwen-pt train examples/model/recipe.yaml        # goes on where it stopped, if it was
    node examples/model/finish.mjs                      # this page and the weights beside it

${state.global_step.toLocaleString("en-US")} steps of ${(8 * LENGTH).toLocaleString("en-US")} tokens, ${(tokens / 1e6).toFixed(1)} million in all, ${state.epoch.toFixed(2)} of the corpus. The run was begun with a cosine over 4,000 steps and
shortened to 3,000 when step 1,974 was done; the recipe holds the length that it ended with.

![training loss](training_loss.png)

| step | loss |
|---|---|
${curve.join("\n")}

## Data

297,560 poems of Tang and Song in traditional characters, 23.5 million characters with titles and poets, as
\`title\`, \`dynasty：poet\`, verses. Left out are damaged and annotated ones (about 4 of 100), doublets, and 996 poems,
one of 300 chosen by a hash of the verses: \`examples/data/poetry-heldout.jsonl\`. Other versions of a held-out poem, with
another character here or there, may be among the rest. The texts are in the public domain; the package that holds them
carries the MIT License (see NOTICE), and so do these weights.

## Limits

It knows the forms (five or seven characters to a half-line, parallel couplets, titles and poets) and much of the
vocabulary, and understands nothing. It attributes its verses to real poets who did not write them. It was trained on
texts of up to ${LENGTH} tokens, in traditional characters: simplified ones fall apart into bytes.
`,
);
