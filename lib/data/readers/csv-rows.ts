// Comma-separated values as pandas.read_csv reads them, which `datasets` calls: a header, quotes doubled inside
// quotes, blank lines skipped, and words such as NA standing for nothing. Cells are never taken for numbers here.

import { UserError } from "../../errors.js";
import { type Line, readLines } from "./lines.js";
import { LONGEST, tooLong } from "./longest.js";
import { missingColumn, type Row } from "./row.js";

/** Cells that pandas takes for missing, quoted or not. */
const MISSING = new Set(
  " #N/A #N/A_N/A #NA -1.#IND -1.#QNAN -NaN -nan 1.#IND 1.#QNAN <NA> N/A NA NULL NaN None n/a nan null"
    .split(" ")
    .map((word) => word.replace("_", " ")),
);

/**
 * The rows of a CSV file; a missing cell is null.
 *
 * @throws UserError with file and line for a row with more cells than the header, a quote that is never closed, and a
 * wanted column that the header lacks
 */
export async function* readCsvRows(file: string, columns?: readonly string[]): AsyncGenerator<Row> {
  let names: string[] | undefined;
  let wanted: (readonly [string, number])[] = [];
  for await (const { cells, line } of records(file)) {
    if (names === undefined) {
      names = uniqueNames(cells);
      wanted = places(file, names, columns ?? names);
      continue;
    }
    if (cells.length > names.length) {
      throw new UserError(
        `${file}:${line}: the row has ${cells.length} cells, the header ${names.length}; put a cell that holds a comma ` +
          'in double quotes ("), and write a quote inside it twice',
      );
    }
    const value: Record<string, string | null> = {};
    for (const [name, at] of wanted) {
      const cell = cells[at];
      value[name] = cell === undefined || MISSING.has(cell) ? null : cell;
    }
    yield { value, place: `${file}:${line}` };
  }
}

/** The header's names; empty ones and repeated ones become what pandas calls them. */
function uniqueNames(cells: readonly string[]): string[] {
  const taken = new Set(cells);
  const seen = new Map<string, number>();
  return cells.map((cell, at) => {
    const base = cell === "" ? `Unnamed: ${at}` : cell;
    let repeats = seen.get(base) ?? 0;
    let name = base;
    while (repeats > 0 && taken.has(name)) name = `${base}.${repeats++}`;
    seen.set(base, Math.max(1, repeats));
    taken.add(name);
    return name;
  });
}

function places(
  file: string,
  names: readonly string[],
  columns: readonly string[],
): (readonly [string, number])[] {
  return columns.map((column) => {
    const at = names.indexOf(column);
    if (at === -1) throw missingColumn(file, column, names);
    return [column, at];
  });
}

interface CsvRecord {
  readonly cells: string[];
  /** The line on which it begins. */
  readonly line: number;
}

async function* records(file: string): AsyncGenerator<CsvRecord> {
  const parser = new RecordParser(file);
  for await (const line of readLines(file)) {
    const cells = parser.push(line);
    if (cells !== undefined) yield { cells, line: parser.line };
  }
  if (parser.open) {
    throw new UserError(
      `${file}:${parser.line}: a double quote (") that opens a cell in this row is never closed; close it, or write a ` +
        "quote inside a cell twice",
    );
  }
}

/** Puts physical lines together to records: a quoted cell may go on over line ends. */
class RecordParser {
  /** The line on which the record begins. */
  line = 0;
  /** Whether a quote is still open. */
  open = false;
  #cells: string[] = [];
  #cell = "";
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  /** The record that ends with this line; undefined where none does. */
  push({ text, end, number }: Line): string[] | undefined {
    let at = 0;
    if (!this.open) {
      this.line = number;
      this.#cells = [];
      this.#cell = "";
      if (number === 1 && text.startsWith("\uFEFF")) at = 1;
      if (!/[^ \t]/.test(text.slice(at))) return undefined;
      if (text[at] === '"') [this.open, at] = [true, at + 1];
    }
    for (;;) {
      if (this.open) {
        const quote = text.indexOf('"', at);
        if (quote === -1) {
          this.#cell += text.slice(at) + end;
          // a quote that is never closed takes the rest of the file
          if (this.#cell.length > LONGEST) throw tooLong(this.#file, this.line);
          return undefined;
        }
        this.#cell += text.slice(at, quote);
        at = quote + 1;
        if (text[at] === '"') [this.#cell, at] = [`${this.#cell}"`, at + 1];
        else this.open = false;
      } else {
        // Behind a closing quote the cell goes on as a plain one, where quotes are characters like others.
        const comma = text.indexOf(",", at);
        this.#cell += comma === -1 ? text.slice(at) : text.slice(at, comma);
        this.#cells.push(this.#cell);
        this.#cell = "";
        if (comma === -1) return this.#cells;
        at = comma + 1;
        if (text[at] === '"') [this.open, at] = [true, at + 1];
      }
    }
  }
}
