// Which pairs of neighbouring tokens occur how often, and where, in pieces of text that are being merged: kept up to date
// by the merges themselves, so that a merge costs no more than its own occurrences. It knows ids only, no text.

/** Pieces of text as token ids, end to end. */
export interface TokenPieces {
  readonly ids: Int32Array;
  /** Where each piece begins; one more for the end of the last. */
  readonly starts: Int32Array;
  /** How often each piece occurs. */
  readonly counts: Int32Array;
}

/** A pair by a number: ids stay below 2^22. */
const SIDE = 2 ** 22;

export class PairCounts {
  /** Ids, ranks of neighbours and weights by place; a place that a merge took away has the id -1. */
  readonly #ids: Int32Array;
  readonly #next: Int32Array;
  readonly #before: Int32Array;
  readonly #weights: Int32Array;
  /** The pair that begins at a place, and the places of the same pair before and after it, in a ring without order. */
  readonly #pairAt: Int32Array;
  readonly #nextSame: Int32Array;
  readonly #beforeSame: Int32Array;
  readonly #pairs = new Map<number, number>();
  readonly #lefts: number[] = [];
  readonly #rights: number[] = [];
  readonly #counts: number[] = [];
  readonly #heads: number[] = [];

  constructor({ ids, starts, counts }: TokenPieces) {
    const places = ids.length;
    this.#ids = ids.slice();
    this.#next = new Int32Array(places).fill(-1);
    this.#before = new Int32Array(places).fill(-1);
    this.#weights = new Int32Array(places);
    this.#pairAt = new Int32Array(places).fill(-1);
    this.#nextSame = new Int32Array(places).fill(-1);
    this.#beforeSame = new Int32Array(places).fill(-1);
    for (const [piece, count] of counts.entries()) {
      const end = starts[piece + 1]!;
      for (let at = starts[piece]!; at < end; at++) {
        this.#weights[at] = count;
        if (at + 1 === end) continue;
        this.#next[at] = at + 1;
        this.#before[at + 1] = at;
        this.#link(at);
      }
    }
  }

  /** Pairs that have been met; they are numbered from 0. */
  get size(): number {
    return this.#counts.length;
  }

  left(pair: number): number {
    return this.#lefts[pair]!;
  }

  right(pair: number): number {
    return this.#rights[pair]!;
  }

  /** How often a pair occurs now. Where it overlaps itself, as in aaa, each place counts. */
  count(pair: number): number {
    return this.#counts[pair]!;
  }

  /** Puts `id` in place of a pair wherever it occurs, from left to right. */
  merge(pair: number, id: number): void {
    for (const at of this.#places(pair)) {
      if (this.#pairAt[at] !== pair) continue; // an overlap, merged with its left neighbour
      const right = this.#next[at]!;
      const before = this.#before[at]!;
      const after = this.#next[right]!;
      this.#unlink(at);
      if (before >= 0) this.#unlink(before);
      if (after >= 0) this.#unlink(right);
      this.#ids[at] = id;
      this.#ids[right] = -1;
      this.#next[at] = after;
      if (after >= 0) this.#before[after] = at;
      if (before >= 0) this.#link(before);
      if (after >= 0) this.#link(at);
    }
  }

  #places(pair: number): Int32Array {
    const places: number[] = [];
    for (let at = this.#heads[pair]!; at >= 0; at = this.#nextSame[at]!) places.push(at);
    return Int32Array.from(places).sort();
  }

  #link(at: number): void {
    const left = this.#ids[at]!;
    const right = this.#ids[this.#next[at]!]!;
    const key = left * SIDE + right;
    let pair = this.#pairs.get(key);
    if (pair === undefined) {
      pair = this.#counts.length;
      this.#pairs.set(key, pair);
      this.#lefts.push(left);
      this.#rights.push(right);
      this.#counts.push(0);
      this.#heads.push(-1);
    }
    const head = this.#heads[pair]!;
    this.#pairAt[at] = pair;
    this.#nextSame[at] = head;
    this.#beforeSame[at] = -1;
    if (head >= 0) this.#beforeSame[head] = at;
    this.#heads[pair] = at;
    this.#counts[pair]! += this.#weights[at]!;
  }

  #unlink(at: number): void {
    const pair = this.#pairAt[at]!;
    const [before, next] = [this.#beforeSame[at]!, this.#nextSame[at]!];
    if (before >= 0) this.#nextSame[before] = next;
    else this.#heads[pair] = next;
    if (next >= 0) this.#beforeSame[next] = before;
    this.#pairAt[at] = -1;
    this.#counts[pair]! -= this.#weights[at]!;
  }
}
