// Our way from a file to packed blocks: data_blocks.mjs TOKENIZER DATA DATASET again|cached. Prints one line of JSON:
// seconds, blocks, tokens, whether they were taken from the cache, sha256 of all blocks.
import { createHash } from "node:crypto";
import { loadTokenizer, prepareTrainingData } from "../../dist/data/index.js";

const [model, data, dataset, way] = process.argv.slice(2);
const tokenizer = await loadTokenizer(model);
const started = performance.now();
const { blocks, summary, notes } = await prepareTrainingData(
  {
    dataset,
    dataset_dir: data,
    cutoff_len: 1024,
    packing: true,
    preprocessing_num_workers: 2,
    overwrite_cache: way === "again",
  },
  tokenizer,
);
const seconds = (performance.now() - started) / 1000;
const digest = createHash("sha256");
for (let i = 0; i < blocks.length; i++) digest.update(blocks.get(i));
console.log(
  JSON.stringify({
    seconds,
    blocks: blocks.length,
    tokens: summary.tokens,
    taken: notes.some((note) => note.includes("taken from the cache")),
    sha256: digest.digest("hex"),
  }),
);
