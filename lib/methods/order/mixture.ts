// The shares of a mixture, from weights, from a temperature or stage by stage. It draws nothing.

import type { BlockSource } from "../../data/index.js";

/** A part of the run: from its first block on, each source's share of the tokens. */
export interface MixStage {
  /** The block of the run with which it begins. */
  readonly first: number;
  /** By source, summing to 1; 0 for those that are replayed. */
  readonly shares: readonly number[];
}

/** Weights by name, as shares of the sources; a source without a weight has the share 0. */
export function sharesOf(
  sources: readonly BlockSource[],
  weights: Readonly<Record<string, number>>,
): number[] {
  const found = sources.map(({ name, replay }) =>
    replay || !Object.hasOwn(weights, name) ? 0 : weights[name]!,
  );
  const sum = found.reduce((total, weight) => total + weight, 0);
  return found.map((weight) => weight / sum);
}

/**
 * Shares by size: p_i in proportion to n_i^(1 / temperature), n_i being the tokens of a source's blocks. At 1 each source
 * has the share of its size, at high temperatures all have the same.
 */
export function temperedShares(
  sources: readonly BlockSource[],
  tokensOf: (source: BlockSource) => number,
  temperature: number,
): number[] {
  return sharesOf(
    sources,
    Object.fromEntries(sources.map((source) => [source.name, tokensOf(source) ** (1 / temperature)])),
  );
}
