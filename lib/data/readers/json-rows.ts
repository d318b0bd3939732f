// Reads the rows of one JSON file without holding the file: an array of objects, or one object a line.
// The form is told by the first character, not by the file's name. Bytes are cut into rows here and each
// row is parsed by JSON.parse, so memory is bounded by the longest row and an error knows its line.
// It knows nothing of columns or datasets.

import { UserError } from "../../errors.js";
import { jsonFault } from "../../files/json.js";
import { readBytes } from "./bytes.js";
import { requireUtf8 } from "./encoding.js";

/** One row: the parsed object, and the line (from 1) on which it begins. */
export interface JsonRow {
  readonly value: Record<string, unknown>;
  readonly line: number;
}

/** The bytes of one row as they stand in the file. */
interface RawRow {
  readonly bytes: Buffer;
  readonly line: number;
}

const NEWLINE = 0x0a;
const RETURN = 0x0d;
const SPACE = 0x20;
const TAB = 0x09;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

function isSpace(byte: number): boolean {
  return byte === SPACE || byte === NEWLINE || byte === RETURN || byte === TAB;
}

/**
 * The rows of a JSON or JSON Lines file, in order.
 *
 * @param chunkBytes how much is read at a time; tests make it small
 * @throws UserError with file and line for anything that is not UTF-8, not JSON or not an object
 */
export async function* readJsonRows(file: string, chunkBytes?: number): AsyncGenerator<JsonRow> {
  for await (const { bytes, line } of readRawRows(file, chunkBytes)) {
    yield { value: parseRow(file, bytes, line), line };
  }
}

/** How many rows a file has, without parsing them. */
export async function countJsonRows(file: string): Promise<number> {
  let count = 0;
  for await (const _ of readRawRows(file)) count++;
  return count;
}

async function* readRawRows(file: string, chunkBytes?: number): AsyncGenerator<RawRow> {
  const splitter = new RowSplitter(file);
  for await (const chunk of readBytes(file, chunkBytes)) yield* splitter.push(chunk);
  yield* splitter.end();
}

/**
 * Parses one row.
 *
 * @param line the one on which it begins, from 1
 * @throws UserError with file and line for anything that is not UTF-8, not JSON or not an object
 */
export function parseRow(file: string, bytes: Buffer, line: number): Record<string, unknown> {
  const text = requireUtf8(bytes, file, `${file}:${line}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const fault = jsonFault(text, error);
    const form = text.includes("\n") ? "" : "; every row is one object on one line";
    throw new UserError(`${file}:${line + fault.line - 1}: malformed JSON (${fault.what})${form}`);
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    const kind = value === null ? "null" : Array.isArray(value) ? "an array" : `a ${typeof value}`;
    throw new UserError(`${file}:${line}: a row must be an object such as {"text": "..."}, not ${kind}`);
  }
  return value as Record<string, unknown>;
}

/** Cuts a stream of bytes into rows. One instance reads one file. */
class RowSplitter {
  #mode: "start" | "lines" | "array" | "closed" = "start";
  #line = 1;
  /** Bytes of the unfinished row that earlier chunks brought. */
  #pending: Buffer[] = [];
  #rowLine = 1;
  #first = true;
  // Array mode. What may come next between elements, and where inside an element the scan stands.
  #expect: "element or end" | "element" | "comma or end" = "element or end";
  #depth = 0;
  #inString = false;
  #escaped = false;
  #inElement = false;

  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  *push(chunk: Buffer): Generator<RawRow> {
    let bytes = chunk;
    if (this.#first) {
      // A file shorter than a byte order mark cannot hold a row, so waiting for three bytes loses nothing.
      bytes = this.#pending.length > 0 ? Buffer.concat([...this.#pending, chunk]) : chunk;
      if (bytes.length < 3) {
        this.#pending = [bytes];
        return;
      }
      this.#pending = [];
      this.#first = false;
      if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) bytes = bytes.subarray(3);
    }
    let at = 0;
    if (this.#mode === "start") {
      while (at < bytes.length && isSpace(bytes[at]!)) if (bytes[at++] === NEWLINE) this.#line++;
      if (at === bytes.length) return;
      this.#mode = bytes[at] === OPEN_ARRAY ? "array" : "lines";
      if (this.#mode === "array") at++;
    }
    if (this.#mode === "lines") yield* this.#splitLines(bytes, at);
    else yield* this.#splitArray(bytes, at);
  }

  *end(): Generator<RawRow> {
    if (this.#first && this.#pending.length > 0) {
      this.#first = false;
      const short = Buffer.concat(this.#pending);
      this.#pending = [];
      yield* this.push(Buffer.concat([short, Buffer.from("\n\n\n")]));
    }
    if (this.#mode === "array") {
      const where = this.#inElement
        ? `in the row that begins on line ${this.#rowLine}`
        : "before its closing ]";
      throw new UserError(`${this.#file}:${this.#line}: the file ends ${where}; it is cut short`);
    }
    if (this.#mode === "lines" && this.#pending.length > 0) {
      const row = Buffer.concat(this.#pending);
      if (!isBlank(row)) yield { bytes: row, line: this.#line };
    }
  }

  *#splitLines(bytes: Buffer, from: number): Generator<RawRow> {
    let start = from;
    for (let stop = bytes.indexOf(NEWLINE, start); stop !== -1; stop = bytes.indexOf(NEWLINE, start)) {
      const row = this.#join(bytes.subarray(start, stop));
      if (!isBlank(row)) yield { bytes: row, line: this.#line };
      this.#line++;
      start = stop + 1;
    }
    if (start < bytes.length) this.#pending.push(bytes.subarray(start));
  }

  *#splitArray(bytes: Buffer, from: number): Generator<RawRow> {
    let start = from;
    for (let at = from; at < bytes.length; at++) {
      const byte = bytes[at]!;
      if (byte === NEWLINE) this.#line++;
      if (this.#inElement) {
        if (!this.#endsElement(byte)) continue;
        const row = this.#join(bytes.subarray(start, at + 1));
        this.#inElement = false;
        this.#expect = "comma or end";
        yield { bytes: row, line: this.#rowLine };
      } else if (!isSpace(byte)) {
        this.#between(byte);
        start = at;
      }
    }
    if (this.#inElement) this.#pending.push(bytes.subarray(start));
    // The next chunk continues the element from its own first byte.
  }

  /** Follows one byte inside an element; true where it closes the element. */
  #endsElement(byte: number): boolean {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false;
      else if (byte === BACKSLASH) this.#escaped = true;
      else if (byte === QUOTE) this.#inString = false;
      return false;
    }
    if (byte === QUOTE) this.#inString = true;
    else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) this.#depth++;
    else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) this.#depth--;
    return this.#depth === 0;
  }

  /** Follows one byte that is neither space nor inside an element. */
  #between(byte: number): void {
    if (this.#mode === "closed") this.#fail("something follows the array's closing ]");
    if (byte === CLOSE_ARRAY && this.#expect !== "element") {
      this.#mode = "closed";
    } else if (byte === COMMA && this.#expect === "comma or end") {
      this.#expect = "element";
    } else if (byte === OPEN_OBJECT && this.#expect !== "comma or end") {
      this.#inElement = true;
      this.#depth = 1;
      this.#rowLine = this.#line;
    } else if (this.#expect === "comma or end") {
      this.#fail("a comma or the closing ] is missing after a row");
    } else {
      this.#fail(`the array's rows must be objects such as {"text": "..."}`);
    }
  }

  #fail(what: string): never {
    throw new UserError(`${this.#file}:${this.#line}: malformed JSON: ${what}`);
  }

  #join(last: Buffer): Buffer {
    if (this.#pending.length === 0) return last;
    const whole = Buffer.concat([...this.#pending, last]);
    this.#pending = [];
    return whole;
  }
}

function isBlank(bytes: Buffer): boolean {
  for (const byte of bytes) if (!isSpace(byte)) return false;
  return true;
}
