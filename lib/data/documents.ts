// From a dataset's rows to its documents: one string a row, taken from the columns that dataset_info.json names.
// What it does with columns is what LLaMA-Factory's alpaca converter does in `stage: pt`.

import { UserError } from "../errors.js";
import type { DatasetEntry, TextColumns } from "./dataset-info.js";
import { type JsonRow, readRows } from "./records.js";

/** A column that this many rows in a row lack is taken for missing, rather than empty in all of them. */
const PATIENCE = 1000;

/**
 * The documents of a dataset in file order. A row whose text is null or "" is an empty document.
 *
 * @throws UserError with file and line for a malformed row, a text that is no string, or a column that no row has
 */
export async function* readDocuments(entry: DatasetEntry): AsyncGenerator<string> {
  const missing = new Set([entry.columns.prompt, entry.columns.query].filter((name) => name !== undefined));
  let rows = 0;
  let first: JsonRow | undefined;
  let file = "";
  for (file of entry.files) {
    for await (const row of readRows(file)) {
      first ??= row;
      for (const name of missing) if (Object.hasOwn(row.value, name)) missing.delete(name);
      if (++rows === PATIENCE) requireColumns(entry, missing, first);
      yield documentOf(row, entry.columns, file);
    }
  }
  if (first !== undefined) requireColumns(entry, missing, first);
}

function requireColumns(entry: DatasetEntry, missing: ReadonlySet<string>, first: JsonRow): void {
  const [name] = missing;
  if (name === undefined) return;
  const columns = Object.keys(first.value).slice(0, 8);
  const offer = columns.includes("text") ? "text" : (columns[0] ?? "text");
  throw new UserError(
    `${entry.files[0]}: column ${JSON.stringify(name)} of dataset ${entry.name} is missing; the rows have: ` +
      `${columns.join(", ") || "nothing"}; set "columns": {"prompt": ${JSON.stringify(offer)}} in dataset_info.json`,
  );
}

/** The history's first turn where there is one; else prompt and query joined by a newline, empty ones left out. */
function documentOf(row: JsonRow, columns: TextColumns, file: string): string {
  const history = columns.history === undefined ? undefined : cell(row, columns.history);
  if (columns.history !== undefined && Array.isArray(history) && history.length > 0) {
    const turn: unknown = history[0];
    return textOf(Array.isArray(turn) ? turn[0] : turn, columns.history, row, file);
  }
  const parts = [];
  for (const name of [columns.prompt, columns.query]) {
    if (name === undefined) continue;
    const text = textOf(cell(row, name), name, row, file);
    if (text !== "") parts.push(text);
  }
  return parts.join("\n");
}

/** A column's value; a column that shares its name with a property of every object is still only a column. */
function cell(row: JsonRow, column: string): unknown {
  return Object.hasOwn(row.value, column) ? row.value[column] : undefined;
}

function textOf(value: unknown, column: string, row: JsonRow, file: string): string {
  if (value === undefined || value === null) return "";
  const where = `${file}:${row.line}: column ${JSON.stringify(column)}`;
  if (typeof value !== "string") {
    const kind = Array.isArray(value)
      ? "an array"
      : typeof value === "object"
        ? "an object"
        : `a ${typeof value}`;
    throw new UserError(
      `${where} must be text, not ${kind}; correct the row, or name another column in dataset_info.json`,
    );
  }
  if (/\p{Surrogate}/u.test(value)) {
    throw new UserError(
      `${where} has half of a surrogate pair (a \\uD800 to \\uDFFF on its own); repair the text`,
    );
  }
  return value;
}
