// One column of a dataset, row by row: what a policy wants to know of documents beside their text. The files are read
// once more for it, and nothing is kept.

import { readRows } from "../readers/rows.js";
import type { DatasetEntry } from "./dataset-info.js";

/** A cell, and the place that messages name. A column that a row lacks is undefined. */
export interface Cell {
  readonly value: unknown;
  readonly place: string;
}

/**
 * The cells of a column in the order of the documents.
 *
 * @throws UserError where a file is malformed, and where its format knows its columns and lacks this one
 */
export async function* columnValues(
  entry: Pick<DatasetEntry, "files">,
  column: string,
): AsyncGenerator<Cell> {
  for (const file of entry.files)
    for await (const { value, place } of readRows(file, [column]))
      yield { value: Object.hasOwn(value, column) ? value[column] : undefined, place };
}
