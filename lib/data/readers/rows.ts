// A file of rows, whatever its format: told by the name, read by the format's reader. A new format is a file beside this
// one and an entry in READERS, or what a program registers. It knows nothing of datasets.

import path from "node:path";
import { UserError } from "../../errors.js";
import { readCsvRows } from "./csv-rows.js";
import { countJsonRows, readJsonRows } from "./json-rows.js";
import type { Row } from "./row.js";
import { readTextRows } from "./text-rows.js";

/** How files of one format are read. */
export interface RowReader {
  /** Endings of their names, such as `.csv`. */
  readonly endings: readonly string[];
  /** Whether the same ending with `.gz` behind it is read too. */
  readonly packed?: boolean;
  /**
   * The rows of a file, in order; `columns` are those wanted, all where left out. A format that does not know its columns
   * gives whole rows. Throws UserError with file and place for what is malformed.
   */
  read(file: string, columns?: readonly string[]): AsyncGenerator<Row>;
  /** How many rows a file has, where that is cheaper than reading it. */
  count?(file: string): Promise<number>;
}

/** A format that rows are read from: arrow, csv, json, parquet, text, or a registered one. */
export type FileType = string;

// The libraries of parquet and arrow take a tenth of a second to load, so they come with the first file of the kind.
const READERS = new Map<FileType, RowReader>([
  [
    "arrow",
    {
      endings: [".arrow"],
      async *read(file, columns) {
        yield* (await import("./arrow/arrow-rows.js")).readArrowRows(file, columns);
      },
    },
  ],
  ["csv", { endings: [".csv"], packed: true, read: readCsvRows }],
  ["json", { endings: [".json", ".jsonl"], packed: true, read: readPlacedRows, count: countJsonRows }],
  [
    "parquet",
    {
      endings: [".parquet"],
      async *read(file, columns) {
        yield* (await import("./parquet-rows.js")).readParquetRows(file, columns);
      },
      count: async (file) => (await import("./parquet-rows.js")).countParquetRows(file),
    },
  ],
  ["text", { endings: [".txt"], packed: true, read: readTextRows }],
]);

async function* readPlacedRows(file: string): AsyncGenerator<Row> {
  for await (const { value, line } of readJsonRows(file)) yield { value, place: `${file}:${line}` };
}

/**
 * Makes a format known, whose files datasets may then name: in this thread, so for `runRecipe` and `prepareTrainingData`,
 * but not for `train()`, whose thread is another.
 * @throws RangeError where the word or an ending is taken
 */
export function registerRowReader(type: FileType, reader: RowReader): void {
  const taken = reader.endings.find((ending) => fileType(`x${ending}`) !== undefined);
  if (READERS.has(type) || taken !== undefined)
    throw new RangeError(`there is a reader of "${READERS.has(type) ? type : taken}" already`);
  READERS.set(type, reader);
}

/** Endings of the files that can be read, for messages. */
export function fileEndings(): string {
  return [...READERS.values()].flatMap(({ endings }) => endings).join(", ");
}

/** The format of a file by its name, or undefined; `.gz` behind a text format counts as that format. */
export function fileType(file: string): FileType | undefined {
  const isPacked = file.endsWith(".gz");
  const ending = path.extname(isPacked ? file.slice(0, -3) : file);
  const found = [...READERS].find(
    ([, { endings, packed }]) => endings.includes(ending) && (!isPacked || packed === true),
  );
  return found?.[0];
}

/**
 * The rows of a file, in order. Formats that know their columns (csv, txt, parquet, arrow) give the wanted ones only.
 *
 * @param columns the columns wanted; all where left out
 * @throws UserError with file and place for what is malformed, and for a wanted column that the file does not have
 */
export function readRows(file: string, columns?: readonly string[]): AsyncGenerator<Row> {
  return readerOf(file).read(file, columns);
}

/** How many rows a file has. Where the format does not say, it is read through. */
export async function countRows(file: string): Promise<number> {
  const reader = readerOf(file);
  if (reader.count !== undefined) return reader.count(file);
  let count = 0;
  for await (const _ of reader.read(file, [])) count++;
  return count;
}

function readerOf(file: string): RowReader {
  const reader = READERS.get(fileType(file) ?? "");
  if (reader === undefined)
    throw new UserError(`${file}: is not of a type that is read; name one of: ${fileEndings()}`);
  return reader;
}
