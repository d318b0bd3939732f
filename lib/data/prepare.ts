// From a recipe to training blocks: read, tokenize, cut. The one pass over the data happens here; only token ids stay.

import { UserError } from "../errors.js";
import { type DataRecipe, datasetNames } from "./arguments.js";
import { checkedFiles } from "./dataset-files.js";
import { type DatasetEntry, type HubSource, readDatasetInfo } from "./dataset-info.js";
import { notFetched, readDocuments } from "./documents.js";
import { LegacyRandom } from "./numpy-random.js";
import { layBlocks, type TokenBlocks } from "./packing.js";
import { countRows } from "./rows.js";
import type { DataSummary } from "./summary.js";
import { documentSeparator } from "./template.js";
import { TokenArena } from "./token-arena.js";
import type { Tokenizer } from "./tokenizer.js";

// The tokenizer's results are some hundred bytes a token until their ids are copied, so a batch is bounded both ways.
const BATCH_DOCUMENTS = 1000;
const BATCH_CHARACTERS = 1 << 18;

export interface PrepareOptions {
  readonly signal?: AbortSignal;
  /** Called after every batch with what was tokenized so far. */
  readonly onProgress?: (progress: { documents: number; tokens: number }) => void;
  /** How datasets of a hub become local files; without it they are refused. */
  readonly hub?: DatasetHub;
}

/** What fetches datasets; lib/hub has one. */
export interface DatasetHub {
  /** ModelScope comes before Hugging Face where an entry names both (USE_MODELSCOPE_HUB). */
  readonly modelScope: boolean;
  /**
   * Fetches the data files of a repository, or finds them in the cache: local paths, in the order in which `datasets`
   * reads them, with endings that tell their format (.jsonl, .json.gz, .parquet, ...).
   *
   * @param dataset the dataset's name in the recipe, for messages
   */
  files(source: HubSource, dataset: string, signal: AbortSignal | undefined): Promise<readonly string[]>;
}

/** What a recipe's data comes to. */
export interface TrainingData {
  /** The training blocks, in the corpus's order. */
  readonly blocks: TokenBlocks;
  readonly summary: DataSummary;
  /**
   * What is evaluated on; empty where the recipe asks for none. One set without a name for `val_size` and for
   * `eval_dataset` (its datasets joined like the training ones), or, with `eval_on_each_dataset`, one for each dataset
   * of `eval_dataset`, in the recipe's order.
   */
  readonly evaluation: readonly EvaluationSet[];
}

/** Blocks to evaluate on; they are visited in order. */
export interface EvaluationSet {
  /** The dataset's, which stands in its metrics: `eval_NAME_loss`. Undefined for the only set: `eval_loss`. */
  readonly name: string | undefined;
  readonly blocks: TokenBlocks;
  readonly documents: number;
}

/**
 * The training blocks of a recipe: the same as LLaMA-Factory's for the same keys, token by token.
 *
 * @throws UserError for anything wrong with the recipe's data, and where there is too little for one block
 */
export async function prepareTrainingData(
  recipe: DataRecipe,
  tokenizer: Tokenizer,
  options: PrepareOptions = {},
): Promise<TrainingData> {
  const names = datasetNames(recipe);
  if (names.length === 0) throw new UserError("dataset: name at least one dataset of dataset_info.json");
  const mix = recipe.mix_strategy ?? "concat";
  if (names.length > 1 && mix !== "concat") {
    throw new UserError(`mix_strategy: ${mix} is not available in this version; use concat`);
  }
  const separator = documentSeparator(recipe.template, tokenizer);
  const bosId = tokenizer.addBos ? tokenizer.bosId : undefined;
  const intake = new Intake(tokenizer, separator, recipe.packing ? undefined : bosId, options);
  const random = new LegacyRandom(recipe.seed ?? 42);
  const datasets = [];
  const entries = await localEntries(recipe, names, options);
  for (const entry of entries) {
    const before = intake.arena.documents;
    await intake.dataset(entry, recipe.max_samples ?? Number.POSITIVE_INFINITY, random);
    datasets.push({ name: entry.name, documents: intake.arena.documents - before });
  }
  const { arena } = intake;
  const blocks = layBlocks(arena, {
    blockLength: recipe.cutoff_len,
    packing: recipe.packing,
    workers: recipe.preprocessing_num_workers ?? 1,
    batchSize: recipe.preprocessing_batch_size ?? 1000,
    bosId,
  });
  const summary: DataSummary = {
    datasets,
    documents: arena.documents,
    tokens: arena.tokens,
    blocks: blocks.length,
    droppedTokens: arena.tokens - blocks.tokens,
    separator,
    blockLength: recipe.cutoff_len,
    packing: recipe.packing,
  };
  if (blocks.length === 0) throw tooLittle(summary, recipe, entries);
  return { blocks, summary, evaluation: [] };
}

/** The entries of a recipe's datasets, with those of a hub fetched. */
async function localEntries(
  recipe: DataRecipe,
  names: readonly string[],
  { hub, signal }: PrepareOptions,
): Promise<DatasetEntry[]> {
  const entries = readDatasetInfo(recipe.dataset_dir ?? "data", names, hub?.modelScope ?? false);
  const local: DatasetEntry[] = [];
  for (const entry of entries) {
    const { name, source } = entry;
    if (source === undefined) {
      local.push(entry);
      continue;
    }
    if (hub === undefined) throw notFetched(source);
    const files = checkedFiles(`dataset: ${name}`, await hub.files(source, name, signal));
    if (files.length === 0)
      throw new UserError(
        `dataset: ${name}: ${source.repo} has no data files for split ${source.split}; correct subset, folder or split`,
      );
    local.push({ ...entry, files });
  }
  return local;
}

function tooLittle(summary: DataSummary, recipe: DataRecipe, entries: readonly DatasetEntry[]): UserError {
  const names = summary.datasets.map(({ name }) => name).join(", ");
  if (summary.documents === 0) {
    const files = entries.flatMap((entry) => entry.files).join(", ");
    return new UserError(`dataset: ${names} has no rows; add some to ${files}, such as {"text": "..."}`);
  }
  const documents = summary.documents === 1 ? "1 document" : `${summary.documents} documents`;
  const fill = summary.documents === 1 ? "fills" : "fill";
  const workers = recipe.preprocessing_num_workers ?? 1;
  const shared =
    workers > 1 ? `, lower preprocessing_num_workers (${workers}), which divides the corpus first,` : "";
  return new UserError(
    `dataset: the ${documents} of ${names} (${summary.tokens} tokens) ${fill} no block of ` +
      `${summary.blockLength}; lower cutoff_len${shared} or add data`,
  );
}

/** Tokenizes datasets one after another into one arena. */
class Intake {
  readonly arena = new TokenArena();
  readonly #tokenizer: Tokenizer;
  readonly #separator: string;
  /** Put before every document, where documents are not packed. */
  readonly #bosId: number | undefined;
  readonly #options: PrepareOptions;

  constructor(tokenizer: Tokenizer, separator: string, bosId: number | undefined, options: PrepareOptions) {
    this.#tokenizer = tokenizer;
    this.#separator = separator;
    this.#bosId = bosId;
    this.#options = options;
  }

  async dataset(entry: DatasetEntry, maxSamples: number, random: LegacyRandom): Promise<void> {
    if (entry.numSamples === undefined) {
      await this.#tokenize(entry, (row) => row < maxSamples, maxSamples, this.arena);
      return;
    }
    const rows = drawRows(random, await countAll(entry.files), entry.numSamples).subarray(0, maxSamples);
    const wanted = new Set(rows);
    const drawn = new TokenArena();
    await this.#tokenize(entry, (row) => wanted.has(row), Number.POSITIVE_INFINITY, drawn);
    // `drawn` holds the wanted rows in file order; the corpus takes them in drawn order, repeats included.
    const place = new Map([...wanted].sort((a, b) => a - b).map((row, index) => [row, index]));
    for (const row of rows) this.arena.append(drawn.document(place.get(row)!));
  }

  /** Tokenizes the rows before `end` that `wants` picks. One batch is encoded while the next is read. */
  async #tokenize(
    entry: DatasetEntry,
    wants: (row: number) => boolean,
    end: number,
    into: TokenArena,
  ): Promise<void> {
    let texts: string[] = [];
    let characters = 0;
    let row = 0;
    let encoding: Promise<void> = Promise.resolve();
    const flush = async (): Promise<void> => {
      await encoding;
      this.#options.signal?.throwIfAborted();
      encoding = this.#encode(texts, into);
      // A failure surfaces at the next await; until then it is not an unhandled rejection.
      encoding.catch(() => {});
      texts = [];
      characters = 0;
    };
    if (end > 0) {
      for await (const text of readDocuments(entry)) {
        if (wants(row)) {
          texts.push(text + this.#separator);
          characters += text.length;
        }
        if (++row >= end) break;
        if (texts.length >= BATCH_DOCUMENTS || characters >= BATCH_CHARACTERS) await flush();
      }
    }
    if (texts.length > 0) await flush();
    await encoding;
  }

  async #encode(texts: readonly string[], into: TokenArena): Promise<void> {
    for (const ids of await this.#tokenizer.encodeBatch(texts)) {
      if (this.#bosId === undefined) into.append(ids);
      else {
        const begun = new Int32Array(ids.length + 1);
        begun[0] = this.#bosId;
        begun.set(ids, 1);
        into.append(begun);
      }
    }
    const earlier = into === this.arena ? { documents: 0, tokens: 0 } : this.arena;
    this.#options.onProgress?.({
      documents: earlier.documents + into.documents,
      tokens: earlier.tokens + into.tokens,
    });
  }
}

async function countAll(files: readonly string[]): Promise<number> {
  let rows = 0;
  for (const file of files) rows += await countRows(file);
  return rows;
}

/** Rows in LLaMA-Factory's order: a permutation's head, then draws with replacement where more are asked for. */
function drawRows(random: LegacyRandom, rows: number, wanted: number): Int32Array {
  if (rows === 0) return new Int32Array(0);
  const head = random.permutation(rows).subarray(0, wanted);
  const more = random.choice(rows, wanted - head.length);
  const all = new Int32Array(wanted);
  all.set(head);
  all.set(more, head.length);
  return all;
}
