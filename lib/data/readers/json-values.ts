// Cuts the bytes of a JSON file into its values without holding the file: the elements of one array, or values one
// after another, on lines or not. It follows brackets and quotes and leaves the rest to whoever parses a value; where
// one cannot go on as JSON does, it is cut there, so that a fault never swallows the rest of the file.

import { UserError } from "../../errors.js";
import { LONGEST, tooLong } from "./longest.js";

/** The bytes of one value as they stand in the file. */
export interface RawValue {
  readonly bytes: Buffer;
  /** The line on which it begins, from 1. */
  readonly line: number;
  /** Whether it is an element of an array that holds them all. */
  readonly inArray: boolean;
  /** Whether it is cut at a fault; whoever parses it comes upon the fault, and nothing follows. */
  readonly isCut?: boolean;
}

const DEEPEST = 10_000;

const NEWLINE = 0x0a;
const RETURN = 0x0d;
const SPACE = 0x20;
const TAB = 0x09;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** What stands before the byte at hand, inside a value. */
type Before = "nothing" | "opening" | "comma" | "colon" | "scalar" | "value";

function isSpace(byte: number): boolean {
  return byte === SPACE || byte === NEWLINE || byte === RETURN || byte === TAB;
}

/** Whether bytes are nothing but white space. */
export function isBlank(bytes: Buffer): boolean {
  return bytes.every(isSpace);
}

/** Cuts one file. Its parts are pushed in order, then it is ended. */
export class ValueSplitter {
  readonly #file: string;
  #line: number;
  #mode: "start" | "values" | "array" | "closed" = "start";
  #expect: "element or end" | "element" | "comma or end" = "element or end";
  /** Bytes of the unfinished value that earlier parts brought. */
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #valueLine = 1;
  /** Inside a value: within brackets or a text, or, between values, on a line that begins with neither. */
  #inside: "no" | "brackets" | "scalar" = "no";
  #stack: number[] = [];
  #before: Before = "nothing";
  #inText = false;
  #escaped = false;
  #ended = false;

  /**
   * @param line the number of the first line, for messages
   * @param inArray whether one array may hold the values; else they stand by themselves
   */
  constructor(file: string, line = 1, inArray = true) {
    this.#file = file;
    this.#line = line;
    if (!inArray) this.#mode = "values";
  }

  /** @param part whole characters need not end where it ends; a byte order mark was left out */
  *push(part: Buffer): Generator<RawValue> {
    let start = 0;
    let at = 0;
    while (at < part.length && !this.#ended) {
      if (this.#inside === "no") {
        const byte = part[at]!;
        if (isSpace(byte)) {
          if (byte === NEWLINE) this.#line++;
          at++;
        } else if (this.#opens(byte)) {
          start = at;
          this.#valueLine = this.#line;
        } else at++;
        continue;
      }
      const end = this.#inside === "scalar" ? this.#scalarEnd(part, at) : this.#valueEnd(part, at);
      if (end < 0) break;
      yield this.#value(part.subarray(start, end));
      at = end;
    }
    if (this.#inside === "no" || this.#ended) return;
    this.#pending.push(part.subarray(start));
    this.#pendingBytes += part.length - start;
    if (this.#pendingBytes > LONGEST) throw tooLong(this.#file, this.#valueLine);
  }

  /** The last value, where the file's end closes it. @throws UserError where an array is cut short */
  *end(): Generator<RawValue> {
    if (this.#ended) return;
    if (this.#mode === "array") {
      const where =
        this.#inside !== "no" ? `in the row that begins on line ${this.#valueLine}` : "before its closing ]";
      throw new UserError(`${this.#file}:${this.#line}: the file ends ${where}; it is cut short`);
    }
    if (this.#inside !== "no") yield this.#value(Buffer.alloc(0));
  }

  /** Follows a byte between values; whether a value begins with it. */
  #opens(byte: number): boolean {
    if (this.#mode === "start") {
      this.#mode = byte === OPEN_ARRAY ? "array" : "values";
      if (this.#mode === "array") return false;
    }
    if (this.#mode === "closed") this.#fail("something follows the array's closing ]");
    if (this.#mode === "array" && this.#isBetween(byte)) return false;
    if (this.#mode === "values" && byte === COMMA)
      this.#fail(
        "rows on their own lines have no commas between them: remove it, or put all rows into [ and ]",
      );
    this.#inside = byte === OPEN_OBJECT || byte === OPEN_ARRAY || byte === QUOTE ? "brackets" : "scalar";
    this.#before = "nothing";
    return true;
  }

  /** Follows a byte between an array's elements; false where it begins an element. */
  #isBetween(byte: number): boolean {
    if (byte === CLOSE_ARRAY && this.#expect !== "element") this.#mode = "closed";
    else if (byte === CLOSE_ARRAY) this.#fail("the comma before ] is one too many");
    else if (byte === COMMA && this.#expect === "comma or end") this.#expect = "element";
    else if (this.#expect === "comma or end") this.#fail("a comma or the closing ] is missing after a row");
    else if (byte === COMMA) this.#fail("a row is missing before a comma");
    else {
      this.#expect = "comma or end";
      return false;
    }
    return true;
  }

  /** Where a word or number ends: at the line's end, or in an array where the next thing begins; -1 where not here. */
  #scalarEnd(part: Buffer, from: number): number {
    for (let at = from; at < part.length; at++) {
      const byte = part[at]!;
      const isEnd =
        this.#mode === "values"
          ? byte === NEWLINE || byte === RETURN
          : isSpace(byte) || byte === COMMA || byte === CLOSE_ARRAY;
      if (isEnd) return at;
    }
    return -1;
  }

  /** Where the value ends that stands in brackets or quotes, or a fault in it; -1 where not in this part. */
  #valueEnd(part: Buffer, from: number): number {
    for (let at = from; at < part.length; ) {
      if (this.#inText) {
        at = this.#textEnd(part, at);
        if (at < 0) return -1;
        if (!this.#ended && this.#stack.length > 0) continue;
        return at;
      }
      const byte = part[at]!;
      if (byte === NEWLINE) this.#line++;
      if (!isSpace(byte) && !this.#follows(byte)) return this.#cutAt(part, at);
      at++;
      if (this.#stack.length === 0 && this.#before === "value") return at;
    }
    return -1;
  }

  /** Follows a byte inside brackets; false where JSON does not go on with it. */
  #follows(byte: number): boolean {
    const before = this.#before;
    const isAfterValue = before === "value" || before === "scalar";
    if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      const isInObject = this.#stack.at(-1) === CLOSE_OBJECT;
      if (isAfterValue || (isInObject && before !== "colon")) return false;
      if (this.#stack.push(byte === OPEN_OBJECT ? CLOSE_OBJECT : CLOSE_ARRAY) > DEEPEST)
        this.#fail(`brackets stand in brackets more than ${DEEPEST} deep`);
      this.#before = "opening";
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
      if (this.#stack.pop() !== byte) return false;
      this.#before = "value";
    } else if (byte === QUOTE) {
      if (isAfterValue) return false;
      this.#inText = true;
    } else if (byte === COMMA) this.#before = "comma";
    else if (byte === COLON) this.#before = "colon";
    else {
      if (before === "value") return false;
      this.#before = "scalar";
    }
    return true;
  }

  /** The place behind the quote that closes a text; -1 where it is not in this part. Line ends are taken in an array only. */
  #textEnd(part: Buffer, from: number): number {
    for (let at = from; ; ) {
      const quote = part.indexOf(QUOTE, at);
      const stop = quote < 0 ? part.length : quote;
      for (
        let line = part.indexOf(NEWLINE, at);
        line >= 0 && line < stop;
        line = part.indexOf(NEWLINE, line + 1)
      ) {
        if (this.#mode === "values") return this.#cutAt(part, line);
        this.#line++;
      }
      let slashes = 0;
      while (stop - slashes > at && part[stop - slashes - 1] === BACKSLASH) slashes++;
      const isEscaped = (slashes % 2 === 1) !== (slashes === stop - at && this.#escaped);
      this.#escaped = quote < 0 && isEscaped;
      if (quote < 0) return -1;
      at = quote + 1;
      if (isEscaped) continue;
      this.#inText = false;
      this.#before = "value";
      return at;
    }
  }

  /** Cuts the value at a fault, the rest of its line with it. */
  #cutAt(part: Buffer, at: number): number {
    this.#ended = true;
    const end = part.indexOf(NEWLINE, at);
    return end < 0 ? part.length : Math.max(end, at + 1);
  }

  #value(last: Buffer): RawValue {
    const bytes = this.#pending.length === 0 ? last : Buffer.concat([...this.#pending, last]);
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#inside = "no";
    const inArray = this.#mode === "array";
    return { bytes, line: this.#valueLine, inArray, ...(this.#ended && { isCut: true }) };
  }

  #fail(what: string): never {
    throw new UserError(`${this.#file}:${this.#line}: malformed JSON: ${what}`);
  }
}
