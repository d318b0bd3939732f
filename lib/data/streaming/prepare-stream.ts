// From a recipe with `streaming` to a stream of steps, and to evaluation sets, which are held in memory as usual.

import { packBlocks, type TokenBlocks } from "../blocks/packing.js";
import { TokenArena } from "../blocks/token-arena.js";
import { type DataRecipe, datasetNames, heldOut } from "../data-recipe.js";
import type { DatasetEntry } from "../datasets/dataset-info.js";
import { localEntries } from "../datasets/sources.js";
import { encodeDocuments } from "../intake/intake.js";
import type { Mixture } from "../random/mixing.js";
import { tooLittleHeld } from "../shortage.js";
import { documentSeparator } from "../tokenizer/template.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import type { EvaluationSet, PrepareOptions, TrainingData } from "../training-data.js";
import { StreamedSteps, type StreamOptions, streamBlocks } from "./block-stream.js";
import { type DocumentStream, streamDocuments } from "./document-stream.js";

const BUFFER = 16384;
const BATCH = 1000;

/** What prepareTrainingData gives for a stream. */
export async function prepareStream(
  recipe: DataRecipe,
  tokenizer: Tokenizer,
  mixture: Mixture,
  { hub, signal, share = { rank: 0, size: 1 } }: PrepareOptions,
): Promise<TrainingData> {
  const local = (key: "dataset" | "eval_dataset") => {
    const names = datasetNames(recipe, key);
    return names.length === 0 ? [] : localEntries(recipe, names, hub, signal);
  };
  const entries = await local("dataset");
  const evalEntries = await local("eval_dataset");
  const separator = documentSeparator(recipe.template, tokenizer);
  const bosId = tokenizer.addBos ? tokenizer.bosId : undefined;
  const bufferSize = recipe.buffer_size ?? BUFFER;
  const held = Math.trunc(heldOut(recipe) ?? 0);
  const options: StreamOptions = {
    documents: { entries, mixture, bufferSize },
    skip: held,
    tokenizer,
    rule: { separator, bosId: recipe.packing ? undefined : bosId },
    layout: {
      blockLength: recipe.cutoff_len,
      packing: recipe.packing,
      workers: 1,
      batchSize: 0,
      bosId,
    },
    batchDocuments: recipe.preprocessing_batch_size ?? BATCH,
    batchSize: recipe.per_device_train_batch_size ?? 8,
    accumulation: recipe.gradient_accumulation_steps ?? 1,
    dropLast: recipe.dataloader_drop_last ?? false,
    share,
    signal,
  };
  const evaluation: EvaluationSet[] = [];
  for (const { name, documents, most } of evaluationStreams(recipe, options, evalEntries, held))
    evaluation.push({ name, ...(await gather(options, documents, most)) });
  const short = evaluation.find((set) => set.blocks.length === 0);
  if (short !== undefined) throw tooLittleHeld(recipe, short);
  const stream = new StreamedSteps(options, (pass) => streamBlocks(options, pass));
  const first = entries.length === 0 ? undefined : await stream.firstBlock();
  const count = (recipe.max_steps ?? 0) * options.batchSize * options.accumulation * share.size;
  return {
    blocks: new StreamHead(first, count, recipe.cutoff_len),
    stream,
    evaluation,
    summary: {
      datasets: entries.map(({ name }) => ({ name, documents: 0 })),
      documents: 0,
      tokens: 0,
      blocks: count,
      droppedTokens: 0,
      streamed: true,
      evaluation: evaluation.map((set) => ({ ...set, blocks: set.blocks.length })),
      separator,
      blockLength: recipe.cutoff_len,
      packing: recipe.packing,
    },
    notes: notesOf(recipe, entries),
  };
}

function notesOf(recipe: DataRecipe, entries: readonly DatasetEntry[]): string[] {
  const notes = entries
    .filter(({ numSamples }) => numSamples !== undefined)
    .map(({ name }) => `dataset: num_samples of ${name} is not read when streaming, as in LLaMA-Factory`);
  const loaders = recipe.dataloader_num_workers ?? 0;
  if (loaders > 1) {
    notes.push(
      `dataloader_num_workers: the stream is in the order of one loader; LLaMA-Factory's is another with ${loaders}`,
    );
  }
  return notes;
}

/** The documents of each evaluation set: the head of the first pass, or separate datasets. */
function evaluationStreams(
  recipe: DataRecipe,
  { documents }: StreamOptions,
  entries: readonly DatasetEntry[],
  held: number,
): { name: string | undefined; documents: DocumentStream; most: number }[] {
  const most = Number.POSITIVE_INFINITY;
  if (held > 0) return [{ name: undefined, documents, most: held }];
  if (entries.length === 0) return [];
  if (!recipe.eval_on_each_dataset) return [{ name: undefined, documents: { ...documents, entries }, most }];
  return entries.map((entry) => ({
    name: entry.name,
    documents: { ...documents, entries: [entry], bufferSize: undefined },
    most,
  }));
}

/** The blocks of a stream's first pass, in memory. */
async function gather(
  { tokenizer, rule, layout, batchDocuments, signal }: StreamOptions,
  stream: DocumentStream,
  most: number,
): Promise<{ blocks: TokenBlocks; documents: number }> {
  const arena = new TokenArena();
  let texts: string[] = [];
  for await (const text of streamDocuments(stream, 0)) {
    texts.push(text);
    if (arena.documents + texts.length >= most) break;
    if (texts.length < batchDocuments) continue;
    signal?.throwIfAborted();
    await encodeDocuments(tokenizer, rule, texts, arena);
    texts = [];
  }
  await encodeDocuments(tokenizer, rule, texts, arena);
  const blocks = packBlocks(arena, { ...layout, batchSize: batchDocuments });
  return { blocks, documents: arena.documents };
}

/** Stands for the blocks of all steps of a stream: their number, and the first of them. */
class StreamHead implements TokenBlocks {
  readonly length: number;
  readonly tokens: number;
  readonly #first: Int32Array | undefined;

  constructor(first: Int32Array | undefined, length: number, blockLength: number) {
    this.#first = first;
    this.length = length;
    this.tokens = length * blockLength;
  }

  get(index: number): Int32Array {
    if (index === 0 && this.#first !== undefined) return this.#first.slice();
    throw new RangeError(`block ${index} of a stream comes with its step`);
  }
}
