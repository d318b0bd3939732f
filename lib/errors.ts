// The one error a user is meant to read: a single line that names the file, line or key and the remedy.
// Everything else that is thrown is a defect of ours or of the machine.

/** Bad input. The message is one line: what is wrong, where (file, line, key), and what to do about it. */
export class UserError extends Error {
  override readonly name = "UserError";
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
