// A file of JSON lines in chunks of whole lines, as they stand in the file. It looks into no row.

import { readBytes } from "./bytes.js";

const NEWLINE = 0x0a;
const CHUNK = 1 << 20;
const MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/**
 * Whether a file of JSON holds one row a line, and not one array of all: its first character tells.
 *
 * @throws UserError for a file that cannot be read, or holds no text
 */
export async function holdsLines(file: string): Promise<boolean> {
  for await (const chunk of readBytes(file)) {
    const start = chunk
      .toString("latin1")
      .replace(/^\xef\xbb\xbf/, "")
      .trimStart();
    if (start !== "") return start[0] !== "[";
  }
  return true;
}

/**
 * The lines of a file, some megabyte at a time: each chunk ends with a line's end, the last one perhaps without. A byte
 * order mark is left out. Memory is bounded by the longest line.
 *
 * @param chunkBytes how much is read at a time; tests make it small
 */
export async function* rowChunks(file: string, chunkBytes = CHUNK): AsyncGenerator<Buffer> {
  /** Bytes of the unfinished line that earlier reads brought. */
  let pending: Buffer[] = [];
  let isFirst = true;
  const take = (last: Buffer): Buffer => {
    const whole = Buffer.concat([...pending, last]);
    pending = [];
    const marked = isFirst && whole.subarray(0, 3).equals(MARK);
    isFirst = false;
    return marked ? whole.subarray(3) : whole;
  };
  for await (const chunk of readBytes(file, chunkBytes)) {
    const end = chunk.lastIndexOf(NEWLINE) + 1;
    if (end > 0) yield take(chunk.subarray(0, end));
    if (end < chunk.length) pending.push(chunk.subarray(end));
  }
  if (pending.length > 0) yield take(Buffer.alloc(0));
}

/** The place behind the last line that ends within `most` bytes, or behind the first line where none does. */
export function endOfLines(chunk: Buffer, most: number): number {
  if (chunk.length <= most) return chunk.length;
  const within = chunk.lastIndexOf(NEWLINE, most - 1) + 1;
  const end = within > 0 ? within : chunk.indexOf(NEWLINE, most) + 1;
  return end > 0 ? end : chunk.length;
}
