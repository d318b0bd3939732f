// A part of every row of a batch, for rows that are shared by several processes: each row is cut into twice as many chunks
// as there are parts, and part i has chunks i and 2 n - 1 - i, so that under a causal mask all have as much to compute.
// What a part's queries see of another part's keys is one run of each, because documents are runs of tokens.
import { type Batch, IGNORED_LABEL } from "./collate.js";

/** Which of several parts. */
export interface PartOf {
  /** From 0. */
  readonly place: number;
  /** Number of parts. */
  readonly parts: number;
}

/** How rows are cut. */
class Cut {
  readonly chunk: number;
  /** Tokens of a part of a row. */
  readonly own: number;
  readonly #last: number;

  constructor(
    length: number,
    readonly parts: number,
  ) {
    this.chunk = Math.ceil(length / (2 * parts));
    this.own = 2 * this.chunk;
    this.#last = 2 * parts - 1;
  }

  /** Where a part's second chunk begins in the row. */
  second(place: number): number {
    return (this.#last - place) * this.chunk;
  }

  /** A token's place in the row. */
  placeInRow(place: number, at: number): number {
    return at < this.chunk ? place * this.chunk + at : this.second(place) + at - this.chunk;
  }

  /** The first of a part's tokens that is not before `at` of the row. */
  firstFrom(place: number, at: number): number {
    const inFirst = Math.max(0, at - place * this.chunk);
    if (inFirst < this.chunk) return inFirst;
    return this.chunk + Math.min(this.chunk, Math.max(0, at - this.second(place)));
  }
}

/** Where each token's document begins in its row; what fills a row up belongs to its last document. */
function documentStarts({ documents, batch, length }: Batch, padded: number): Int32Array[] {
  const rows = Array.from({ length: batch }, () => new Int32Array(padded));
  if (documents === undefined) return rows;
  for (let i = 0; i + 1 < documents.length; i++) {
    const from = documents[i] as number;
    const row = Math.floor(from / length);
    rows[row]?.fill(from % length, from % length);
  }
  return rows;
}

/**
 * A part of a batch: the same rows, of each the part's tokens. Rows are filled up with `padId` to a multiple of twice the
 * number of parts.
 */
export function partOfRows(batch: Batch, { place, parts }: PartOf, padId: number, ring: number): Batch {
  const { inputIds, labels, attentionMask, batch: rows, length } = batch;
  const cut = new Cut(length, parts);
  const size = rows * cut.own;
  const ids = new Int32Array(size).fill(padId);
  const own = new Int32Array(size).fill(IGNORED_LABEL);
  const targets = new Int32Array(size).fill(IGNORED_LABEL);
  const positions = new Int32Array(size);
  const mask = new Int32Array(size);
  const starts = documentStarts(batch, cut.own * parts);
  let tokens = 0;
  for (let row = 0; row < rows; row++) {
    for (let at = 0; at < cut.own; at++) {
      const here = row * cut.own + at;
      const inRow = cut.placeInRow(place, at);
      positions[here] = inRow - (starts[row]?.[inRow] as number);
      if (inRow >= length) continue;
      const there = row * length + inRow;
      ids[here] = inputIds[there] as number;
      own[here] = labels[there] as number;
      if (inRow + 1 < length) targets[here] = labels[there + 1] as number;
      mask[here] = attentionMask?.[there] ?? 1;
      tokens++;
    }
  }
  const isFull = attentionMask === undefined && cut.own * parts === length;
  const meetings = Array.from({ length: parts }, (_, step) => meetingsOf(starts, cut, place, step));
  return {
    inputIds: ids,
    labels: own,
    attentionMask: isFull ? undefined : mask,
    batch: rows,
    length: cut.own,
    part: { place, targets, positions, rowLength: cut.own * parts, tokens, ring, meetings },
  };
}

/** What the queries of a part see of the keys of the part that is `step` before it, round and round. */
function meetingsOf(starts: readonly Int32Array[], cut: Cut, place: number, step: number): Int32Array {
  const other = (place - step + cut.parts) % cut.parts;
  const found = starts.flatMap((row, at) => {
    const all = step === 0 ? documentsOf(row, cut, place) : meetingWith(row, cut, place, other);
    const first = at * cut.own;
    return all.flatMap(([query, queries, key, keys]) => [first + query, queries, first + key, keys]);
  });
  return Int32Array.from(found);
}

type Run = readonly [query: number, queries: number, key: number, keys: number];

/** The part's own documents, each with as many keys as queries. */
function documentsOf(row: Int32Array, cut: Cut, place: number): Run[] {
  const runs: Run[] = [];
  for (let at = 0; at < cut.own; ) {
    const end = endOfDocument(row, cut, place, at);
    runs.push([at, end - at, at, end - at]);
    at = end;
  }
  return runs;
}

/** Where a part's tokens leave the document that has the token `at`. */
function endOfDocument(row: Int32Array, cut: Cut, place: number, at: number): number {
  const start = row[cut.placeInRow(place, at)];
  let end = at + 1;
  while (end < cut.own && row[cut.placeInRow(place, end)] === start) end++;
  return end;
}

/**
 * Of the keys of an earlier part the first chunk lies before all of this part's queries, of those of a later part both
 * chunks before this part's second: the queries from there to the end of the document see its part of them.
 */
function meetingWith(row: Int32Array, cut: Cut, place: number, other: number): Run[] {
  const query = other < place ? 0 : cut.chunk;
  const key = cut.firstFrom(other, row[cut.placeInRow(place, query)] as number);
  const end = other < place ? cut.chunk : cut.own;
  if (key >= end) return [];
  return [[query, endOfDocument(row, cut, place, query) - query, key, end - key]];
}
