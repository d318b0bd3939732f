// A file of JSON lines in chunks of whole lines, as they stand in the file. It looks into no row.

import { readBytes } from "./bytes.js";
import { LONGEST, tooLong } from "./longest.js";

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
 * @param chunkBytes how much is read at a time, and `longest` how long a line may be; tests make them small
 * @throws UserError with file and line for a line that is too long
 */
export async function* rowChunks(
  file: string,
  chunkBytes = CHUNK,
  longest = LONGEST,
): AsyncGenerator<Buffer> {
  /** Bytes of the unfinished line that earlier reads brought. */
  let pending: Buffer[] = [];
  let waiting = 0;
  let read = 0;
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
    read += chunk.length;
    waiting = (end > 0 ? 0 : waiting) + chunk.length - end;
    if (end > 0) yield take(chunk.subarray(0, end));
    if (end < chunk.length) pending.push(chunk.subarray(end));
    if (waiting > longest) throw tooLong(file, (await linesWithin(file, read)) + 1, longest);
  }
  if (pending.length > 0) yield take(Buffer.alloc(0));
}

/** The lines that end within a file's first bytes: counted again where one is to be named, and not for every file. */
async function linesWithin(file: string, bytes: number): Promise<number> {
  let lines = 0;
  let left = bytes;
  for await (const chunk of readBytes(file)) {
    const part = chunk.subarray(0, left);
    for (let at = part.indexOf(NEWLINE); at !== -1; at = part.indexOf(NEWLINE, at + 1)) lines++;
    left -= part.length;
    if (left === 0) break;
  }
  return lines;
}

/** The place behind the last line that ends within `most` bytes, or behind the first line where none does. */
export function endOfLines(chunk: Buffer, most: number): number {
  if (chunk.length <= most) return chunk.length;
  const within = chunk.lastIndexOf(NEWLINE, most - 1) + 1;
  const end = within > 0 ? within : chunk.indexOf(NEWLINE, most) + 1;
  return end > 0 ? end : chunk.length;
}
