// How well a model predicts documents: nats a document, from which perplexity, bits per character and next-token
// accuracy follow. Documents are scored one by one, not packed: a figure depends on no neighbour.
import type { Tokenizer } from "../data/index.js";
import type { CausalModel } from "../models/causal-model.js";
import { inPart, passageOf } from "../step/passage.js";
import { autocast, type Device, type DType, noGrad, scope, type Tensor, tensor } from "../torch/index.js";

/** What a model makes of one document, its end included. */
export interface DocumentScore {
  /** Tokens predicted: the document's and the one that ends it. */
  readonly tokens: number;
  /** Unicode code points of the text. */
  readonly characters: number;
  /** Sum of -ln p over the tokens. */
  readonly nats: number;
  /** Tokens that were the likeliest one. */
  readonly correct: number;
}

/** The sum over documents, and the figures that compare models. */
export interface Score extends DocumentScore {
  /** Documents that were scored. */
  readonly documents: number;
  /** nats / tokens */
  readonly loss: number;
  /** exp(nats / tokens): compares models with the same tokenizer. */
  readonly perplexity: number;
  /** nats / (ln 2 x characters): compares models of any tokenizer. */
  readonly bitsPerCharacter: number;
  /** Share of the tokens that were the likeliest one. */
  readonly accuracy: number;
}

/** Processes that score the same documents together, each its share of the batches. */
export interface ScoringRanks {
  /** Number of this one, from 0. */
  readonly rank: number;
  readonly size: number;
  /** Whether a pass through the model takes all of them. */
  readonly isTogether: boolean;
  /** Sums over the processes, element by element. */
  sum(values: readonly number[]): Promise<number[]>;
}

/** How documents are scored. */
export interface ScoreOptions {
  /** Where the model is. */
  device: Device;
  /** Tokens that the model sees at once; a longer document is read in windows that overlap by half. Default 1024. */
  length?: number;
  /** Stands in front of every text and is not scored, such as a language tag. */
  context?: string;
  /** autocast's dtype; none computes in the weights' own. */
  compute?: DType;
  /** Ends the scoring between batches, with its reason as the error. */
  signal?: AbortSignal;
  /** Asked between batches; true ends the scoring with an AbortError. */
  isAborted?: () => boolean;
  /** Left out: one process. */
  ranks?: ScoringRanks;
  /** Called after each batch with the tokens that were read and those that will have been. */
  onProgress?: (done: number, total: number) => void;
}

/** What is counted of a document as its windows are scored. */
type Counted = { -readonly [field in "tokens" | "nats" | "correct"]: number };

interface Window {
  document: number;
  /** Inputs and, behind them, the last target. */
  ids: Int32Array;
  /** The first target that counts: what the window before has scored is context. */
  from: number;
}

/** Tokens of a batch of windows; one window at least. */
const BATCH_TOKENS = 4096;
/** Rows whose logits exist at a time. */
const CHUNK_ROWS = 256;

/**
 * Scores documents in order. Each starts after the end-of-text token, as in packed training, so that its first token
 * is predicted too. Exact for documents of up to `length` tokens.
 */
export async function scoreDocuments(
  model: CausalModel,
  tokenizer: Pick<Tokenizer, "encodeBatch" | "eosId">,
  texts: readonly string[],
  options: ScoreOptions,
): Promise<DocumentScore[]> {
  const { length = 1024 } = options;
  const scores = texts.map((text) => ({ tokens: 0, characters: [...text].length, nats: 0, correct: 0 }));
  const windows: Window[] = [];
  const [context = new Int32Array()] = options.context ? await tokenizer.encodeBatch([options.context]) : [];
  for (const [document, ids] of (await tokenizer.encodeBatch(texts)).entries()) {
    const whole = Int32Array.from([tokenizer.eosId, ...context, ...ids, tokenizer.eosId]);
    for (const window of windowsOf(whole, length, context.length)) windows.push({ document, ...window });
  }
  // windows of a size together, so that little is padding
  windows.sort((a, b) => b.ids.length - a.ids.length);
  await scoreWindows(model, batchesOf(windows), scores, options);
  return scores;
}

const alone: ScoringRanks = { rank: 0, size: 1, isTogether: false, sum: async (values) => [...values] };

/** Batches in rounds of one for each process; what they find is the same everywhere. */
async function scoreWindows(
  model: CausalModel,
  batches: readonly (readonly Window[])[],
  scores: Counted[],
  options: ScoreOptions,
): Promise<void> {
  const { rank, size, isTogether, sum } = options.ranks ?? alone;
  const tokensOf = (some: readonly (readonly Window[])[]): number =>
    some.flat().reduce((count, { ids }) => count + ids.length, 0);
  const total = tokensOf(batches);
  const wasTraining = model.training;
  let [done, aborted] = [0, false];
  model.eval();
  try {
    for (let first = 0; first < batches.length && !aborted; first += size) {
      options.signal?.throwIfAborted();
      aborted = options.isAborted?.() === true;
      if (isTogether) aborted = (await sum([Number(aborted)]))[0] !== 0;
      const own = batches[first + rank];
      if (aborted || (own === undefined && !isTogether)) continue;
      // where a pass takes all, one that has no batch left computes another's
      const counted = own === undefined ? scores.map(() => ({ tokens: 0, nats: 0, correct: 0 })) : scores;
      scoreBatch(model, own ?? (batches[first] as Window[]), counted, options);
      done += tokensOf(batches.slice(first, first + size));
      options.onProgress?.(done, total);
      await new Promise(setImmediate); // a signal can fire here
    }
  } finally {
    model.train(wasTraining);
  }
  if (size > 1) aborted = await addUp(scores, aborted, sum);
  if (aborted) throw new DOMException("the scoring was ended early", "AbortError");
}

/** Adds the other processes' counts; whether one of them was ended early. */
async function addUp(scores: Counted[], aborted: boolean, sum: ScoringRanks["sum"]): Promise<boolean> {
  const own = scores.flatMap(({ tokens, nats, correct }) => [tokens, nats, correct]);
  const [stopped, ...all] = await sum([Number(aborted), ...own]);
  for (const [at, score] of scores.entries())
    [score.tokens, score.nats, score.correct] = all.slice(3 * at, 3 * at + 3) as [number, number, number];
  return stopped !== 0;
}

/** Windows, the longest first, in batches. */
function batchesOf(windows: readonly Window[]): Window[][] {
  const batches: Window[][] = [];
  for (let at = 0; at < windows.length; ) {
    const rows = Math.max(1, Math.floor(BATCH_TOKENS / (windows[at] as Window).ids.length));
    batches.push(windows.slice(at, at + rows));
    at += rows;
  }
  return batches;
}

/** The sum of documents' scores. */
export function totalScore(scores: readonly DocumentScore[]): Score {
  const sum = (field: keyof DocumentScore) => scores.reduce((total, score) => total + score[field], 0);
  const [tokens, characters, nats, correct] = [sum("tokens"), sum("characters"), sum("nats"), sum("correct")];
  const loss = nats / tokens;
  return {
    documents: scores.length,
    tokens,
    characters,
    nats,
    correct,
    loss,
    perplexity: Math.exp(loss),
    bitsPerCharacter: nats / (Math.LN2 * characters),
    accuracy: correct / tokens,
  };
}

/** @param given targets at the beginning that are not scored */
function* windowsOf(whole: Int32Array, length: number, given: number): Generator<Omit<Window, "document">> {
  const targets = whole.length - 1;
  const stride = Math.max(1, length >> 1);
  let scored = given;
  for (let start = 0; scored < targets; start += stride) {
    const end = Math.min(start + length, targets);
    if (end <= scored) continue;
    yield { ids: whole.subarray(start, end + 1), from: scored - start };
    scored = end;
  }
}

/** Adds the scores of windows, the longest first, to their documents'. */
function scoreBatch(
  model: CausalModel,
  windows: readonly Window[],
  scores: readonly Counted[],
  { device, compute }: ScoreOptions,
): void {
  const length = (windows[0] as Window).ids.length - 1;
  const inputs = new Int32Array(windows.length * length); // what pads is after the last target: nothing sees it
  const rows: number[] = [];
  const targets: number[] = [];
  const owners: number[] = [];
  for (const [index, { ids, from, document }] of windows.entries()) {
    inputs.set(ids.subarray(0, -1), index * length);
    for (let at = from; at < ids.length - 1; at++) {
      rows.push(index * length + at);
      targets.push(ids[at + 1] as number);
      owners.push(document);
    }
  }
  scope(() =>
    noGrad(() =>
      autocast(
        compute,
        () => {
          const ids = tensor(inputs, { shape: [windows.length, length], dtype: "int64", device });
          const last = lastOutput(model, ids);
          const passage = passageOf(model);
          inPart(passage, "head", () => {
            const hidden = model.norm(last).flatten(0, 1).indexSelect(0, indices(rows, device));
            for (let start = 0; start < rows.length; start += CHUNK_ROWS) {
              const count = Math.min(CHUNK_ROWS, rows.length - start);
              const wanted = targets.slice(start, start + count);
              const { nats, correct } = scoreRows(model, hidden.narrow(0, start, count), wanted, device);
              for (let i = 0; i < count; i++) {
                const score = scores[owners[start + i] as number] as Counted;
                score.tokens += 1;
                score.nats += nats[i] as number;
                score.correct += correct[i] as number;
              }
            }
          });
          passage.end();
        },
        device,
      ),
    ),
  );
}

/** ids [batch, length] -> the last block's output [batch, length, d] */
function lastOutput(model: CausalModel, ids: Tensor): Tensor {
  const passage = passageOf(model);
  let hidden = inPart(passage, "embedding", () => model.embed(ids));
  const positions = model.rope(ids.size(1), hidden);
  for (const [index, block] of model.layers.entries())
    hidden = inPart(passage, index, () => scope(() => block.forward(hidden, positions as never)));
  return hidden;
}

function scoreRows(
  model: CausalModel,
  hidden: Tensor,
  targets: readonly number[],
  device: Device,
): { nats: ArrayLike<number>; correct: ArrayLike<number> } {
  return scope(() => {
    const logits = model.head(hidden); // [rows, vocabulary]
    const logProbabilities = (logits.dtype === "float64" ? logits : logits.float()).logSoftmax(-1);
    const wanted = indices(targets, device);
    const nats = logProbabilities.gather(1, wanted.unsqueeze(1)).squeeze(1).neg();
    const correct = logProbabilities.argmax(-1).eq(wanted).to("uint8");
    return { nats: nats.to("float64").toArray() as Float64Array, correct: correct.toArray() as Uint8Array };
  });
}

function indices(values: readonly number[], device: Device): Tensor {
  return tensor(Int32Array.from(values), { dtype: "int64", device });
}
