// The physical lines of a text file: cut at \n, \r\n and \r, decoded, with what ended them. Memory is bounded by the
// longest line.

import { readBytes } from "./bytes.js";
import { requireUtf8 } from "./encoding.js";
import { LONGEST, tooLong } from "./longest.js";

/** One physical line of a text file. */
export interface Line {
  readonly text: string;
  /** "\n", "\r\n", "\r", or "" at the end of the file. */
  readonly end: string;
  /** From 1. */
  readonly number: number;
}

const NEWLINE = 0x0a;
const RETURN = 0x0d;

/**
 * The lines of a file. A byte order mark stays; behind the last line end there is no empty line.
 *
 * @param chunkBytes how much is read at a time, and `longest` how long a line may be; tests make them small
 * @throws UserError with file and line for what is not UTF-8, and for a line that is too long
 */
export async function* readLines(file: string, chunkBytes?: number, longest = LONGEST): AsyncGenerator<Line> {
  /** Bytes of the unfinished line that earlier chunks brought. */
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  const wait = (part: Buffer): void => {
    pending.push(part);
    pendingBytes += part.length;
    if (pendingBytes > longest) throw tooLong(file, number, longest);
  };
  /** An earlier chunk ended in \r: the next byte tells whether \n belongs to it. */
  let returned = false;
  let number = 1;
  const line = (last: Buffer, end: string): Line => {
    const bytes = pending.length > 0 ? Buffer.concat([...pending, last]) : last;
    pending = [];
    pendingBytes = 0;
    return { text: requireUtf8(bytes, file, `${file}:${number}`), end, number: number++ };
  };
  for await (const chunk of readBytes(file, chunkBytes)) {
    let start = 0;
    if (returned) {
      const end = chunk[0] === NEWLINE ? "\r\n" : "\r";
      yield line(chunk.subarray(0, 0), end);
      start = end.length - 1;
      returned = false;
    }
    for (const stop of lineEnds(chunk, start)) {
      if (stop < start) continue; // the \n of an \r\n
      returned = chunk[stop] === RETURN && stop + 1 === chunk.length;
      if (returned) {
        wait(chunk.subarray(start, stop));
        start = chunk.length;
        break;
      }
      const end = chunk[stop] === NEWLINE ? "\n" : chunk[stop + 1] === NEWLINE ? "\r\n" : "\r";
      yield line(chunk.subarray(start, stop), end);
      start = stop + end.length;
    }
    if (start < chunk.length) wait(chunk.subarray(start));
  }
  if (returned || pending.length > 0) yield line(Buffer.alloc(0), returned ? "\r" : "");
}

/** Places of \n and \r from `from` on, in order. */
function* lineEnds(bytes: Buffer, from: number): Generator<number> {
  let feed = bytes.indexOf(NEWLINE, from);
  let back = bytes.indexOf(RETURN, from);
  while (feed !== -1 || back !== -1) {
    if (back === -1 || (feed !== -1 && feed < back)) {
      yield feed;
      feed = bytes.indexOf(NEWLINE, feed + 1);
    } else {
      yield back;
      back = bytes.indexOf(RETURN, back + 1);
    }
  }
}
