// The short way from files of JSON lines to token ids: whole chunks go to the native encoder as they stand in the file,
// several at once, and only the rows that it leaves are parsed here. From the first line on that is no row by itself, the
// rest of a file goes row by row. Documents, ids and errors are those of readDocuments and the tokenizer.

import { isUtf8 } from "node:buffer";
import type { DatasetEntry } from "../datasets/dataset-info.js";
import { DocumentReader } from "../datasets/documents.js";
import { jsonRowsFrom, rowOfLine } from "../readers/json-rows.js";
import { isBlank } from "../readers/json-values.js";
import { endOfLines, holdsLines, rowChunks } from "../readers/row-chunks.js";
import { fileType } from "../readers/rows.js";
import type { EncodedRows, RowRule } from "../tokenizer/text-addon.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";

/** Bytes that are parsed here at once while the native encoder is not at work yet. */
const SLOW_BYTES = 1 << 17;
/** What is encoded at once where a file goes row by row. */
const BATCH = { documents: 1000, characters: 1 << 18 };

/** Takes the ids of some documents, end to end, and their lengths. */
export type OnEncoded = (ids: Int32Array, lengths: Int32Array) => void;

/** What the native encoder is told of a dataset's rows; undefined where they are not for it. */
export async function rowRule(
  { files, columns, languageTag = "", wholeFile }: DatasetEntry,
  separator: string,
): Promise<RowRule | undefined> {
  if (wholeFile || columns.formatting !== "alpaca" || columns.history !== undefined) return undefined;
  const named = [columns.prompt, columns.query].filter((name) => name !== undefined);
  if (named.length === 0 || new Set(named).size < named.length) return undefined;
  for (const file of files) if (fileType(file) !== "json" || !(await holdsLines(file))) return undefined;
  return { columns: named, tag: languageTag, separator };
}

/**
 * Encodes the first `most` documents of a dataset.
 *
 * @throws UserError as readDocuments does
 */
export async function encodeRows(
  entry: DatasetEntry,
  rule: RowRule,
  tokenizer: Tokenizer,
  most: number,
  onEncoded: OnEncoded,
): Promise<void> {
  const reader = new DocumentReader(entry);
  let left = most;
  for (const file of entry.files) {
    if (left <= 0) break;
    left = await new RowIntake(file, { reader, rule, tokenizer, onEncoded }).read(left);
  }
  if (left > 0) reader.end();
}

interface Tools {
  readonly reader: DocumentReader;
  readonly rule: RowRule;
  readonly tokenizer: Tokenizer;
  readonly onEncoded: OnEncoded;
}

/** Reads one file. */
class RowIntake {
  readonly #file: string;
  readonly #tools: Tools;
  /** Chunks under way; their results are taken in order. */
  readonly #encoding: { chunk: Buffer; rows: Promise<EncodedRows> }[] = [];
  #line = 1;
  /** Documents that are still wanted. */
  #left = 0;
  /** What is to go row by row: the bytes at hand from the line on that is no row by itself. */
  #over: Buffer[] | undefined;

  constructor(file: string, tools: Tools) {
    this.#file = file;
    this.#tools = tools;
  }

  /** Encodes at most `most` documents; returns how many are still missing. */
  async read(most: number): Promise<number> {
    this.#left = most;
    const chunks = rowChunks(this.#file);
    try {
      while (this.#left > 0 && this.#over === undefined) {
        const next = await chunks.next();
        if (next.done) break;
        await this.#push(next.value);
      }
      await this.#drain(0);
      if (this.#over !== undefined) await this.#readOn(this.#over, chunks);
    } finally {
      await chunks.return(undefined);
    }
    return this.#left;
  }

  async #push(whole: Buffer): Promise<void> {
    const { tokenizer, rule } = this.#tools;
    for (let chunk = whole; chunk.length > 0 && this.#left > 0; ) {
      const rows = isUtf8(chunk) ? tokenizer.encodeRows?.(chunk, rule) : undefined;
      if (rows !== undefined) {
        // A failure surfaces when its turn has come; until then it is not an unhandled rejection.
        rows.catch(() => {});
        this.#encoding.push({ chunk, rows });
        return this.#drain(tokenizer.lanes);
      }
      await this.#drain(0);
      if (this.#over !== undefined) {
        this.#over.push(chunk);
        return;
      }
      const end = endOfLines(chunk, SLOW_BYTES);
      await this.#take(chunk.subarray(0, end), unread(chunk.subarray(0, end)));
      chunk = chunk.subarray(end);
    }
  }

  /** Reads the rest of the file row by row. */
  async #readOn(first: readonly Buffer[], others: AsyncIterable<Buffer>): Promise<void> {
    const parts = async function* (): AsyncGenerator<Buffer> {
      yield* first;
      yield* others;
    };
    const { reader, rule, tokenizer, onEncoded } = this.#tools;
    let texts: string[] = [];
    let characters = 0;
    const flush = async () => {
      if (texts.length > 0)
        join(NONE, new Int32Array(texts.length).fill(-1), await tokenizer.encodeBatch(texts), onEncoded);
      texts = [];
      characters = 0;
    };
    for await (const { value, line } of jsonRowsFrom(this.#file, parts(), this.#line)) {
      texts.push(reader.document({ value, place: `${this.#file}:${line}` }) + rule.separator);
      characters += texts.at(-1)!.length;
      if (--this.#left === 0) break;
      if (texts.length >= BATCH.documents || characters >= BATCH.characters) await flush();
    }
    await flush();
  }

  async #drain(to: number): Promise<void> {
    while (this.#encoding.length > to) {
      const { chunk, rows } = this.#encoding.shift()!;
      const encoded = await rows;
      if (this.#over === undefined) await this.#take(chunk, encoded);
      else this.#over.push(chunk);
    }
  }

  /** Takes the documents of a chunk in order: those that are encoded, and those that are still to be. */
  async #take(chunk: Buffer, { ids, lengths, left, lines }: EncodedRows): Promise<void> {
    let count = Math.min(lengths.length, this.#left);
    let linesRead = lines;
    const { reader, rule, tokenizer, onEncoded } = this.#tools;
    const texts: string[] = [];
    for (let i = 0; i < count && texts.length * 3 < left.length; i++) {
      if (lengths[i]! >= 0) reader.passed();
      else {
        const [from, to, line] = left.subarray(3 * texts.length) as unknown as [number, number, number];
        const at = this.#line + line;
        const value = rowOfLine(this.#file, chunk.subarray(from, to), at);
        if (value === undefined) {
          this.#over = [chunk.subarray(from)];
          linesRead = line;
          count = i;
        } else texts.push(reader.document({ value, place: `${this.#file}:${at}` }) + rule.separator);
      }
    }
    if (count > texts.length) reader.passed();
    this.#line += linesRead;
    this.#left -= count;
    const others = texts.length === 0 ? [] : await tokenizer.encodeBatch(texts);
    if (others.length === 0 && count === lengths.length) onEncoded(ids, lengths);
    else join(ids, lengths.subarray(0, count), others, onEncoded);
  }
}

const NONE = new Int32Array(0);

/** Puts the ids of rows that were left between those of the others. */
function join(
  ids: Int32Array,
  lengths: Int32Array,
  others: readonly Int32Array[],
  onEncoded: OnEncoded,
): void {
  let other = 0;
  const parts: Int32Array[] = [];
  let at = 0;
  const whole = lengths.map((length) => {
    const part = length < 0 ? others[other++]! : ids.subarray(at, at + length);
    if (length > 0) at += length;
    parts.push(part);
    return part.length;
  });
  const all = new Int32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let end = 0;
  for (const part of parts) {
    all.set(part, end);
    end += part.length;
  }
  onEncoded(all, whole);
}

/** Every row of a chunk as one that is left. */
function unread(chunk: Buffer): EncodedRows {
  const left: number[] = [];
  let lines = 0;
  for (let at = 0; at < chunk.length; lines++) {
    const end = chunk.indexOf(0x0a, at);
    const to = end < 0 ? chunk.length : end;
    if (!isBlank(chunk.subarray(at, to))) left.push(at, to, lines);
    at = to + 1;
  }
  const rows = left.length / 3;
  return {
    ids: NONE,
    lengths: new Int32Array(rows).fill(-1),
    left: Int32Array.from(left),
    lines,
  };
}
