// Plain text, one row a line in the column "text", as `datasets` reads it: empty lines are rows, a byte order mark
// stays in the first one.

import { readLines } from "./lines.js";
import { missingColumn, type Row } from "./row.js";

const COLUMN = "text";

/**
 * The lines of a file as rows.
 *
 * @throws UserError for a wanted column other than "text", and for what is not UTF-8
 */
export async function* readTextRows(file: string, columns: readonly string[] = []): AsyncGenerator<Row> {
  const other = columns.find((column) => column !== COLUMN);
  if (other !== undefined) throw missingColumn(file, other, [COLUMN]);
  for await (const { text, number } of readLines(file)) {
    yield { value: { [COLUMN]: text }, place: `${file}:${number}` };
  }
}
