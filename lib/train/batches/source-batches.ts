// The micro-steps of one optimizer step where blocks have sources: blocks of one source each, so that a micro-step's loss
// is its source's. The sum of gradients, and so the step, is the same whichever micro-step a block is in.
import { type Batch, IGNORED_LABEL, type SourceSampler, tokensOf } from "../../data/index.js";
import type { SourceLoss } from "./source-account.js";

/** A batch, and the number of the source that all its blocks are of, where blocks have one. */
export interface SourcedBatch extends Batch {
  readonly source?: number;
}

/**
 * The blocks of a step, cut into micro-steps of at most `size` blocks of one source. Sources come in the order of their
 * first block, blocks of a source in their order; with `size` 1 nothing is moved.
 */
export function sourceBatches(
  blocks: Int32Array,
  size: number,
  sampler: SourceSampler,
): { source: number; blocks: number[] }[] {
  const of = (block: number) => ({ source: sampler.sourceOf(block), blocks: [block] });
  if (size === 1) return Array.from(blocks, of);
  const groups = new Map<number, number[]>();
  for (const block of blocks) {
    const source = sampler.sourceOf(block);
    const group = groups.get(source);
    if (group === undefined) groups.set(source, [block]);
    else group.push(block);
  }
  return [...groups].flatMap(([source, all]) =>
    Array.from({ length: Math.ceil(all.length / size) }, (_, i) => ({
      source,
      blocks: all.slice(i * size, (i + 1) * size),
    })),
  );
}

/** A micro-step's part in the account; `nats` is the sum of -ln p over its labels. */
export function sourceLoss(batch: Batch, source: number, nats: number): SourceLoss {
  const { labels, attentionMask } = batch;
  return {
    source,
    nats,
    labels: labels.reduce((count, label) => count + (label === IGNORED_LABEL ? 0 : 1), 0),
    tokens: attentionMask === undefined ? tokensOf(batch) : attentionMask.reduce((sum, one) => sum + one, 0),
  };
}
