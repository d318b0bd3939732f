// Documents of a corpus in their own order: what a mixture, a split or a draw makes of it. Tokens stay where they
// are; a selection that is no run costs twelve bytes a document.

import type { DocumentIds } from "./document-ids.js";

/** Tokenized documents, end to end: what blocks are laid over. */
export interface Documents {
  readonly documents: number;
  readonly tokens: number;
  /** Where a document begins, in tokens; start(documents) is the end of the last one. */
  start(document: number): number;
  /** A fresh copy of `length` ids from `from`. */
  slice(from: number, length: number): Int32Array;
  /** As `slice`, while the thread goes on. */
  load(from: number, length: number): Promise<Int32Array>;
}

/** A stretch of tokens of one of several places. */
interface Part {
  readonly from: Documents;
  readonly start: number;
  readonly length: number;
}

/** What is put together of stretches of other corpora. */
abstract class Pieced {
  /** The stretches that make up `length` tokens from `from`. */
  protected abstract parts(from: number, length: number): Iterable<Part>;

  slice(from: number, length: number): Int32Array {
    const out = new Int32Array(length);
    let done = 0;
    for (const part of this.parts(from, length)) {
      out.set(part.from.slice(part.start, part.length), done);
      done += part.length;
    }
    return out;
  }

  async load(from: number, length: number): Promise<Int32Array> {
    const out = new Int32Array(length);
    let done = 0;
    const pending: Promise<void>[] = [];
    for (const part of this.parts(from, length)) {
      const at = done;
      done += part.length;
      pending.push(part.from.load(part.start, part.length).then((ids) => out.set(ids, at)));
    }
    await Promise.all(pending);
    return out;
  }
}

/** Several corpora, one after another. */
export class JoinedDocuments extends Pieced implements Documents {
  readonly #corpora: readonly Documents[];
  /** Documents, and tokens, before each corpus and before the end. */
  readonly #documents: readonly number[];
  readonly #tokens: readonly number[];

  constructor(corpora: readonly Documents[]) {
    super();
    this.#corpora = corpora.filter(({ documents }) => documents > 0);
    this.#documents = sums(this.#corpora.map(({ documents }) => documents));
    this.#tokens = sums(this.#corpora.map(({ tokens }) => tokens));
  }

  /** Documents of all corpora. */
  get documents(): number {
    return this.#documents[this.#corpora.length]!;
  }

  /** Tokens of all corpora. */
  get tokens(): number {
    return this.#tokens[this.#corpora.length]!;
  }

  /** Where a document begins, in tokens; start(documents) is the end of the last one. */
  start(document: number): number {
    if (document >= this.documents) return this.tokens;
    const at = lastAtOrBelow(this.#documents, document);
    return this.#tokens[at]! + this.#corpora[at]!.start(document - this.#documents[at]!);
  }

  protected *parts(from: number, length: number): Generator<Part> {
    let at = length === 0 ? 0 : lastAtOrBelow(this.#tokens, from);
    for (let done = 0; done < length; at++) {
      const start = from + done - this.#tokens[at]!;
      const count = Math.min(length - done, this.#tokens[at + 1]! - from - done);
      if (count > 0) yield { from: this.#corpora[at]!, start, length: count };
      done += Math.max(0, count);
    }
  }
}

/** The documents of a corpus that `ids` names, in that order, repeats included. */
export class Selection extends Pieced implements Documents {
  /** Documents, repeats included. */
  readonly documents: number;
  readonly #corpus: Documents;
  readonly #ids: DocumentIds;
  readonly #starts: Float64Array;

  constructor(corpus: Documents, ids: DocumentIds) {
    super();
    this.#corpus = corpus;
    this.#ids = ids;
    this.documents = ids.length;
    this.#starts = new Float64Array(ids.length + 1);
    // in the corpus's order, because bounds far apart are expensive
    const lengths = new Int32Array(corpus.documents);
    for (let i = 0; i < lengths.length; i++) lengths[i] = corpus.start(i + 1) - corpus.start(i);
    for (let i = 0; i < ids.length; i++) this.#starts[i + 1] = this.#starts[i]! + lengths[ids.at(i)]!;
  }

  /** Their tokens, repeats included. */
  get tokens(): number {
    return this.#starts[this.documents]!;
  }

  /** Where a document begins, in tokens; start(documents) is the end of the last one. */
  start(document: number): number {
    return this.#starts[document]!;
  }

  protected *parts(from: number, length: number): Generator<Part> {
    let document = lastAtOrBelow(this.#starts, from);
    for (let done = 0; done < length; document++) {
      const into = from + done - this.#starts[document]!;
      const count = Math.min(length - done, this.#starts[document + 1]! - from - done);
      if (count > 0) {
        const start = this.#corpus.start(this.#ids.at(document)) + into;
        yield { from: this.#corpus, start, length: count };
      }
      done += Math.max(0, count);
    }
  }
}

/** Documents that follow one another in a corpus. */
class DocumentRun extends Pieced implements Documents {
  readonly documents: number;
  readonly tokens: number;
  readonly #corpus: Documents;
  readonly #first: number;
  readonly #start: number;

  constructor(corpus: Documents, first: number, documents: number) {
    super();
    this.#corpus = corpus;
    this.#first = first;
    this.documents = documents;
    this.#start = corpus.start(first);
    this.tokens = corpus.start(first + documents) - this.#start;
  }

  start(document: number): number {
    return this.#corpus.start(this.#first + document) - this.#start;
  }

  protected parts(from: number, length: number): Part[] {
    return [{ from: this.#corpus, start: this.#start + from, length }];
  }
}

/** The documents that `ids` names: the corpus itself where that is all of it in order. */
export function select(corpus: Documents, ids: DocumentIds): Documents {
  if (ids.first === undefined) return new Selection(corpus, ids);
  const isAll = ids.first === 0 && ids.length === corpus.documents;
  return isAll ? corpus : new DocumentRun(corpus, ids.first, ids.length);
}

function sums(counts: readonly number[]): number[] {
  const all = [0];
  for (const [i, count] of counts.entries()) all.push(all[i]! + count);
  return all;
}

/** The last place but one that is at most `value`, of numbers that rise. */
function lastAtOrBelow(rising: ArrayLike<number>, value: number): number {
  let low = 0;
  let high = rising.length - 2;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (rising[middle]! <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}
