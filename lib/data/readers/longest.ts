// How long one row, line or document may be: a packed file of some megabytes can hold one of any length. It is counted
// while it is read, before it is put together.

import { UserError } from "../../errors.js";

/** Bytes of one value, line or document at most: JavaScript has no longer texts. */
export const LONGEST = 500_000_000;

/** The error for one that is longer. */
export function tooLong(file: string, line: number, longest = LONGEST): UserError {
  return new UserError(
    `${file}:${line}: a row of more than ${longest / 1e6} MB begins here, which is too long to be read; cut it into several`,
  );
}
