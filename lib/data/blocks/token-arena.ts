// Token ids of many documents, end to end, with the place where each begins. Small ones are in memory, large ones in a
// file; memory holds a few numbers for some thousand documents. It knows nothing of blocks.

import { DocumentBounds } from "./document-bounds.js";
import { NumberRun, type Place } from "./number-run.js";
import type { Documents } from "./selection.js";

/** An append-only corpus of token ids. */
export class TokenArena implements Documents {
  /** The token ids, end to end. */
  readonly ids: NumberRun;
  readonly #bounds: DocumentBounds;

  /**
   * @param ids where ids go, or those that are there
   * @param lengths where the documents' lengths go, or those that are there
   */
  constructor(ids: Place | NumberRun = {}, lengths: Place | NumberRun = {}) {
    this.ids = ids instanceof NumberRun ? ids : new NumberRun(ids);
    this.#bounds = new DocumentBounds(lengths instanceof NumberRun ? lengths : new NumberRun(lengths));
  }

  /** Documents so far. */
  get documents(): number {
    return this.#bounds.documents;
  }

  /** Tokens of all of them. */
  get tokens(): number {
    return this.#bounds.tokens;
  }

  /** The documents' lengths in tokens. */
  get lengths(): NumberRun {
    return this.#bounds.lengths;
  }

  /** Appends one document's ids. */
  append(ids: Int32Array): void {
    this.ids.append(ids);
    this.#bounds.append(ids.length);
  }

  /** Appends several documents, whose ids stand end to end. */
  appendAll(ids: Int32Array, lengths: Int32Array): void {
    this.ids.append(ids);
    this.#bounds.appendAll(lengths);
  }

  /** Where a document begins, in tokens; start(documents) is the end of the last one. */
  start(document: number): number {
    return this.#bounds.start(document);
  }

  /** A fresh copy of `length` ids from `from`. */
  slice(from: number, length: number): Int32Array {
    const out = new Int32Array(length);
    this.ids.read(from, out);
    return out;
  }

  /** As `slice`; where ids are in a file it is read while the thread goes on. */
  async load(from: number, length: number): Promise<Int32Array> {
    const out = new Int32Array(length);
    await this.ids.load(from, out);
    return out;
  }

  /** A fresh copy of one document's ids. */
  document(index: number): Int32Array {
    return this.slice(this.start(index), this.start(index + 1) - this.start(index));
  }

  /** Closes its files. */
  close(): void {
    this.ids.close();
    this.lengths.close();
  }
}
