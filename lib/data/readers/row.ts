// One row of a file, as every format's reader gives it, and the error for a column that a file does not have.

import { UserError } from "../../errors.js";

/** One row, and the place that messages name: `file:line`, or `file: row n` where a file has no lines. */
export interface Row {
  /** The columns by name, as the format's reader gives them. */
  readonly value: Readonly<Record<string, unknown>>;
  /** Where it stands, for messages. */
  readonly place: string;
}

/**
 * A wanted column that a file does not have, with those that it has.
 *
 * @param sample values of a row, where the reader has one: what they are decides what helps
 */
export function missingColumn(
  file: string,
  column: string,
  there: readonly string[],
  sample?: Readonly<Record<string, unknown>>,
): UserError {
  const shown = there.slice(0, 8).join(", ") + (there.length > 8 ? ", ..." : "");
  return new UserError(
    `${file}: column ${JSON.stringify(column)} is missing; the rows have: ${shown || "nothing"}; ` +
      remedyFor(column, there, sample),
  );
}

function remedyFor(
  column: string,
  there: readonly string[],
  sample: Readonly<Record<string, unknown>> | undefined,
): string {
  const mark = there.length === 1 ? /[;\t|]/.exec(there[0]!)?.[0] : undefined;
  if (mark !== undefined)
    return `its cells are separated by ${mark === "\t" ? "tabs" : `"${mark}"`}, and a .csv has commas: save it with commas`;
  const offered = there.filter((name) => sample === undefined || typeof sample[name] === "string");
  const name = offered.includes("text") ? "text" : offered[0];
  if (name !== undefined) return `set "columns": {"prompt": ${JSON.stringify(name)}} in dataset_info.json`;
  const list = there.find((key) => Array.isArray(sample?.[key]) && isRow((sample[key] as unknown[])[0]));
  if (list !== undefined)
    return `the rows lie under ${JSON.stringify(list)}: save that array as a file by itself`;
  if (there.length > 0 && there.every((key) => isRow(sample?.[key])))
    return "the rows lie under names: save them as an array without the names";
  return `write rows such as {${JSON.stringify(column)}: "..."}, with a text in each`;
}

function isRow(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
