// The blocks of one source, or of several as one, pass after pass: each block once, then all of them again in another
// order. Of blocks that are ordered from easy to hard only the easiest share may be open.

import { NumpyGenerator } from "../../data/random/numpy-generator.js";

export interface PassOptions {
  /** Draw at random; otherwise a pass goes through the blocks as they stand. */
  readonly shuffle: boolean;
  readonly seed: bigint;
}

/** Draws without replacement among the open blocks; when all of them have been drawn, the next pass begins. */
export class Passes {
  /** Passes that have ended. */
  passes = 0;
  readonly #blocks: Int32Array;
  readonly #shuffle: boolean;
  readonly #random: NumpyGenerator;
  /** Places in `blocks` that this pass has still to draw: the first `left`. Not used in order. */
  readonly #bag: Int32Array;
  #left = 0;
  #open = 0;
  /** In order: the next place. */
  #at = 0;

  /** @param blocks their numbers, the easiest first where `next` is asked with a share */
  constructor(blocks: Int32Array, { shuffle, seed }: PassOptions) {
    this.#blocks = blocks;
    this.#shuffle = shuffle;
    this.#random = new NumpyGenerator(seed);
    this.#bag = shuffle ? new Int32Array(blocks.length) : new Int32Array(0);
  }

  /**
   * The next block.
   *
   * @param share of the blocks that are open, in (0, 1], at least one; blocks once open stay open
   */
  next(share = 1): number {
    const { length } = this.#blocks;
    const open = Math.min(length, Math.max(1, this.#open, Math.ceil(share * length - 1e-9)));
    if (!this.#shuffle) {
      this.#open = open;
      if (this.#at >= open) {
        this.#at = 0;
        this.passes++;
      }
      return this.#blocks[this.#at++]!;
    }
    for (; this.#open < open; this.#open++) this.#bag[this.#left++] = this.#open;
    if (this.#left === 0) {
      for (; this.#left < open; this.#left++) this.#bag[this.#left] = this.#left;
      this.passes++;
    }
    const drawn = this.#random.below(this.#left);
    const place = this.#bag[drawn]!;
    this.#bag[drawn] = this.#bag[--this.#left]!;
    return this.#blocks[place]!;
  }
}
