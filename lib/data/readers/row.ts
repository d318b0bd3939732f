// One row of a file, as every format's reader gives it, and the error for a column that a file does not have.

import { UserError } from "../../errors.js";

/** One row, and the place that messages name: `file:line`, or `file: row n` where a file has no lines. */
export interface Row {
  /** The columns by name, as the format's reader gives them. */
  readonly value: Readonly<Record<string, unknown>>;
  /** Where it stands, for messages. */
  readonly place: string;
}

/** A wanted column that a file does not have, with those that it has. */
export function missingColumn(file: string, column: string, there: readonly string[]): UserError {
  const shown = there.slice(0, 8).join(", ") + (there.length > 8 ? ", ..." : "");
  const offer = there.includes("text") ? "text" : (there[0] ?? "text");
  return new UserError(
    `${file}: column ${JSON.stringify(column)} is missing; the rows have: ${shown || "nothing"}; ` +
      `set "columns": {"prompt": ${JSON.stringify(offer)}} in dataset_info.json`,
  );
}
