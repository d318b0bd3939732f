// The order in which an epoch visits the blocks, and its batches. Random numbers come from the caller (torch's CPU
// generator), so that the order is PyTorch's. A position in an epoch is a batch number: resuming is starting there.

/** A permutation of 0..n-1 drawn from a generator that was freshly seeded with `seed`: torch.randperm's. */
export type RandomPermutation = (n: number, seed: number) => ArrayLike<number> | ArrayLike<bigint>;

/** The order of an epoch's blocks. */
export interface Sampler {
  /** Blocks of an epoch. */
  readonly length: number;
  /** Block numbers of epoch `epoch` (from 0), in the order of training. The same epoch gives the same order. */
  order(epoch: number): Int32Array;
}

/** An order in which every block belongs to a source. */
export interface SourceSampler extends Sampler {
  /** The sources' names. */
  readonly names: readonly string[];
  /** Which of them a block is of. */
  sourceOf(block: number): number;
}

/** A fresh permutation each epoch, seeded by seed + epoch, as accelerate's seedable sampler draws it. */
export class RandomSampler implements Sampler {
  /** Blocks of an epoch. */
  readonly length: number;
  readonly #seed: number;
  readonly #randperm: RandomPermutation;

  /** @param seed the recipe's `data_seed`, else its `seed` */
  constructor(length: number, seed: number, randperm: RandomPermutation) {
    this.length = length;
    this.#seed = seed;
    this.#randperm = randperm;
  }

  /** Block numbers of epoch `epoch` (from 0), a permutation drawn from seed + epoch. */
  order(epoch: number): Int32Array {
    const drawn = this.#randperm(this.length, this.#seed + epoch);
    return Int32Array.from({ length: this.length }, (_, i) => Number(drawn[i]));
  }
}

/** The corpus's own order, every epoch. */
export class SequentialSampler implements Sampler {
  /** Blocks of an epoch. */
  readonly length: number;

  constructor(length: number) {
    this.length = length;
  }

  /** 0, 1, 2, ... */
  order(): Int32Array {
    return Int32Array.from({ length: this.length }, (_, i) => i);
  }
}

/** Batches of an epoch; the last may be short. */
export function batchesPerEpoch(length: number, batchSize: number): number {
  return Math.ceil(length / batchSize);
}
