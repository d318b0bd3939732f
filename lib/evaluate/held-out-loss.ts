// The loss on held-out blocks, set by set: transformers' evaluation loop. Blocks come in order, nothing is trained,
// nothing is logged here.
import { type Batch, batchOf, type EvaluationSet, IGNORED_LABEL } from "../data/index.js";
import { pythonRound } from "../files/python-json.js";
import type { CausalModel } from "../models/causal-model.js";
import { drawLoaderSeed } from "../step/loader-seed.js";
import { evaluateBatch, StepAborted } from "../step/micro-step.js";
import type { Device, DType } from "../torch/index.js";

/** What {@link evaluateSets} works with. */
export interface EvaluationOptions {
  /** Computes; left in training mode. */
  model: CausalModel;
  /** Held-out blocks, set by set. */
  sets: readonly EvaluationSet[];
  /** Fills rows of unequal length; wherever it stands there is no label. */
  padId: number;
  /** Where the model is. */
  device: Device;
  /** autocast's dtype; undefined computes in the weights' own. */
  compute: DType | undefined;
  /** Blocks of a batch. */
  batchSize: number;
  /** Leave out a last batch that is not full. */
  dropLast: boolean;
  /** The processes that share a set's batches; default: one. */
  ranks?: EvaluationRanks;
  /** Asked between batches and blocks of the model; true ends the evaluation without a result. */
  isAborted?: () => boolean;
  /** Called after each batch with the set's name and how many of its batches are done. */
  onBatch?: (progress: { set: string | undefined; done: number; total: number }) => void;
}

/** The processes of an evaluation, as one of them asks for them. */
export interface EvaluationRanks {
  readonly size: number;
  /** Whether a batch takes several of them, and none may leave the others alone with one. */
  readonly isTogether: boolean;
  /** The blocks of an order that are this process's. */
  share(order: Int32Array, batchSize: number, dropLast: boolean): Int32Array;
  /** What of one of its batches this process computes. */
  part(batch: Batch, padId: number): Batch;
  /** Sums over the processes, element by element. */
  sum(values: readonly number[]): Promise<number[]>;
}

/** An evaluation's figures, by set in order: `eval_loss` or `eval_NAME_loss`, and the speeds. */
export type SetMetrics = Record<string, number>;

/**
 * Evaluates every set; undefined where it was aborted. The model is in training mode afterwards.
 * As in training, a batch's loss is the sum over the shifted positions over the count of unshifted labels; a set's
 * loss is the mean of its batches' weighted by their blocks.
 */
export async function evaluateSets(options: EvaluationOptions): Promise<SetMetrics[] | undefined> {
  const { model, sets } = options;
  model.eval();
  try {
    const found: SetMetrics[] = [];
    for (const set of sets) found.push(await evaluateSet(set, options));
    return found;
  } catch (error) {
    if (error instanceof StepAborted) return undefined;
    throw error;
  } finally {
    model.train();
  }
}

async function evaluateSet(set: EvaluationSet, options: EvaluationOptions): Promise<SetMetrics> {
  const { batchSize, ranks } = options;
  const { length } = set.blocks;
  const started = performance.now();
  drawLoaderSeed();
  const own = await ownSum(set, options);
  const [sum, blocks, aborted] = (await ranks?.sum([own.sum, own.blocks, Number(own.aborted)])) ?? [
    own.sum,
    own.blocks,
    Number(own.aborted),
  ];
  if (aborted) throw new StepAborted("the evaluation was ended early");
  const seconds = (performance.now() - started) / 1000;
  const prefix = set.name === undefined ? "eval" : `eval_${set.name}`;
  return {
    [`${prefix}_loss`]: (sum as number) / (blocks as number),
    [`${prefix}_runtime`]: pythonRound(seconds, 4),
    [`${prefix}_samples_per_second`]: pythonRound(length / seconds, 3),
    [`${prefix}_steps_per_second`]: pythonRound(Math.ceil(length / batchSize) / seconds, 3),
  };
}

/** The losses of this process's batches, weighted by their blocks; blocks that only fill up a last batch do not count. */
async function ownSum(
  set: EvaluationSet,
  options: EvaluationOptions,
): Promise<{ sum: number; blocks: number; aborted: boolean }> {
  const { batchSize, dropLast, ranks, onBatch } = options;
  const { length } = set.blocks;
  const all = Int32Array.from({ length }, (_, block) => block);
  const order = ranks?.share(all, batchSize, dropLast) ?? all;
  const batches = dropLast ? Math.floor(order.length / batchSize) : Math.ceil(order.length / batchSize);
  let sum = 0;
  let blocks = 0;
  let before = -1;
  for (let at = 0; at < batches; at++) {
    await new Promise((resolve) => setImmediate(resolve)); // a signal can fire here
    const indices = Array.from(order.subarray(at * batchSize, (at + 1) * batchSize));
    let counted = indices.filter((block) => block > before).length; // after the last block it begins again
    before = Math.max(before, ...indices);
    if (ranks?.isTogether) {
      const [stopping] = await ranks.sum([Number(options.isAborted?.() ?? false)]);
      if (stopping) return { sum, blocks, aborted: true };
    }
    if (counted > 0 || ranks?.isTogether) {
      try {
        const whole = batchOf(set.blocks, indices, options.padId);
        const batch = ranks?.part(whole, options.padId) ?? whole;
        sum += counted * lossOf(batch, labelsOf(whole), options);
        if (batch.part !== undefined && batch.part.place > 0) counted = 0; // another has counted them
      } catch (error) {
        if (error instanceof StepAborted) return { sum, blocks, aborted: true };
        throw error;
      }
    }
    blocks += counted;
    onBatch?.({ set: set.name, done: at + 1, total: batches });
  }
  return { sum, blocks, aborted: false };
}

const labelsOf = ({ labels }: Batch): number =>
  labels.reduce((count, label) => count + (label === IGNORED_LABEL ? 0 : 1), 0);

/** The loss of what this process has of a batch, over the labels of all of it. */
function lossOf(
  batch: Batch,
  labelled: number,
  { model, device, compute, ranks, isAborted }: EvaluationOptions,
): number {
  if (!ranks?.isTogether && isAborted?.() === true) throw new StepAborted("the evaluation was ended early");
  return evaluateBatch(model, batch, { device, compute, scale: 1 / labelled, isAborted });
}

/** `eval_perplexity`, or `eval_NAME_perplexity`, of every loss: exp(loss). */
export function perplexities(metrics: SetMetrics): SetMetrics {
  return Object.fromEntries(
    Object.entries(metrics)
      .filter(([key]) => key.endsWith("_loss"))
      .map(([key, loss]) => [key.replace(/_loss$/, "_perplexity"), Math.exp(loss)]),
  );
}
