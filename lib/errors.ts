// The one error a user is meant to read: a single line that names the file, line or key and the remedy.
// Everything else that is thrown is a defect of ours or of the machine.

/** Characters of a message at most: what a file holds may be quoted in it. */
const LONGEST = 1200;

/** Bad input. The message is one line: what is wrong, where (file, line, key), and what to do about it. */
export class UserError extends Error {
  override readonly name = "UserError";

  /** @param message what it quotes from a file may have line ends, terminal codes and any length: none of them comes through */
  constructor(message: string, options?: ErrorOptions) {
    super(oneLine(message), options);
  }
}

function oneLine(message: string): string {
  const line = message.replace(/[\p{Cc}\u2028\u2029]/gu, (unit) =>
    unit === "\n" ? "\\n" : unit === "\t" ? "\\t" : `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  // the remedy stands at the end
  return line.length <= LONGEST ? line : `${line.slice(0, LONGEST / 2)} ... ${line.slice(-LONGEST / 2)}`;
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
