// Byte-level BPE: the bytes of one piece of text to token ids, by a tokenizer's merges. It gives what Hugging Face's
// tokenizers gives for the same piece: the merge of lowest rank first, of equals the leftmost. It knows nothing of
// Unicode, of pieces, or of files. It serves what learns merges; corpora are encoded by native/text.

import { byteAlphabet } from "./byte-level.js";

/** Four numbers an entry: left id, right id, rank, merged id; -1 in the first marks an empty place. */
const STRIDE = 4;
/** No merge. */
const NONE = 0x7fffffff;
/** Pieces up to this many bytes are merged by a repeated search for the lowest rank, longer ones by a heap. */
const SHORT = 64;
/** Ranks and places share a number in the heap: rank * PLACES + place. */
const PLACES = 2 ** 22;
/** Bytes of the longest piece. */
export const LONGEST_PIECE = PLACES - 1;

/** A byte-level BPE vocabulary as tables of int32. */
export interface BytePairTables {
  /** Id of each byte alone. */
  readonly bytes: Int32Array;
  /** Open addressing, a power of two of entries. */
  readonly merges: Int32Array;
}

/**
 * The tables of a vocabulary; undefined where it is no byte-level BPE: a byte without a token, or a merge of tokens
 * that are not there.
 *
 * @param merges "left right", or the two apart
 */
export function bytePairTables(
  vocab: Readonly<Record<string, number>>,
  merges: readonly (string | readonly [string, string])[],
): BytePairTables | undefined {
  const ids = new Map(Object.entries(vocab));
  const bytes = new Int32Array(256);
  for (const [byte, symbol] of byteAlphabet().entries()) {
    const id = ids.get(symbol);
    if (id === undefined) return undefined;
    bytes[byte] = id;
  }
  const places = 2 ** Math.ceil(Math.log2(Math.max(1, merges.length) * 2.5));
  const table = new Int32Array(STRIDE * places).fill(-1);
  for (const [rank, merge] of merges.entries()) {
    const [left, right] = typeof merge === "string" ? merge.split(" ") : merge;
    const [a, b, merged] = [ids.get(left!), ids.get(right!), ids.get(`${left}${right}`)];
    if (a === undefined || b === undefined || merged === undefined) return undefined;
    let at = slot(a, b) & (places - 1);
    while (table[at * STRIDE] !== -1) {
      // of two merges of the same pair the library keeps the later one
      if (table[at * STRIDE] === a && table[at * STRIDE + 1] === b) break;
      at = (at + 1) & (places - 1);
    }
    table.set([a, b, rank, merged], at * STRIDE);
  }
  return { bytes, merges: table };
}

function slot(left: number, right: number): number {
  const mixed = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}

/** Merges the bytes of pieces; one instance for one thread. */
export class BytePairs {
  readonly #bytes: Int32Array;
  readonly #merges: Int32Array;
  readonly #mask: number;
  // Scratch, by byte of the piece: its symbol's id, the rank of the pair that begins with it, its neighbours.
  #ids = new Int32Array(1024);
  #ranks = new Int32Array(1024);
  #next = new Int32Array(1024);
  #before = new Int32Array(1024);
  #heap = new Float64Array(3 * 1024);
  #heaped = 0;

  constructor({ bytes, merges }: BytePairTables) {
    this.#bytes = bytes;
    this.#merges = merges;
    this.#mask = merges.length / STRIDE - 1;
  }

  /**
   * Writes the ids of a piece into `out` from `at`; there are at most as many as bytes.
   *
   * @returns where the ids end
   */
  encode(piece: Uint8Array, length: number, out: Int32Array, at: number): number {
    const bytes = this.#bytes;
    if (length === 1) {
      out[at] = bytes[piece[0]!]!;
      return at + 1;
    }
    return length <= SHORT ? this.#short(piece, length, out, at) : this.#long(piece, length, out, at);
  }

  /** Where a pair's entry is, or -1. */
  #find(left: number, right: number): number {
    const table = this.#merges;
    const mask = this.#mask;
    for (let at = slot(left, right) & mask; ; at = (at + 1) & mask) {
      const found = table[at * STRIDE]!;
      if (found === left && table[at * STRIDE + 1] === right) return at * STRIDE;
      if (found === -1) return -1;
    }
  }

  #rank(left: number, right: number): number {
    const at = this.#find(left, right);
    return at < 0 ? NONE : this.#merges[at + 2]!;
  }

  #short(piece: Uint8Array, length: number, out: Int32Array, start: number): number {
    const ids = this.#ids;
    const ranks = this.#ranks;
    for (let i = 0; i < length; i++) ids[i] = this.#bytes[piece[i]!]!;
    for (let i = 0; i + 1 < length; i++) ranks[i] = this.#rank(ids[i]!, ids[i + 1]!);
    let left = length;
    for (;;) {
      let least = NONE;
      let at = -1;
      for (let i = 0; i + 1 < left; i++) {
        if (ranks[i]! < least) {
          least = ranks[i]!;
          at = i;
        }
      }
      if (at < 0) break;
      ids[at] = this.#merges[this.#find(ids[at]!, ids[at + 1]!) + 3]!;
      left--;
      for (let i = at + 1; i < left; i++) {
        ids[i] = ids[i + 1]!;
        ranks[i] = ranks[i + 1]!;
      }
      if (at > 0) ranks[at - 1] = this.#rank(ids[at - 1]!, ids[at]!);
      if (at + 1 < left) ranks[at] = this.#rank(ids[at]!, ids[at + 1]!);
    }
    for (let i = 0; i < left; i++) out[start + i] = ids[i]!;
    return start + left;
  }

  #long(piece: Uint8Array, length: number, out: Int32Array, start: number): number {
    this.#reserve(length);
    const ids = this.#ids;
    const ranks = this.#ranks;
    const next = this.#next;
    const before = this.#before;
    this.#heaped = 0;
    for (let i = 0; i < length; i++) {
      ids[i] = this.#bytes[piece[i]!]!;
      next[i] = i + 1;
      before[i] = i - 1;
      ranks[i] = NONE;
    }
    const rate = (at: number): void => {
      const right = next[at]!;
      ranks[at] = right < length ? this.#rank(ids[at]!, ids[right]!) : NONE;
      if (ranks[at] !== NONE) this.#push(ranks[at]! * PLACES + at);
    };
    for (let i = 0; i + 1 < length; i++) rate(i);
    while (this.#heaped > 0) {
      const entry = this.#pop();
      const at = entry % PLACES;
      // an entry of a pair that is no more: one side of it was merged meanwhile
      if (ids[at]! < 0 || ranks[at] !== (entry - at) / PLACES) continue;
      const right = next[at]!;
      ids[at] = this.#merges[this.#find(ids[at]!, ids[right]!) + 3]!;
      ids[right] = -1;
      ranks[right] = NONE;
      next[at] = next[right]!;
      if (next[at]! < length) before[next[at]!] = at;
      rate(at);
      if (before[at]! >= 0) rate(before[at]!);
    }
    let end = start;
    for (let i = 0; i < length; i = next[i]!) out[end++] = ids[i]!;
    return end;
  }

  #reserve(length: number): void {
    if (this.#ids.length >= length) return;
    const room = 2 ** Math.ceil(Math.log2(length));
    this.#ids = new Int32Array(room);
    this.#ranks = new Int32Array(room);
    this.#next = new Int32Array(room);
    this.#before = new Int32Array(room);
    // a pair for each byte at the beginning, two more for each merge
    this.#heap = new Float64Array(3 * room);
  }

  #push(entry: number): void {
    const heap = this.#heap;
    let at = this.#heaped++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]! <= entry) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): number {
    const heap = this.#heap;
    const top = heap[0]!;
    const last = heap[--this.#heaped]!;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.#heaped) break;
      if (child + 1 < this.#heaped && heap[child + 1]! < heap[child]!) child++;
      if (heap[child]! >= last) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return top;
  }
}
