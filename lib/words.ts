// Numbers as messages say them. A leaf that anyone may import; what only a terminal shows is in cli/terminal/format.ts.

/** 1234567 as 1,234,567. */
export function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** 1 document, 1,234 documents. */
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** Bytes as 1.2 GB, 3.4 MB or 5 kB. */
export function gigabytes(bytes: number): string {
  if (bytes < 1e6) return `${Math.ceil(bytes / 1e3)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}
