// Where documents begin in a run of tokens: their lengths in a NumberRun, and sums in memory for one document in some
// thousand. Pages of sums that were asked for lately are kept.

import { NumberRun } from "./number-run.js";

/** Documents of a page. */
const PAGE = 4096;
/** Pages of sums that are kept: 2 MiB. */
const KEPT = 64;

/** Where documents begin in a run of tokens, by their lengths; append-only. */
export class DocumentBounds {
  /** The documents' lengths in tokens. */
  readonly lengths: NumberRun;
  /** Tokens before each page. */
  #before = new Float64Array(64);
  #tokens = 0;
  /** Tokens before each document of the pages asked for last, the latest at the end. */
  readonly #pages = new Map<number, Float64Array>();
  readonly #one = new Int32Array(1);

  /** @param lengths of the documents that are there */
  constructor(lengths = new NumberRun()) {
    this.lengths = lengths;
    const page = new Int32Array(PAGE);
    for (let from = 0; from < lengths.length; from += PAGE) {
      const part = page.subarray(0, Math.min(PAGE, lengths.length - from));
      lengths.read(from, part);
      this.#begin(from / PAGE);
      for (const length of part) this.#tokens += length;
    }
  }

  /** Documents so far. */
  get documents(): number {
    return this.lengths.length;
  }

  /** Tokens of all of them. */
  get tokens(): number {
    return this.#tokens;
  }

  /** Adds a document by its length in tokens. */
  append(length: number): void {
    const { documents } = this;
    if (documents % PAGE === 0) this.#begin(documents / PAGE);
    this.#one[0] = length;
    this.lengths.append(this.#one);
    this.#tokens += length;
  }

  /** Adds documents by their lengths in tokens. */
  appendAll(lengths: Int32Array): void {
    const { documents } = this;
    for (const [i, length] of lengths.entries()) {
      if ((documents + i) % PAGE === 0) this.#begin((documents + i) / PAGE);
      this.#tokens += length;
    }
    this.lengths.append(lengths);
  }

  #begin(page: number): void {
    if (page === this.#before.length) {
      const grown = new Float64Array(2 * page);
      grown.set(this.#before);
      this.#before = grown;
    }
    this.#before[page] = this.#tokens;
  }

  /** Where a document begins, in tokens; start(documents) is the end of the last one. */
  start(document: number): number {
    if (document === this.documents) return this.#tokens;
    return this.#page(Math.floor(document / PAGE))[document % PAGE]!;
  }

  #page(number: number): Float64Array {
    const documents = Math.min(PAGE, this.documents - number * PAGE);
    const found = this.#pages.get(number);
    // the last page may have grown meanwhile
    const starts = found?.length === documents ? found : this.#sum(number, documents);
    this.#pages.delete(number);
    if (this.#pages.size === KEPT) this.#pages.delete(this.#pages.keys().next().value!);
    this.#pages.set(number, starts);
    return starts;
  }

  #sum(page: number, documents: number): Float64Array {
    const lengths = new Int32Array(documents);
    this.lengths.read(page * PAGE, lengths);
    const starts = new Float64Array(documents);
    let sum = this.#before[page]!;
    for (let i = 0; i < documents; i++) {
      starts[i] = sum;
      sum += lengths[i]!;
    }
    return starts;
  }
}
