// The one reader of JSON files, those of others and our own: what a file must hold is a shape, and whatever is damaged
// in it ends in one line with the file and the place. Rows of corpora are another matter: lib/data/readers.
import { readFileSync } from "node:fs";
import { messageOf, UserError } from "../errors.js";
import { jsonFault, parseJson } from "./json.js";
import { parsePythonJson } from "./python-json.js";
import { Mismatch, type Shape } from "./shape.js";

/** How a file is read. */
export interface JsonReading {
  /** What to do about a file that is missing or damaged; a message ends with it. */
  readonly remedy?: string;
  /** Instead of `cannot be read (...)`, for a file that is not there. */
  readonly missing?: string;
  /** Whether Python wrote it, whose NaN and Infinity are read then. */
  readonly python?: boolean;
}

/**
 * The content of a JSON file; a byte order mark is skipped.
 *
 * @throws UserError with file and place for one that cannot be read, is no JSON, or holds something else than `shape`
 */
export function readJsonFile<T>(file: string, shape: Shape<T>, reading: JsonReading = {}): T {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === "ENOENT";
    const what = (isMissing && reading.missing) || `cannot be read (${messageOf(error)})`;
    throw new UserError(`${file}: ${what}${ending(reading)}`);
  }
  return jsonOf(text, file, shape, reading);
}

/** As {@link readJsonFile}, of a text that is there already; `file` names it in messages. */
export function jsonOf<T>(text: string, file: string, shape: Shape<T>, reading: JsonReading = {}): T {
  const plain = text.startsWith("\uFEFF") ? text.slice(1) : text;
  try {
    return shape(parsed(plain, file, reading), "");
  } catch (error) {
    if (error instanceof Mismatch) throw new UserError(`${file}: ${error.message}${ending(reading)}`);
    throw error;
  }
}

function parsed(text: string, file: string, { remedy, python = false }: JsonReading): unknown {
  if (!python) return parseJson(text, file, remedy);
  try {
    return parsePythonJson(text);
  } catch (error) {
    const { line, what } = jsonFault(text, error, { python });
    throw new UserError(`${file}:${line}: malformed JSON (${what})${ending({ remedy })}`);
  }
}

/** The content of a file that only spares work: undefined where it is missing or damaged. */
export function recallJson<T>(file: string, shape: Shape<T>): T | undefined {
  try {
    return shape(JSON.parse(readFileSync(file, "utf8")), "");
  } catch {
    return undefined;
  }
}

const ending = ({ remedy }: { readonly remedy?: string | undefined }): string =>
  remedy === undefined ? "" : `; ${remedy}`;
