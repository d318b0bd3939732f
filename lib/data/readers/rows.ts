// A file of rows, whatever its format: told by the name, read by the format's own file. It knows nothing of datasets.

import path from "node:path";
import { UserError } from "../../errors.js";
import { readCsvRows } from "./csv-rows.js";
import { countJsonRows, readJsonRows } from "./json-rows.js";
import type { Row } from "./row.js";
import { readTextRows } from "./text-rows.js";

/** Formats that rows are read from; LLaMA-Factory's names. */
export type FileType = "arrow" | "csv" | "json" | "parquet" | "text";

const TYPES: Readonly<Record<string, FileType>> = {
  ".arrow": "arrow",
  ".csv": "csv",
  ".json": "json",
  ".jsonl": "json",
  ".parquet": "parquet",
  ".txt": "text",
};

/** Endings of the files that can be read, for messages. */
export const FILE_ENDINGS = Object.keys(TYPES).join(", ");

/** The format of a file by its name, or undefined; `.gz` behind a text format counts as that format. */
export function fileType(file: string): FileType | undefined {
  const plain = TYPES[path.extname(file)];
  if (plain !== undefined || !file.endsWith(".gz")) return plain;
  const packed = TYPES[path.extname(file.slice(0, -3))];
  return packed === "parquet" || packed === "arrow" ? undefined : packed;
}

/**
 * The rows of a file, in order. Formats that know their columns (csv, txt, parquet, arrow) give the wanted ones only.
 *
 * @param columns the columns wanted; all where left out
 * @throws UserError with file and place for what is malformed, and for a wanted column that the file does not have
 */
export function readRows(file: string, columns?: readonly string[]): AsyncGenerator<Row> {
  switch (typeOf(file)) {
    case "json":
      return placed(file);
    case "csv":
      return readCsvRows(file, columns);
    case "text":
      return readTextRows(file, columns);
    case "parquet":
      return readParquet(file, columns);
    case "arrow":
      return readArrow(file, columns);
  }
}

// Their libraries take a tenth of a second to load, so they come with the first file of the kind.
async function* readParquet(file: string, columns?: readonly string[]): AsyncGenerator<Row> {
  const { readParquetRows } = await import("./parquet-rows.js");
  yield* readParquetRows(file, columns);
}

async function* readArrow(file: string, columns?: readonly string[]): AsyncGenerator<Row> {
  const { readArrowRows } = await import("./arrow/arrow-rows.js");
  yield* readArrowRows(file, columns);
}

async function* placed(file: string): AsyncGenerator<Row> {
  for await (const { value, line } of readJsonRows(file)) yield { value, place: `${file}:${line}` };
}

/** How many rows a file has. Where the format does not say, it is read through. */
export async function countRows(file: string): Promise<number> {
  const type = typeOf(file);
  if (type === "parquet") return (await import("./parquet-rows.js")).countParquetRows(file);
  if (type === "json") return countJsonRows(file);
  let count = 0;
  for await (const _ of readRows(file, [])) count++;
  return count;
}

function typeOf(file: string): FileType {
  const type = fileType(file);
  if (type === undefined)
    throw new UserError(`${file}: is not of a type that is read; name one of: ${FILE_ENDINGS}`);
  return type;
}
