// The frames of an Arrow file, looked at before apache-arrow reads it: that trusts every length, goes back by a negative
// one and reads the same bytes for ever, and takes memory by counts that the file cannot hold. Lengths and places only;
// for what the columns hold, see the readers. Format: arrow.apache.org, "Encapsulated message format".

import type { FileHandle } from "node:fs/promises";
import { checkPairs, checkSchema } from "./arrow-schema.js";
import { rootTable, type Table } from "./flatbuffer-table.js";

/** With these bytes begins the file format: the same messages between them and a footer. The stream format has none. */
const MAGIC = "ARROW1";
const MAGIC_BYTES = 8;
const CONTINUED = -1;
/** A schema or a list of buffers: 100,000 columns have 10 MB. */
const MOST_METADATA = 2 ** 26;
/** Rows of a batch that has no bytes for them: columns of nothing. Any other has a bit at least for each. */
const BARE_ROWS = 2 ** 20;

const SCHEMA = 1;
const DICTIONARY = 2;
const BATCH = 3;

/** Where the messages are: from `start`, one past the last at `end`; and what is wrong with the one behind it. */
export interface Frames {
  readonly start: number;
  readonly end: number;
  readonly fault: unknown;
}

/**
 * Walks over a file's messages, as far as they are whole.
 * @throws Error saying what is wrong with the first one, without the file's name
 */
export async function arrowFrames(handle: FileHandle): Promise<Frames> {
  const { size } = await handle.stat();
  const head = await bytesAt(handle, 0, Math.min(MAGIC.length, size));
  const start = head.toString("latin1") === MAGIC ? MAGIC_BYTES : 0;
  let at = start;
  let isFirst = true;
  while (at + 4 <= size) {
    let frame: number | undefined;
    try {
      frame = await frameAt(handle, at, size);
    } catch (fault) {
      if (isFirst) throw fault;
      return { start, end: at, fault };
    }
    if (frame === undefined) break;
    isFirst = false;
    at = frame;
  }
  if (isFirst) throw new Error("it has no schema");
  return { start, end: Math.min(size, at + 8), fault: undefined };
}

/** Where the message at `at` ends; undefined at the mark behind the last one. */
async function frameAt(handle: FileHandle, at: number, size: number): Promise<number | undefined> {
  const prefix = await bytesAt(handle, at, Math.min(8, size - at));
  const isContinued = prefix.readInt32LE(0) === CONTINUED;
  if (isContinued && prefix.length < 8) throw new Error("it is cut short");
  // files from before version 0.15 have no mark in front of the length
  const length = prefix.readInt32LE(isContinued ? 4 : 0);
  if (length === 0) return undefined;
  const from = at + (isContinued ? 8 : 4);
  if (length < 0 || length > MOST_METADATA || from + length > size)
    throw new Error(`a message of ${length} bytes at ${at}`);
  const message = rootTable(await bytesAt(handle, from, length));
  const body = message.long(3);
  if (body < 0 || from + length + body > size) throw new Error(`a body of ${body} bytes at ${at}`);
  const kind = message.byte(1);
  const header = message.table(2);
  if (kind === SCHEMA) checkSchema(header);
  checkPairs(message, 4);
  if (kind === BATCH && header !== undefined) checkBatch(header, body);
  if (kind === DICTIONARY) checkBatch(header?.table(1), body);
  return from + length + body;
}

/** A record batch: its nodes and buffers are in the message, and the buffers inside the body. */
function checkBatch(batch: Table | undefined, body: number): void {
  if (batch === undefined) throw new Error("a batch without contents");
  const most = 8 * body + BARE_ROWS;
  const rows = batch.long(0);
  if (rows < 0 || rows > most) throw new Error(`a batch of ${rows} rows in ${body} bytes`);
  for (const [length] of batch.pairs(1)) {
    if (length < 0 || length > most) throw new Error(`a column of ${length} values in ${body} bytes`);
  }
  for (const [offset, length] of batch.pairs(2)) {
    if (offset < 0 || length < 0 || offset + length > body)
      throw new Error("a buffer lies outside of its batch");
  }
}

async function bytesAt(handle: FileHandle, at: number, length: number): Promise<Buffer> {
  const { bytesRead, buffer } = await handle.read(Buffer.alloc(length), 0, length, at);
  if (bytesRead < length) throw new Error("it is cut short");
  return buffer;
}
