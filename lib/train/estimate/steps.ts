// How many optimizer steps a recipe takes: its max_steps, or what its datasets' size and a sample of their tokens say.
// No corpus is tokenized; where a small one ends within the sample, the tokens are counted.
import { statSync } from "node:fs";
import { contextParts, type Recipe } from "../../config/index.js";
import {
  corpusTexts,
  type DatasetEntry,
  datasetNames,
  readDatasetInfo,
  type Tokenizer,
} from "../../data/index.js";
import { planRun } from "../plan/plan.js";
import { processesOf } from "./memory.js";

/** Characters of each dataset that are tokenized. */
const SAMPLE = 400_000;
/** Files whose bytes are their rows'. */
const PLAIN = /\.(jsonl?|csv|txt|md)$/i;

interface Size {
  documents: number;
  tokens: number;
}

/**
 * Optimizer steps of the run; undefined where max_steps is not set and the data's size cannot be told without reading
 * all of it: datasets of a hub, compressed files, mixtures by other keys than dataset.
 */
export async function estimateSteps(
  recipe: Recipe,
  tokenizer: () => Promise<Tokenizer>,
): Promise<{ steps: number; exact: boolean } | undefined> {
  if (recipe.max_steps > 0) return { steps: recipe.max_steps, exact: true };
  const { mix_strategy, replay_dataset, tokenized_path, dataset_dir } = recipe;
  const plainly = mix_strategy === "concat" && replay_dataset === null && tokenized_path === null;
  if (!plainly || recipe.streaming) return undefined;
  const entries = readDatasetInfo(dataset_dir ?? "data", datasetNames(recipe));
  const all: Size = { documents: 0, tokens: 0 };
  const reader = await tokenizer();
  for (const entry of entries) {
    const size = await sizeOf(entry, recipe, reader);
    if (size === undefined) return undefined;
    all.documents += size.documents;
    all.tokens += size.tokens;
  }
  const { val_size, packing, cutoff_len } = recipe;
  const trained = val_size < 1 ? 1 - val_size : Math.max(0, 1 - val_size / Math.max(1, all.documents));
  const examples = trained * (packing || recipe.neat_packing ? all.tokens / cutoff_len : all.documents);
  const plan = planRun(recipe, Math.max(1, Math.floor(examples)), processesOf(recipe) / contextParts(recipe));
  return { steps: plan.totalSteps, exact: false };
}

/** Documents and tokens of a dataset, by its first ones. */
async function sizeOf(entry: DatasetEntry, recipe: Recipe, tokenizer: Tokenizer): Promise<Size | undefined> {
  if (entry.source !== undefined) return undefined;
  const texts: string[] = [];
  let characters = 0;
  for await (const { text } of corpusTexts(recipe, [entry.name], { characters: SAMPLE })) {
    texts.push(text);
    characters += text.length;
  }
  const tokens = (await tokenizer.encodeBatch(texts)).reduce((sum, { length }) => sum + length + 1, 0);
  const most = recipe.max_samples ?? Number.POSITIVE_INFINITY;
  const seen = { documents: texts.length, tokens };
  if (characters < SAMPLE || texts.length >= most) return seen;
  const isPlain = entry.files.every((file) => PLAIN.test(file));
  if (!isPlain || entry.numSamples !== undefined) return undefined;
  const bytes = entry.files.reduce((sum, file) => sum + statSync(file).size, 0);
  const read = texts.reduce((sum, text) => sum + Buffer.byteLength(JSON.stringify(text)), 0);
  const times = Math.min(bytes / read, most / texts.length);
  return { documents: Math.round(seen.documents * times), tokens: seen.tokens * times };
}
