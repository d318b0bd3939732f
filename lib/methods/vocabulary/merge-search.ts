// Byte-pair learning (Sennrich et al. 2016, arXiv:1508.07909) continued on tokens that earlier merges have made: the
// commonest pair of neighbours becomes a token, again and again. It knows ids only; what a token spells is the caller's.

import { PairCounts, type TokenPieces } from "./pair-counts.js";

export interface FoundMerge {
  readonly left: number;
  readonly right: number;
  readonly id: number;
  /** How often the pair occurred when it was merged. */
  readonly count: number;
}

export interface SearchOptions {
  /** Merges wanted; there may be fewer. */
  readonly count: number;
  /** A pair that occurs less often is not merged. */
  readonly minCount: number;
  /** The first merge's id; the others follow. */
  readonly firstId: number;
  /** Whether two tokens may become one. Asked once a pair, with `id` for what would become of it. */
  allows(left: number, right: number, id: number): boolean;
}

/** The merges in the order in which they are to be ranked. Of pairs equally common the one of lower ids comes first. */
export function findMerges(pieces: TokenPieces, options: SearchOptions): FoundMerge[] {
  const pairs = new PairCounts(pieces);
  const queue = new PairQueue(pairs);
  const found: FoundMerge[] = [];
  let seen = 0;
  while (found.length < options.count) {
    for (; seen < pairs.size; seen++) queue.push(seen, options.minCount);
    const pair = queue.pop(options.minCount);
    if (pair === undefined) break;
    const [left, right, count] = [pairs.left(pair), pairs.right(pair), pairs.count(pair)];
    const id = options.firstId + found.length;
    if (!options.allows(left, right, id)) continue;
    pairs.merge(pair, id);
    found.push({ left, right, id, count });
  }
  return found;
}

/** A heap of pairs by their counts. A count only falls after its pair was pushed, so a stale entry is pushed again. */
class PairQueue {
  readonly #pairs: PairCounts;
  readonly #heap: number[] = [];
  /** The count that an entry was pushed with. */
  readonly #counts: number[] = [];

  constructor(pairs: PairCounts) {
    this.#pairs = pairs;
  }

  push(pair: number, minCount: number): void {
    const count = this.#pairs.count(pair);
    if (count < minCount) return;
    this.#counts[pair] = count;
    this.#heap.push(pair);
    this.#rise(this.#heap.length - 1);
  }

  /** The commonest pair, which leaves the heap; undefined where none is common enough. */
  pop(minCount: number): number | undefined {
    for (;;) {
      const pair = this.#take();
      if (pair === undefined || this.#counts[pair] === this.#pairs.count(pair)) return pair;
      this.push(pair, minCount);
    }
  }

  #take(): number | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last !== undefined && heap.length > 0) {
      heap[0] = last;
      this.#sink(0);
    }
    return first;
  }

  #before(a: number, b: number): boolean {
    const [more, less] = [this.#counts[a]!, this.#counts[b]!];
    if (more !== less) return more > less;
    const [left, other] = [this.#pairs.left(a), this.#pairs.left(b)];
    return left === other ? this.#pairs.right(a) < this.#pairs.right(b) : left < other;
  }

  #rise(from: number): void {
    const heap = this.#heap;
    const pair = heap[from]!;
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#before(pair, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = pair;
  }

  #sink(from: number): void {
    const heap = this.#heap;
    const pair = heap[from]!;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.#before(heap[child + 1]!, heap[child]!)) child++;
      if (!this.#before(heap[child]!, pair)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = pair;
  }
}
