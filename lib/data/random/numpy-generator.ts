// numpy's modern generator (np.random.default_rng: PCG64 seeded by SeedSequence), as far as Hugging Face's datasets
// draw from it: splitting, interleaving, shuffling a stream. The legacy one is numpy-random.ts.
// O'Neill, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms", 2014 (XSL-RR 128/64); bounded
// draws: Lemire, "Fast Random Integer Generation in an Interval", 2019; seeding: O'Neill's seed_seq as numpy has it.

/** Limbs of 16 bits: their products and sums are exact in a double. */
const LIMBS = 8;
const LIMB = 0x10000;
const TWO32 = 2 ** 32;
const MULTIPLIER = limbsOf(0x2360ed051fc65da44385df649fccf645n);

/** np.random.default_rng(seed): the same numbers as numpy's, in the same order. */
export class NumpyGenerator {
  /** The state, least limb first; 128 bits. */
  #state = new Uint16Array(LIMBS);
  #increment = new Uint16Array(LIMBS);
  /** The upper half of the last 64 bits, where only the lower one was asked for. */
  #half: number | undefined;
  // The last 64 bits drawn.
  #high = 0;
  #low = 0;

  /** @param seed a non-negative integer of any size */
  constructor(seed: number | bigint) {
    const [a, b, c, d] = seedWords(BigInt(seed)) as [bigint, bigint, bigint, bigint];
    this.#increment = limbsOf((((c << 64n) | d) << 1n) | 1n);
    // pcg's seeding: a step from 0 is the increment; then the seed is added, and one more step taken.
    this.#state = limbsOf(toBigInt(this.#increment) + ((a << 64n) | b));
    this.#step();
  }

  /** A generator that goes on from here by itself. */
  clone(): NumpyGenerator {
    const copy = new NumpyGenerator(0);
    copy.#state = this.#state.slice();
    copy.#increment = this.#increment.slice();
    copy.#half = this.#half;
    return copy;
  }

  /** A uniform double in [0, 1). */
  random(): number {
    this.#draw();
    return (this.#high * 2 ** 21 + (this.#low >>> 11)) / 2 ** 53;
  }

  /** integers(0, bound): a uniform integer in [0, bound). */
  below(bound: number): number {
    if (!Number.isInteger(bound) || bound < 1 || bound > 0xffffffff) {
      throw new RangeError(`a bound lies between 1 and 4294967295, not ${bound}`);
    }
    if (bound === 1) return 0;
    for (;;) {
      const drawn = this.#next32();
      const low = Math.imul(drawn, bound) >>> 0;
      // The product's error in a double is far below half of 2^32, so that rounding gives the exact upper half.
      if (low >= bound || low >= TWO32 % bound) return Math.round((drawn * bound - low) / TWO32);
    }
  }

  /** integers(0, 1 << 63): 63 uniform bits. */
  below63(): bigint {
    for (;;) {
      this.#draw();
      const product = ((BigInt(this.#high) << 32n) | BigInt(this.#low)) << 63n;
      // 2^64 is a multiple of 2^63: nothing is rejected.
      return product >> 64n;
    }
  }

  /** The integers 0..n-1 in the order of permutation(n). */
  permutation(n: number): Int32Array {
    const order = Int32Array.from({ length: n }, (_, i) => i);
    this.shuffle(order);
    return order;
  }

  /** Shuffles in place, from the end. */
  shuffle(items: Int32Array | unknown[]): void {
    const array = items as unknown[];
    for (let i = array.length - 1; i > 0; i--) {
      const j = this.#upTo(i);
      const swapped = array[i];
      array[i] = array[j];
      array[j] = swapped;
    }
  }

  /** A uniform integer in [0, max], by rejection under the smallest covering bit mask: shuffling draws this way. */
  #upTo(max: number): number {
    const mask = 2 ** (32 - Math.clz32(max)) - 1;
    for (;;) {
      const value = (this.#next32() & mask) >>> 0;
      if (value <= max) return value;
    }
  }

  /** choice(probabilities.length, size, p=probabilities): indices drawn with these probabilities. */
  choice(size: number, probabilities: readonly number[]): Int32Array {
    let sum = 0;
    const sums = probabilities.map((probability) => (sum += probability));
    const cumulative = sums.map((partial) => partial / sum);
    return Int32Array.from({ length: size }, () => {
      const drawn = this.random();
      const found = cumulative.findIndex((bound) => drawn < bound);
      return found === -1 ? probabilities.length : found;
    });
  }

  #next32(): number {
    const half = this.#half;
    if (half !== undefined) {
      this.#half = undefined;
      return half;
    }
    this.#draw();
    this.#half = this.#high;
    return this.#low;
  }

  /** 64 bits: the halves of the state, one xor the other, rotated by its highest six bits. */
  #draw(): void {
    this.#step();
    const s = this.#state;
    const low = ((s[0]! ^ s[4]!) | ((s[1]! ^ s[5]!) << 16)) >>> 0;
    const high = ((s[2]! ^ s[6]!) | ((s[3]! ^ s[7]!) << 16)) >>> 0;
    const turn = s[7]! >>> 10;
    const by = turn & 31;
    const [a, b] = turn < 32 ? [high, low] : [low, high];
    this.#high = by === 0 ? a : ((a >>> by) | (b << (32 - by))) >>> 0;
    this.#low = by === 0 ? b : ((b >>> by) | (a << (32 - by))) >>> 0;
  }

  /** state = state * multiplier + increment, modulo 2^128. */
  #step(): void {
    const next = new Uint16Array(LIMBS);
    let carry = 0;
    for (let k = 0; k < LIMBS; k++) {
      let sum = carry + this.#increment[k]!;
      for (let i = 0; i <= k; i++) sum += this.#state[i]! * MULTIPLIER[k - i]!;
      carry = Math.floor(sum / LIMB);
      next[k] = sum - carry * LIMB;
    }
    this.#state = next;
  }
}

function limbsOf(value: bigint): Uint16Array<ArrayBuffer> {
  return Uint16Array.from({ length: LIMBS }, (_, i) => Number((value >> BigInt(16 * i)) & 0xffffn));
}

function toBigInt(limbs: Uint16Array): bigint {
  return limbs.reduceRight((sum, limb) => (sum << 16n) | BigInt(limb), 0n);
}

/** SeedSequence(seed).generate_state(4, uint64): four words of 64 bits. */
function seedWords(seed: bigint): bigint[] {
  const entropy: number[] = [];
  for (let rest = seed; rest > 0n || entropy.length === 0; rest >>= 32n)
    entropy.push(Number(rest & 0xffffffffn));
  const pool = mixedPool(entropy);
  let constant = 0x8b51f9dd;
  const words = Array.from({ length: 8 }, (_, i) => {
    let word = pool[i % pool.length]! ^ constant;
    constant = Math.imul(constant, 0x58f38ded);
    word = Math.imul(word, constant);
    return BigInt((word ^ (word >>> 16)) >>> 0);
  });
  return [0, 2, 4, 6].map((at) => (words[at + 1]! << 32n) | words[at]!);
}

function mixedPool(entropy: readonly number[]): number[] {
  let constant = 0x43b0d7e5;
  const hashed = (value: number): number => {
    let word = value ^ constant;
    constant = Math.imul(constant, 0x931e8875);
    word = Math.imul(word, constant);
    return word ^ (word >>> 16);
  };
  const mixed = (into: number, word: number): number => {
    const sum = Math.imul(0xca01f9dd, into) - Math.imul(0x4973f715, word);
    return sum ^ ((sum >>> 0) >>> 16);
  };
  const pool = [0, 1, 2, 3].map((i) => hashed(entropy[i] ?? 0));
  for (let from = 0; from < 4; from++)
    for (let to = 0; to < 4; to++) if (from !== to) pool[to] = mixed(pool[to]!, hashed(pool[from]!));
  for (const more of entropy.slice(4))
    for (let to = 0; to < 4; to++) pool[to] = mixed(pool[to]!, hashed(more));
  return pool;
}
