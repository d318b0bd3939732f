// JSON files that users write and copy: read with the line of a fault in plain words, written whole or not at all.
// JSON.parse does the parsing; the scan below only finds out where and why it failed.
import { dirname } from "node:path";
import { messageOf, UserError } from "../errors.js";
import { replaceFile } from "./whole-file.js";

/**
 * Parses a file's text.
 * @throws UserError `file:line: malformed JSON (what is wrong)`, followed by `remedy` where there is one
 */
export function parseJson(text: string, file: string, remedy = ""): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const { line, what } = jsonFault(text, error);
    throw new UserError(`${file}:${line}: malformed JSON (${what})${remedy && `; ${remedy}`}`);
  }
}

/** A value as a line of JSON, numbers that are not finite as text, because JSON has none. */
export function jsonLine(value: unknown): string {
  const plain = (_: string, part: unknown) =>
    typeof part === "number" && !Number.isFinite(part) ? String(part) : part;
  return `${JSON.stringify(value, plain)}\n`;
}

/** What a reader takes beyond JSON. */
export interface JsonLeave {
  /** NaN and Infinity, as Python writes them. */
  readonly python?: boolean;
  /** Line ends and tabs inside a text. */
  readonly controls?: boolean;
}

/** Where (line, from 1) and why JSON.parse refused a text with `error`, or a reader that takes more than it. */
export function jsonFault(
  text: string,
  error: unknown,
  leave: JsonLeave = {},
): { line: number; what: string } {
  let fault: Fault | undefined;
  try {
    new Scan(text, leave).document();
  } catch (found) {
    // too deep for a scan that calls itself: the engine's own words remain
    if (found instanceof Fault) fault = found;
  }
  const what = fault?.message ?? messageOf(error).replace(/\s+/g, " ").slice(0, 120);
  return { line: text.slice(0, fault?.at ?? 0).split("\n").length, what };
}

const escapeOf = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;

class Fault extends Error {
  constructor(
    readonly at: number,
    message: string,
  ) {
    super(message);
  }
}

const WORD = /-?Infinity(?!\w)|NaN(?!\w)/y;
const VALUE = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])|(?:true|false|null)(?!\w)/y;
const TEXT = /"(?:[^"\\\p{Cc}]|\x7f|[\x80-\x9f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*/uy;

const LOOSE_TEXT = /"(?:[^"\\\0]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*/y;

class Scan {
  #at = 0;

  constructor(
    readonly text: string,
    readonly leave: JsonLeave = {},
  ) {}

  document(): void {
    this.#value();
    this.#skip();
    if (this.#at < this.text.length) this.#fail("something follows the closing bracket");
  }

  #value(): void {
    this.#skip();
    const first = this.text[this.#at];
    if (first === "{") this.#members("}", () => this.#member());
    else if (first === "[") this.#members("]", () => this.#value());
    else if (first === '"') this.#string();
    else {
      VALUE.lastIndex = WORD.lastIndex = this.#at;
      const found = VALUE.exec(this.text) ?? (this.leave.python ? WORD.exec(this.text) : null);
      if (found === null) this.#refuse("a value is expected");
      this.#at += found[0].length;
    }
  }

  #members(closing: string, read: () => void): void {
    this.#at++;
    this.#skip();
    if (this.text[this.#at] === closing) {
      this.#at++;
      return;
    }
    for (;;) {
      read();
      this.#skip();
      const next = this.text[this.#at];
      if (next !== "," && next !== closing) this.#refuse(`a comma or the closing ${closing} is missing`);
      this.#at++;
      if (next === closing) return;
      this.#skip();
      if (this.text[this.#at] === closing) this.#fail(`the comma before ${closing} is one too many`);
    }
  }

  #member(): void {
    if (this.text[this.#at] !== '"') this.#refuse("a name in double quotes is expected");
    this.#string();
    this.#skip();
    if (this.text[this.#at] !== ":") this.#refuse("a colon is missing");
    this.#at++;
    this.#value();
  }

  #string(): void {
    const pattern = this.leave.controls ? LOOSE_TEXT : TEXT;
    pattern.lastIndex = this.#at;
    const end = this.#at + (pattern.exec(this.text)?.[0].length ?? 1);
    const next = this.text[end];
    if (next === '"') {
      this.#at = end + 1;
      return;
    }
    if (next === undefined) this.#at = end;
    if (next === "\\") this.#fail('a backslash in a text is written twice (\\\\), a path with "/"');
    if (next === "\0") this.#fail("a text holds a NUL byte: take it out, for instance by tr -d '\\000'");
    if (next === "\t") this.#fail("a text has a tab in it: write \\t");
    if (next === "\n" || next === "\r")
      this.#fail(
        `a text is not closed on its line: close it, or write ${next === "\n" ? "\\n" : "\\r"} for a line's end`,
      );
    if (next !== undefined) this.#fail(`a text holds a control character: write ${escapeOf(next)} for it`);
    this.#refuse("");
  }

  #skip(): void {
    while (/[ \t\r\n]/.test(this.text[this.#at] ?? "")) this.#at++;
  }

  /** Names what stands where `wanted` was expected. */
  #refuse(wanted: string): never {
    const rest = this.text.slice(this.#at, this.#at + 40);
    if (rest === "") this.#fail("it ends in the middle: it is cut short");
    if (/^[“”‘’„«»＂'`]/.test(rest))
      this.#fail(`${rest[0]} is no quote in JSON: write a straight double quote "`);
    if (/^[，：]/.test(rest)) this.#fail(`${rest[0]} is full-width: write , or :`);
    if (/^(?:\/\/|\/\*|#)/.test(rest)) this.#fail("JSON has no comments: remove it");
    const found = /^(?:"[^"\n]{0,24}"?|[\p{L}\d_.+-]+|.)/u.exec(rest)?.[0] ?? rest[0];
    this.#fail(`${wanted} before ${found}`);
  }

  #fail(what: string): never {
    throw new Fault(this.#at, what);
  }
}

/**
 * Writes a value as indented JSON: beside the file first, flushed, then renamed over it.
 * @throws UserError naming the file; an earlier version is then still there
 */
export function writeJson(file: string, value: unknown): void {
  try {
    replaceFile(file, `${JSON.stringify(value, null, 2)}\n`);
  } catch (error) {
    throw new UserError(
      `cannot write ${file}: ${messageOf(error)}; see to ${dirname(file)} or choose another folder`,
    );
  }
}

/** Whether a value is a JSON object, and no array. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
