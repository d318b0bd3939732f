// From a recipe to training and evaluation blocks: read, tokenize, mix, split, cut. The one pass over the data happens
// here; only token ids stay. What reads and keeps a corpus is loaded when one is read: an import of the package is quick.

import { UserError } from "../errors.js";
import type { ArrangeableSource } from "./arrangement.js";
import { DocumentIds } from "./blocks/document-ids.js";
import { packBlocks, type TokenBlocks } from "./blocks/packing.js";
import { type Documents, select } from "./blocks/selection.js";
import { bySource, packBySource, type SourceDocuments, type SourcedBlocks } from "./blocks/sourced-blocks.js";
import type { DataSummary } from "./blocks/summary.js";
import { type DataRecipe, type DatasetKey, datasetNames, heldOut, mixtureOf } from "./data-recipe.js";
import type { DatasetEntry } from "./datasets/dataset-info.js";
import { localEntries } from "./datasets/sources.js";
import type { Intake } from "./intake/intake.js";
import { heldOutSplit, type Mixture, mixedOrder } from "./random/mixing.js";
import { LegacyRandom } from "./random/numpy-random.js";
import { tooLittleData, tooLittleHeld } from "./shortage.js";
import { holdsTokens, loadTokens, requireWritable, saveTokens } from "./tokenized-path/saved-blocks.js";
import { documentSeparator } from "./tokenizer/template.js";
import type { Tokenizer } from "./tokenizer/tokenizer.js";
import type { PrepareOptions, TrainingData } from "./training-data.js";

/**
 * The training and evaluation blocks of a recipe: the same as LLaMA-Factory's for the same keys, token by token.
 *
 * @throws UserError for anything wrong with the recipe's data, and where there is too little for one block
 */
export async function prepareTrainingData(
  recipe: DataRecipe,
  tokenizer: Tokenizer,
  options: PrepareOptions = {},
): Promise<TrainingData> {
  const mixture = mixtureOf(recipe);
  if (datasetNames(recipe).length + datasetNames(recipe, "eval_dataset").length === 0) {
    throw new UserError("dataset: name at least one dataset of dataset_info.json");
  }
  if (recipe.streaming) {
    const { prepareStream } = await import("./streaming/prepare-stream.js");
    return prepareStream(recipe, tokenizer, mixture, options);
  }
  const cache = recipe.tokenized_path;
  if (cache && holdsTokens(cache)) return loadTokens(cache, tokenizer, recipe);
  if (cache) requireWritable(cache);
  const data = await tokenize(recipe, tokenizer, mixture, options);
  if (!cache) return data;
  saveTokens(cache, data, tokenizer);
  return {
    ...data,
    notes: [
      ...data.notes,
      `tokenized_path: the blocks are saved in ${cache}; the next run takes them from there`,
    ],
  };
}

async function tokenize(
  recipe: DataRecipe,
  tokenizer: Tokenizer,
  mixture: Mixture,
  options: PrepareOptions,
): Promise<TrainingData> {
  const [{ Intake }, { CorpusCache }, { cacheSettings }] = await Promise.all([
    import("./intake/intake.js"),
    import("./token-cache/corpus-cache.js"),
    import("./token-cache/settings.js"),
  ]);
  const separator = documentSeparator(recipe.template, tokenizer);
  const bosId = tokenizer.addBos ? tokenizer.bosId : undefined;
  const cache = new CorpusCache(recipe.tokenized_path ? undefined : cacheSettings(), {
    overwrite: recipe.overwrite_cache ?? false,
    signal: options.signal,
    onWait: options.onWait,
  });
  const rule = { separator, bosId: recipe.packing ? undefined : bosId };
  const intake = new Intake(tokenizer, rule, cache, options);
  const random = new LegacyRandom(recipe.seed ?? 42);
  const corpora = await readCorpora(recipe, "dataset", intake, random, options);
  const evalCorpora = await readCorpora(recipe, "eval_dataset", intake, random, options);
  const replayed = options.bySource
    ? await readCorpora(recipe, "replay_dataset", intake, random, options)
    : undefined;
  const corpus = intake.corpus();
  const { train, held } = divide(recipe, mix(corpora, mixture, "dataset"), evalCorpora, mixture);
  const lay = (ids: DocumentIds) => {
    const documents = select(corpus, ids);
    const blocks = packBlocks(documents, {
      blockLength: recipe.cutoff_len,
      packing: recipe.packing,
      isolated: recipe.neat_packing ?? false,
      workers: recipe.preprocessing_num_workers ?? 1,
      batchSize: recipe.preprocessing_batch_size ?? 1000,
      bosId,
    });
    return { documents, blocks };
  };
  const owner = (id: number) => intake.datasetOf(id);
  const arranged = replayed && (await arrange({ train, corpora, replayed, owner, corpus }, options.bySource));
  const sourced = arranged && packSources(recipe, arranged.sources, lay);
  const { documents, blocks } = sourced ?? lay(train);
  const evaluation = held.map(({ name, ids }) => ({
    name,
    blocks: lay(ids).blocks,
    documents: ids.length,
  }));
  const summary: DataSummary = {
    datasets: [...corpora, ...(replayed ?? [])].map(({ name, ids }) => ({ name, documents: ids.length })),
    documents: documents.documents,
    tokens: documents.tokens,
    blocks: blocks.length,
    droppedTokens: documents.tokens - blocks.tokens,
    evaluation: evaluation.map((set) => ({ ...set, blocks: set.blocks.length })),
    separator,
    blockLength: recipe.cutoff_len,
    packing: recipe.packing,
  };
  if (blocks.length === 0 && corpora.length > 0)
    throw tooLittleData(recipe, corpora, documents.documents, documents.tokens);
  const short = evaluation.find((set) => set.blocks.length === 0);
  if (short !== undefined) throw tooLittleHeld(recipe, short);
  const notes = [...cache.notes, ...(arranged?.notes ?? [])];
  const warnings = [...cache.warnings, ...slowEncoding(tokenizer)];
  return { blocks, sources: sourced?.blocks.sources, summary, evaluation, notes, warnings };
}

/** What to say of a tokenizer that nothing quick encodes for. */
function slowEncoding({ dir, engine, encodeRows }: Tokenizer): string[] {
  if (engine !== "script" || encodeRows !== undefined) return [];
  return [
    `tokenizer: that of ${dir} is not of Qwen's form, and JavaScript encodes it, ten times as slowly as the package tokenizers would: npm install tokenizers`,
  ];
}

/** The training documents of each dataset: all of them, or those that the policy takes. */
async function arrange(
  given: {
    train: DocumentIds;
    corpora: readonly ReadCorpus[];
    replayed: readonly ReadCorpus[];
    owner: (id: number) => number;
    corpus: Documents;
  },
  policy: PrepareOptions["bySource"],
): Promise<{ sources: SourceDocuments[]; notes: readonly string[] }> {
  const { corpora, corpus } = given;
  const names = corpora.map(({ name }) => name);
  const replayed = given.replayed.map(({ name, ids }) => ({ name, replay: true, ids }));
  const sources = [...bySource(given.train, names, given.owner), ...replayed];
  if (typeof policy !== "function") return { sources, notes: [] };
  const { chosen, notes } = await policy(
    [...corpora, ...given.replayed].map((entry, index): ArrangeableSource => {
      const { ids, replay } = sources[index]!;
      const first = entry.ids.first ?? 0;
      return {
        entry,
        replay,
        documents: ids.length,
        row: (document) => ids.at(document) - first,
        tokens: (document) => corpus.start(ids.at(document) + 1) - corpus.start(ids.at(document)),
      };
    }),
  );
  const taken = sources.map((source, index) => {
    const positions = chosen[index];
    return positions === undefined ? source : { ...source, ids: source.ids.pick(positions) };
  });
  return { sources: taken, notes };
}

/** The documents of each dataset, packed by themselves, and the totals. */
function packSources(
  recipe: DataRecipe,
  sources: readonly SourceDocuments[],
  lay: (ids: DocumentIds) => { documents: Documents; blocks: TokenBlocks },
): { documents: { documents: number; tokens: number }; blocks: SourcedBlocks } {
  const blocks = packBySource(sources, lay, recipe.cutoff_len);
  const total = (field: "documents" | "tokens") =>
    blocks.sources.reduce((sum, source) => sum + source[field], 0);
  return { documents: { documents: total("documents"), tokens: total("tokens") }, blocks };
}

/** A dataset as it was read: the corpus's numbers of its documents. */
interface ReadCorpus extends DatasetEntry {
  readonly ids: DocumentIds;
}

async function readCorpora(
  recipe: DataRecipe,
  key: DatasetKey,
  intake: Intake,
  random: LegacyRandom,
  { hub, signal }: PrepareOptions,
): Promise<ReadCorpus[]> {
  const names = datasetNames(recipe, key);
  if (names.length === 0) return [];
  const most = recipe.max_samples ?? Number.POSITIVE_INFINITY;
  const corpora: ReadCorpus[] = [];
  for (const entry of await localEntries(recipe, names, hub, signal)) {
    corpora.push({ ...entry, ids: await intake.dataset(entry, most, random) });
  }
  return corpora;
}

/** Several datasets as one. */
function mix(corpora: readonly ReadCorpus[], mixture: Mixture, key: string): DocumentIds {
  const all = DocumentIds.join(corpora.map(({ ids }) => ids));
  const empty = corpora.find(({ ids }) => ids.length === 0);
  if (empty !== undefined && corpora.length > 1 && mixture.strategy !== "concat") {
    throw new UserError(`${key}: ${empty.name} has no rows to interleave; leave it out, or add some`);
  }
  const order = mixedOrder(
    corpora.map(({ ids }) => ids.length),
    mixture,
  );
  return order === undefined ? all : all.pick(order);
}

interface Held {
  readonly name: string | undefined;
  readonly ids: DocumentIds;
}

/** Training documents and what is held out of them, or read beside them, for evaluation. */
function divide(
  recipe: DataRecipe,
  documents: DocumentIds,
  evalCorpora: readonly ReadCorpus[],
  mixture: Mixture,
): { train: DocumentIds; held: Held[] } {
  const size = heldOut(recipe);
  if (size !== undefined && documents.length > 0) {
    const { train, test } = heldOutSplit(documents.length, size, mixture.seed);
    return { train: documents.pick(train), held: [{ name: undefined, ids: documents.pick(test) }] };
  }
  if (evalCorpora.length === 0) return { train: documents, held: [] };
  const held = recipe.eval_on_each_dataset
    ? evalCorpora
    : [{ name: undefined, ids: mix(evalCorpora, mixture, "eval_dataset") }];
  return { train: documents, held: [...held] };
}
