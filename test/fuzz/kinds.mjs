// The kinds of files that come from outside: where healthy ones are, how they are damaged, and what reads them. Each
// reader does what a run would do with the file, as far as it can without training.
import { cpSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const fixtures = (...names) => path.join(root, "test", "fixtures", ...names);
const lib = (file) => import(new URL(`../../dist/${file}`, import.meta.url));

const formats = (ending) =>
  readdirSync(fixtures("data", "formats"))
    .filter((name) => name.endsWith(ending))
    .map((name) => fixtures("data", "formats", name));

async function tokenizer() {
  const { loadTokenizer } = await lib("data/index.js");
  return loadTokenizer(fixtures("data", "tokenizer"));
}

/** Rows of a file, their count, or the documents that a dataset makes of them: one of the three for each case. */
async function rowsReader() {
  const { readRows, countRows, readDocuments } = await lib("data/index.js");
  const columns = { formatting: "alpaca", prompt: "text" };
  return async (file, index) => {
    if (index % 8 === 0) await countRows(file);
    else if (index % 2 === 0) for await (const _ of readDocuments({ name: "x", files: [file], columns }));
    else for await (const _ of readRows(file));
  };
}

/** Rows on the short way, through the native encoder. */
async function intakeReader() {
  const { encodeRows, rowRule } = await lib("data/intake/row-intake.js");
  const { loadTokenizer } = await lib("data/index.js");
  const quick = await loadTokenizer(fixtures("data", "tokenizer"), { quickFrom: 0 });
  await quick.encodeBatch(["the first goes both ways"]);
  return async (file) => {
    const entry = { name: "x", files: [file], columns: { formatting: "alpaca", prompt: "text" } };
    const rule = await rowRule(entry, "\n");
    if (rule !== undefined) await encodeRows(entry, rule, quick, Number.POSITIVE_INFINITY, () => {});
  };
}

/** A folder of which one file is damaged. */
function inFolder(source, names, form) {
  return {
    folder: source,
    seeds: (made) => {
      const from = typeof source === "function" ? source(made) : source;
      return names(readdirSync(from, { recursive: true })).map((name) => ({ from, name }));
    },
    form: (name) => (name.endsWith(".safetensors") ? "safetensors" : name.endsWith(".json") ? "json" : form),
  };
}

const json = (names) => names.filter((name) => name.endsWith(".json"));

async function modelReader() {
  const { loadModel } = await lib("models/index.js");
  const { liveTensors } = await lib("torch/index.js");
  return (dir) => {
    const model = loadModel(dir, undefined, { onNote: () => {} });
    for (const tensor of model.parameters()) tensor.dispose();
    liveTensors();
  };
}

async function adapterReader() {
  const { loadAdapter } = await lib("peft/index.js");
  const { loadModel } = await lib("models/index.js");
  return (dir) => {
    const model = loadModel(fixtures("model", "tied"));
    try {
      loadAdapter(model, dir);
    } finally {
      for (const tensor of model.parameters()) tensor.dispose();
    }
  };
}

async function checkpointReader() {
  const { verifyCheckpoint } = await lib("train/checkpoint/folder.js");
  const { loadTrainerState } = await lib("train/checkpoint/trainer-state.js");
  const { loadRunState } = await lib("train/checkpoint/run-state.js");
  // takes any state: what is asked here is what the files bring
  const optimizer = { loadStateDict: (state) => [...state.values()].map((tensor) => tensor.shape) };
  return (dir) => {
    const each = [
      () => verifyCheckpoint(dir),
      () => {
        const { global_step } = loadTrainerState(path.join(dir, "trainer_state.json"));
        loadRunState(dir, optimizer, global_step, { rank: 0, extents: undefined });
      },
    ];
    let refused;
    for (const read of each) {
      try {
        read();
      } catch (error) {
        if (error?.name !== "UserError") throw error;
        refused ??= error;
      }
    }
    if (refused !== undefined) throw refused;
  };
}

/**
 * Each kind: `weight` of all cases; `seeds` healthy files, or files in folders; `form` how they are damaged; `reader`
 * makes what reads one, and throws a UserError or what it should not.
 */
export const KINDS = {
  json: { weight: 14, seeds: () => formats(".json").filter((f) => !f.endsWith("dataset_info.json")), form: "text", reader: rowsReader },
  jsonl: { weight: 12, seeds: () => ["bom", "crlf", "other"].map((name) => fixtures("data", "corpus", `${name}.jsonl`)), form: "text", reader: rowsReader },
  gzip: { weight: 2, seeds: () => formats(".gz"), form: "bytes", reader: rowsReader },
  intake: { weight: 6, seeds: () => [fixtures("data", "corpus", "main.jsonl"), fixtures("data", "formats", "odd.jsonl")], form: "text", reader: intakeReader },
  csv: { weight: 12, seeds: () => formats(".csv"), form: "text", reader: rowsReader },
  txt: { weight: 2, seeds: () => formats(".txt"), form: "text", reader: rowsReader },
  parquet: { weight: 10, seeds: () => [...formats(".parquet")].filter((file) => readFileSync(file).length < 14_000), form: "bytes", reader: rowsReader },
  arrow: { weight: 10, seeds: () => formats(".arrow"), form: "bytes", reader: rowsReader },
  recipe: {
    weight: 12,
    seeds: () => [fixtures("config", "tutorial.yaml"), path.join(root, "examples", "recipe.yaml"), fixtures("train", "tokens.yaml")],
    form: "text",
    reader: async () => {
      const { loadRecipe } = await lib("config/index.js");
      return (file) => void loadRecipe(file);
    },
  },
  datasetInfo: {
    weight: 4,
    ...inFolder(fixtures("data", "formats"), () => ["dataset_info.json"], "json"),
    reader: async () => {
      const { readDatasetInfo } = await lib("data/index.js");
      return (dir) => void readDatasetInfo(dir, ["rows.csv", "crlf.csv", "plain.txt", "articles", "sharegpt"]);
    },
  },
  tokenizer: {
    weight: 3,
    ...inFolder(fixtures("data", "tokenizer"), json, "json"),
    reader: async () => {
      const { loadTokenizer } = await lib("data/index.js");
      return async (dir) => {
        const read = await loadTokenizer(dir);
        try {
          await read.encodeBatch(["春眠 a <|im_end|>"]);
        } finally {
          await read.release();
        }
      };
    },
  },
  safetensors: {
    weight: 6,
    seeds: () => [fixtures("torch", "values.safetensors"), fixtures("torch", "random.safetensors"), fixtures("model", "clip.safetensors")],
    form: "safetensors",
    reader: async () => {
      const { loadSafetensors, scope } = await lib("torch/index.js");
      return (file) =>
        scope(() => {
          for (const tensor of loadSafetensors(file).values()) tensor.to("float32").sum();
        });
    },
  },
  model: { weight: 2, ...inFolder(fixtures("model", "tied"), (names) => names, "json"), reader: modelReader },
  adapter: { weight: 2, ...inFolder(fixtures("model", "adapter-saved-modules"), (names) => names, "json"), reader: adapterReader },
  checkpoint: {
    weight: 1,
    run: true,
    ...inFolder(
      (made) => path.join(made, "out", "checkpoint-1"),
      (names) => names.filter((name) => /_state\.(json|safetensors)$|manifest|optimizer/.test(name)),
      "json",
    ),
    reader: checkpointReader,
  },
  tokens: {
    weight: 1,
    run: true,
    ...inFolder((made) => path.join(made, "tokens"), (names) => names, "bytes"),
    reader: async () => {
      const { loadTokens } = await lib("data/tokenized-path/saved-blocks.js");
      const { loadTokenizer } = await lib("data/index.js");
      const read = await loadTokenizer(fixtures("train", "model"));
      return (dir) => loadTokens(dir, read, { cutoff_len: 48, packing: true });
    },
  },
  savedDataset: {
    weight: 1,
    ...inFolder(fixtures("data", "tokenized"), (names) => names.filter((name) => path.extname(name) !== ""), "bytes"),
    reader: async () => {
      const { readSavedDataset } = await lib("data/tokenized-path/llamafactory-dataset.js");
      const read = await tokenizer();
      return (dir) => readSavedDataset(dir, read);
    },
  },
}; // biome-ignore format: a table to read

/** Copies a seed's folder, without the file that is damaged. */
export function copyAround({ from, name }, to) {
  mkdirSync(to, { recursive: true });
  for (const other of readdirSync(from, { recursive: true, withFileTypes: true })) {
    const place = path.relative(from, path.join(other.parentPath, other.name));
    if (other.isFile() && place !== name) cpSync(path.join(from, place), path.join(to, place));
  }
}
