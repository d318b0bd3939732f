// Text as a terminal may show it. Numbers are words.ts's.

/** Text that cannot move a terminal's cursor: control characters become visible. */
export function printable(text: string): string {
  return text.replace(/\n/g, "\\n").replace(/\p{Cc}/gu, "\u00b7");
}
