// From a dataset's rows to its documents: one string a row, taken from the columns that dataset_info.json names.
// What it does with columns is what LLaMA-Factory's converters do in `stage: pt`.

import { UserError } from "../../errors.js";
import { missingColumn, type Row } from "../readers/row.js";
import { fileType, readRows } from "../readers/rows.js";
import { readWholeFile } from "../readers/whole-files.js";
import type { Columns, TextColumns } from "./columns.js";
import { firstMessage } from "./conversations.js";
import type { DatasetEntry, HubSource } from "./dataset-info.js";

/** A column that this many JSON rows in a row lack is taken for missing, rather than empty in all of them. */
const PATIENCE = 1000;

type Entry = Pick<DatasetEntry, "files" | "columns" | "languageTag" | "wholeFile">;

/**
 * The documents of a dataset in file order. A row whose text is null or "" is an empty document.
 *
 * @throws UserError with file and place for a malformed row, a text that is no string, or a column that is not there
 */
export async function* readDocuments(entry: Entry): AsyncGenerator<string> {
  const reader = new DocumentReader(entry);
  for (const file of entry.files) {
    const rows = entry.wholeFile ? readWholeFile(file) : readRows(file, reader.columns);
    for await (const row of rows) yield reader.document(row);
  }
  reader.end();
}

/** Takes the documents from a dataset's rows, which come one after another. */
export class DocumentReader {
  /** The columns that are wanted. */
  readonly columns: readonly string[];
  readonly #entry: Entry;
  /** Rows of JSON may leave a column out where it is empty, so that it is missing only where many rows lack it. */
  readonly #missing: Set<string>;
  #rows = 0;
  #first: Row | undefined;

  constructor(entry: Entry) {
    this.#entry = entry;
    this.columns = wantedColumns(entry.columns);
    const { files } = entry;
    this.#missing = new Set(files[0] !== undefined && fileType(files[0]) === "json" ? this.columns : []);
  }

  /** @throws UserError for a text that is no string, or a column that is not there */
  document(row: Row): string {
    this.#first ??= row;
    const missing = this.#missing;
    for (const name of missing) if (Object.hasOwn(row.value, name)) missing.delete(name);
    if (++this.#rows === PATIENCE) this.end();
    const text = documentOf(row, this.#entry.columns);
    return text === "" ? text : (this.#entry.languageTag ?? "") + text;
  }

  /** Rows were read elsewhere that had all columns. */
  passed(): void {
    this.#missing.clear();
  }

  /** @throws UserError for a column that no row had */
  end(): void {
    const [name] = this.#missing;
    const first = this.#first;
    if (name !== undefined && first !== undefined)
      throw missingColumn(this.#entry.files[0]!, name, Object.keys(first.value), first.value);
  }
}

/** The error for a dataset of a hub where nothing can fetch it. */
export function notFetched(source: HubSource): UserError {
  return new UserError(
    `${source.repo} is on a hub, and fetching is not available here; download its files and name them by file_name`,
  );
}

function wantedColumns(columns: Columns): string[] {
  if (columns.formatting !== "alpaca") return [columns.messages];
  const named = [columns.prompt, columns.query, columns.history].filter((name) => name !== undefined);
  return [...new Set(named)];
}

function documentOf(row: Row, columns: Columns): string {
  if (columns.formatting === "alpaca") return plainDocument(row, columns);
  const where = `${row.place}: column ${JSON.stringify(columns.messages)}`;
  const content = firstMessage(cell(row, columns.messages), columns, where);
  return textOf(content ?? null, columns.messages, row, "the first message's text");
}

/** The history's first turn where there is one; else prompt and query joined by a newline, empty ones left out. */
function plainDocument(row: Row, columns: TextColumns): string {
  const history = columns.history === undefined ? undefined : cell(row, columns.history);
  if (columns.history !== undefined && Array.isArray(history) && history.length > 0) {
    const turn: unknown = history[0];
    return textOf(Array.isArray(turn) ? turn[0] : turn, columns.history, row);
  }
  const parts = [];
  for (const name of [columns.prompt, columns.query]) {
    if (name === undefined) continue;
    const text = textOf(cell(row, name), name, row);
    if (text !== "") parts.push(text);
  }
  return parts.join("\n");
}

/** A column's value; a column that shares its name with a property of every object is still only a column. */
function cell(row: Row, column: string): unknown {
  return Object.hasOwn(row.value, column) ? row.value[column] : undefined;
}

function textOf(value: unknown, column: string, row: Row, inside?: string): string {
  if (typeof value !== "string") {
    // NaN stands for a missing text where pandas' rows were written by Python's json
    if (inside === undefined && (value === undefined || value === null || Number.isNaN(value))) return "";
    const what = inside === undefined ? "" : `: ${inside}`;
    throw new UserError(
      `${row.place}: column ${JSON.stringify(column)}${what} must be text, not ${kindOf(value)}; ` +
        (Array.isArray(value) && inside === undefined
          ? "write one row for each text"
          : "correct the row, or name another column in dataset_info.json"),
    );
  }
  if (/\p{Surrogate}/u.test(value)) {
    throw new UserError(
      `${row.place}: column ${JSON.stringify(column)} has half of a surrogate pair (a \\uD800 to \\uDFFF on its own); repair the text`,
    );
  }
  return value;
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return "an array";
  if (value instanceof Date) return "a date";
  if (value instanceof Uint8Array) return "bytes";
  return typeof value === "object" ? "an object" : `a ${typeof value === "bigint" ? "number" : typeof value}`;
}
