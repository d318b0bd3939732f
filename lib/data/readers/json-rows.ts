// Reads the rows of one JSON file without holding the file: an array of rows, or rows one after another. The form is
// told by the first character, not by the file's name. What `datasets` reads of JSON is read: rows over several lines
// or several on one, NaN and Infinity, an array of texts. Each row is parsed by itself, so memory is bounded by the
// longest one and an error knows its line. It knows nothing of columns or datasets.

import { UserError } from "../../errors.js";
import { isObject, jsonFault } from "../../files/json.js";
import { parsePythonJson } from "../../files/python-json.js";
import { readBytes } from "./bytes.js";
import { requireUtf8 } from "./encoding.js";
import { isBlank, type RawValue, ValueSplitter } from "./json-values.js";
import { LONGEST, tooLong } from "./longest.js";

/** One row: the parsed object, and the line (from 1) on which it begins. */
export interface JsonRow {
  readonly value: Record<string, unknown>;
  readonly line: number;
}

/** The column of rows that are bare texts, as `datasets` calls it. */
const BARE_COLUMN = "text";

/**
 * The rows of a JSON or JSON Lines file, in order.
 *
 * @param chunkBytes how much is read at a time; tests make it small
 * @throws UserError with file and line for anything that is not UTF-8, not JSON or no row
 */
export function readJsonRows(file: string, chunkBytes?: number): AsyncGenerator<JsonRow> {
  return rowsOf(file, new ValueSplitter(file), readBytes(file, chunkBytes));
}

/**
 * The rows of a file of JSON Lines from some line on.
 *
 * @param parts its bytes from there
 * @param line the number of that line
 */
export function jsonRowsFrom(
  file: string,
  parts: AsyncIterable<Buffer>,
  line: number,
): AsyncGenerator<JsonRow> {
  return rowsOf(file, new ValueSplitter(file, line, false), parts);
}

async function* rowsOf(
  file: string,
  splitter: ValueSplitter,
  parts: AsyncIterable<Buffer>,
): AsyncGenerator<JsonRow> {
  const source = parts[Symbol.asyncIterator]();
  for await (const raw of rawRows(splitter, { [Symbol.asyncIterator]: () => source })) {
    let value: Record<string, unknown>;
    try {
      value = rowOf(file, raw);
    } catch (error) {
      await source.next(); // where a packed file is damaged, it is the unpacking that has something to say
      throw error;
    }
    yield { value, line: raw.line };
  }
}

/** How many rows a file has, without parsing them. */
export async function countJsonRows(file: string): Promise<number> {
  let count = 0;
  for await (const raw of rawRows(new ValueSplitter(file), readBytes(file))) {
    if (raw.isCut) rowOf(file, raw);
    count++;
  }
  return count;
}

async function* rawRows(splitter: ValueSplitter, parts: AsyncIterable<Buffer>): AsyncGenerator<RawValue> {
  /** The first bytes, until it is known whether they are a byte order mark. */
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const part of parts) {
    if (head === undefined) yield* splitter.push(part);
    else {
      head = Buffer.concat([head, part]);
      if (head.length < 3) continue;
      yield* splitter.push(withoutMark(head));
      head = undefined;
    }
  }
  if (head !== undefined) yield* splitter.push(head);
  yield* splitter.end();
}

function withoutMark(bytes: Buffer): Buffer {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
}

/**
 * The row that a whole line holds; undefined where it holds less or more than one, which only a reader of the whole
 * file can tell.
 *
 * @param line its number, from 1
 * @throws UserError with file and line for anything that is not UTF-8, not JSON or no row
 */
export function rowOfLine(file: string, bytes: Buffer, line: number): Record<string, unknown> | undefined {
  if (bytes.length > LONGEST) throw tooLong(file, line);
  try {
    const value: unknown = JSON.parse(requireUtf8(bytes, file, `${file}:${line}`));
    if (isObject(value)) return value;
  } catch (error) {
    if (error instanceof UserError) throw error;
  }
  const splitter = new ValueSplitter(file, line, false);
  const values = [...splitter.push(bytes)];
  const [only] = values;
  const isOne =
    values.length === 1 && isBlank(bytes.subarray(bytes.indexOf(only!.bytes) + only!.bytes.length));
  return isOne ? rowOf(file, only!) : undefined;
}

/** @throws UserError with file and line for anything that is not UTF-8, not JSON or no row */
function rowOf(file: string, { bytes, line, inArray, isCut }: RawValue): Record<string, unknown> {
  if (bytes.length > LONGEST) throw tooLong(file, line);
  const text = requireUtf8(bytes, file, `${file}:${line}`);
  let value: unknown;
  try {
    value = parsePythonJson(text, inArray);
  } catch (error) {
    const fault = jsonFault(text, error, { python: true, controls: inArray });
    const form = '; each row is one object such as {"text": "..."}';
    const place = line + fault.line - 1;
    const isNextRow = isCut && place > line && text.split("\n")[fault.line - 1]?.startsWith("{");
    throw new UserError(
      isNextRow
        ? `${file}:${line}: malformed JSON (the row is not closed where another begins, on line ${place})${form}`
        : `${file}:${place}: malformed JSON (${fault.what})${form}`,
    );
  }
  if (isCut) throw new UserError(`${file}:${line}: malformed JSON: the row that begins here is damaged`);
  if (isObject(value)) return value;
  if (value === null) return inArray ? { [BARE_COLUMN]: null } : {};
  // pandas, which `datasets` has read an array of anything else than objects, calls the one column so
  if (inArray && !Array.isArray(value)) return { [BARE_COLUMN]: value };
  if (inArray && Array.isArray(value) && value.length < 2) return { [BARE_COLUMN]: value[0] ?? null };
  const kind = Array.isArray(value) ? "an array" : `a ${typeof value}`;
  throw new UserError(`${file}:${line}: a row must be an object such as {"text": "..."}, not ${kind}`);
}
