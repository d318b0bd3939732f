// The order in which several datasets are mixed, and the split into training and held-out documents: positions only,
// as Hugging Face's datasets computes them (interleave_datasets, train_test_split). It knows no documents.

import { UserError } from "../../errors.js";
import { NumpyGenerator } from "./numpy-generator.js";

/** One dataset after another, or interleaved until the first, all or every document is used up. */
export type MixStrategy = "concat" | "interleave_under" | "interleave_over" | "interleave_once";

/** How several datasets are mixed. */
export interface Mixture {
  readonly strategy: MixStrategy;
  /** How likely each dataset is drawn; undefined to take them in turn. */
  readonly probabilities: readonly number[] | undefined;
  readonly seed: number;
}

/** datasets draw from numpy a thousand numbers at a time; the numbers are the same ones by one. */
export const DRAWS = 1000;

/**
 * Where each document of a mixture stands in the datasets laid end to end; undefined where they simply follow one
 * another. `interleave_under` ends with the first dataset that is used up, `interleave_over` begins used up ones again
 * until all have been, `interleave_once` takes every document once.
 */
export function mixedOrder(lengths: readonly number[], mixture: Mixture): Int32Array | undefined {
  if (mixture.strategy === "concat" || lengths.length < 2) return undefined;
  const { probabilities, seed } = mixture;
  return Int32Array.from(
    probabilities === undefined
      ? inTurn(lengths, mixture.strategy)
      : drawn(lengths, mixture.strategy, probabilities, seed),
  );
}

function inTurn(lengths: readonly number[], strategy: MixStrategy): number[] {
  const offsets = offsetsOf(lengths);
  const rounds = strategy === "interleave_under" ? Math.min(...lengths) : Math.max(...lengths);
  const order: number[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const [source, length] of lengths.entries()) {
      if (length === 0 || (strategy === "interleave_once" && round >= length)) continue;
      order.push(offsets[source]! + (round % length));
    }
  }
  return order;
}

function drawn(
  lengths: readonly number[],
  strategy: MixStrategy,
  probabilities: readonly number[],
  seed: number,
): number[] {
  const offsets = offsetsOf(lengths);
  const generator = new NumpyGenerator(seed);
  const exhausted = lengths.map(() => false);
  const next = lengths.map(() => 0);
  const isOver = () => (strategy === "interleave_under" ? exhausted.some(Boolean) : exhausted.every(Boolean));
  const order: number[] = [];
  for (;;) {
    for (const source of generator.choice(DRAWS, probabilities)) {
      if (isOver()) return order;
      if (strategy === "interleave_once" && exhausted[source]) continue;
      order.push(offsets[source]! + next[source]!++);
      if (next[source]! < lengths[source]!) continue;
      exhausted[source] = true;
      if (strategy !== "interleave_once") next[source] = 0;
    }
  }
}

function offsetsOf(lengths: readonly number[]): number[] {
  let sum = 0;
  return lengths.map((length) => {
    sum += length;
    return sum - length;
  });
}

/**
 * train_test_split's permutation: the held-out positions first, then the training ones, each in shuffled order.
 *
 * @param valSize a share below 1, or a number of documents
 * @throws UserError where nothing would be left to train on
 */
export function heldOutSplit(
  documents: number,
  valSize: number,
  seed: number,
): { readonly train: Int32Array; readonly test: Int32Array } {
  const test = valSize < 1 ? Math.ceil(valSize * documents) : Math.trunc(valSize);
  if (test >= documents) {
    const count = documents === 1 ? "1 document" : `${documents} documents`;
    throw new UserError(
      `val_size: ${valSize} of ${count} leaves none to train on; lower val_size or add data`,
    );
  }
  const order = new NumpyGenerator(seed).permutation(documents);
  return { train: order.subarray(test), test: order.subarray(0, test) };
}
