// Documents of an arena in an order of their own: what a mixture, a split or a draw makes of a corpus. Tokens stay where
// they are; a selection costs twelve bytes a document.

import type { TokenArena } from "./token-arena.js";

/** Tokenized documents, end to end: what blocks are laid over. */
export interface Documents {
  readonly documents: number;
  readonly tokens: number;
  /** Where a document begins, in tokens; start(documents) is the end of the last one. */
  start(document: number): number;
  /** A fresh copy of `length` ids from `from`. */
  slice(from: number, length: number): Int32Array;
}

/** The documents of an arena that `ids` names, in that order, repeats included. */
export class Selection implements Documents {
  readonly documents: number;
  readonly #arena: TokenArena;
  readonly #ids: Int32Array;
  readonly #starts: Float64Array;

  constructor(arena: TokenArena, ids: Int32Array) {
    this.#arena = arena;
    this.#ids = ids;
    this.documents = ids.length;
    this.#starts = new Float64Array(ids.length + 1);
    for (const [i, id] of ids.entries())
      this.#starts[i + 1] = this.#starts[i]! + arena.start(id + 1) - arena.start(id);
  }

  get tokens(): number {
    return this.#starts[this.documents]!;
  }

  start(document: number): number {
    return this.#starts[document]!;
  }

  slice(from: number, length: number): Int32Array {
    const out = new Int32Array(length);
    let document = this.#at(from);
    for (let done = 0; done < length; document++) {
      const into = from + done - this.#starts[document]!;
      const count = Math.min(length - done, this.#starts[document + 1]! - from - done);
      if (count > 0) out.set(this.#arena.slice(this.#arena.start(this.#ids[document]!) + into, count), done);
      done += Math.max(0, count);
    }
    return out;
  }

  /** The last document that begins at or before a token. */
  #at(token: number): number {
    let low = 0;
    let high = this.documents - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#starts[middle]! <= token) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/** The documents that `ids` names: the arena itself where that is all of it in order. */
export function select(arena: TokenArena, ids: Int32Array): Documents {
  const whole = ids.length === arena.documents && ids.every((id, i) => id === i);
  return whole ? arena : new Selection(arena, ids);
}
