// numpy's legacy generator (np.random.seed, MT19937), as far as choosing rows needs it: permutation and choice.
// LLaMA-Factory draws the rows of `num_samples` from it. It is not a source of randomness for anything else.
// Matsumoto and Nishimura, "Mersenne Twister", 1998; bounded draws are numpy's masked rejection.

const SIZE = 624;
const SHIFT = 397;

/** np.random.RandomState(seed): the same numbers as numpy's, in the same order. */
export class LegacyRandom {
  readonly #state = new Uint32Array(SIZE);
  #position = SIZE;

  /** @param seed an integer in [0, 2^32) */
  constructor(seed: number) {
    if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff) {
      throw new RangeError(`a seed lies between 0 and 4294967295, not ${seed}`);
    }
    const state = this.#state;
    state[0] = seed;
    for (let i = 1; i < SIZE; i++) {
      const previous = state[i - 1]!;
      state[i] = Math.imul(previous ^ (previous >>> 30), 1812433253) + i;
    }
  }

  /** The integers 0..n-1 in the order of np.random.permutation(n). Fisher-Yates from the end. */
  permutation(n: number): Int32Array {
    const order = Int32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.#below(i);
      const swapped = order[i]!;
      order[i] = order[j]!;
      order[j] = swapped;
    }
    return order;
  }

  /** np.random.choice(n, size): draws with replacement from 0..n-1. */
  choice(n: number, size: number): Int32Array {
    return Int32Array.from({ length: size }, () => this.#below(n - 1));
  }

  /** A uniform integer in [0, max], by rejection under the smallest covering bit mask; draws nothing for max 0. */
  #below(max: number): number {
    if (max === 0) return 0;
    const mask = 2 ** (32 - Math.clz32(max)) - 1;
    for (;;) {
      const value = (this.#next() & mask) >>> 0;
      if (value <= max) return value;
    }
  }

  #next(): number {
    if (this.#position === SIZE) this.#refill();
    let y = this.#state[this.#position++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    y ^= y >>> 18;
    return y >>> 0;
  }

  #refill(): void {
    const state = this.#state;
    for (let i = 0; i < SIZE; i++) {
      const y = (state[i]! & 0x80000000) | (state[(i + 1) % SIZE]! & 0x7fffffff);
      state[i] = state[(i + SHIFT) % SIZE]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.#position = 0;
  }
}
