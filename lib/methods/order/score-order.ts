// Blocks and documents from easy to hard. Each dataset is ordered by itself: what is easy is easy for its kind.

import type { BlockSource } from "../../data/index.js";

/**
 * Where each block stands among its source's: (rank + 1/2) / blocks, in (0, 1). Without scores blocks rank as they stand,
 * as documents that were sorted before packing leave them.
 *
 * @param scores by block, the lowest the easiest; equal ones rank as they stand
 */
export function quantiles(sources: readonly BlockSource[], scores?: ArrayLike<number>): Float64Array {
  const found = new Float64Array(sources.reduce((sum, { blocks }) => sum + blocks, 0));
  for (const { first, blocks } of sources) {
    const order = Array.from({ length: blocks }, (_, i) => first + i);
    if (scores !== undefined) order.sort((a, b) => scores[a]! - scores[b]!);
    for (const [rank, block] of order.entries()) found[block] = (rank + 0.5) / blocks;
  }
  return found;
}

/** Positions by the scores of what they name, the easiest first; equal ones stay in their order. */
export function sortedByScore(positions: Int32Array, scores: ArrayLike<number>): Int32Array {
  return positions.slice().sort((a, b) => scores[a]! - scores[b]!);
}
