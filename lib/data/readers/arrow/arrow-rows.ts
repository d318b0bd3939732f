// The rows of an Arrow file, stream format (which `datasets` writes) or file format, one record batch in memory at a
// time. The format itself is read by apache-arrow.

import { isUtf8 } from "node:buffer";
import { type FileHandle, open } from "node:fs/promises";
import { type Data, DataType, type RecordBatch, RecordBatchReader, type Vector } from "apache-arrow";
import { messageOf, UserError } from "../../../errors.js";
import { missingColumn, type Row } from "../row.js";
import { arrowFrames } from "./arrow-frames.js";

/**
 * The rows of an Arrow file.
 *
 * @throws UserError for a file that is no Arrow or is damaged, and for a wanted column that it does not have
 */
export async function* readArrowRows(file: string, columns?: readonly string[]): AsyncGenerator<Row> {
  let before = 0;
  for await (const batch of batches(file)) {
    const there = batch.schema.fields.map((field) => String(field.name));
    const wanted = (columns ?? there).map((name) => {
      const at = there.indexOf(name);
      const column = batch.getChildAt(at);
      if (at === -1 || column === null) throw missingColumn(file, name, there);
      const place = `${file}: rows ${before + 1} to ${before + batch.numRows}`;
      for (const data of column.data) requireWhole(data, place);
      requireCleanText(column, place);
      return [name, column] as const;
    });
    for (let at = 0; at < batch.numRows; at++) {
      const value: Record<string, unknown> = {};
      for (const [name, column] of wanted) value[name] = plain(column.get(at));
      yield { value, place: `${file}: row ${before + at + 1}` };
    }
    before += batch.numRows;
  }
}

async function* batches(file: string): AsyncGenerator<RecordBatch> {
  let handle: FileHandle;
  try {
    handle = await open(file);
  } catch (error) {
    throw new UserError(`${file}: cannot be read: ${messageOf(error)}`);
  }
  let read = 0;
  try {
    // the file format holds a stream; its footer would only say once more where the batches are
    const { start, end, fault } = await arrowFrames(handle);
    const source = handle.createReadStream({ autoClose: false, start, end: end - 1 });
    const reader: RecordBatchReader = await RecordBatchReader.from(source as NodeJS.ReadableStream);
    await reader.open();
    if (reader.closed) throw new Error("it has no schema");
    for await (const batch of reader) {
      read += batch.numRows;
      yield batch;
    }
    if (fault !== undefined) throw fault;
  } catch (error) {
    if (error instanceof UserError) throw error;
    const what = messageOf(error).replace(/\s+/g, " ").slice(0, 160);
    const place = read > 0 ? ` behind row ${read}` : "";
    if (/codec|compress/i.test(what)) {
      throw new UserError(`${file}: is compressed inside; write it without compression, or as parquet`);
    }
    throw new UserError(
      `${file}: is no Arrow file, or is damaged${place} (${what}); fetch or write it again`,
    );
  } finally {
    await handle.close();
  }
}

/** A row is as long as its offsets say: each must lie behind the one before it, and within what is there. */
function requireWhole(data: Data | undefined, place: string): void {
  const damaged = (what: string) =>
    new UserError(`${place}: is no Arrow file, or is damaged (${what}); fetch or write it again`);
  if (data === undefined) throw damaged("a column without contents");
  const { valueOffsets: offsets, length, children, values, type } = data;
  const inside = DataType.isList(type) || DataType.isMap(type) ? children[0]?.length : values?.length;
  if (length > 0 && offsets !== undefined && !DataType.isUnion(type) && inside !== undefined) {
    if (offsets.length <= length) throw damaged("fewer texts or lists than rows");
    let last = Number(offsets[0]);
    if (!(last >= 0)) throw damaged("a text or list begins before its column");
    for (let at = 1; at <= length; at++) {
      const next = Number(offsets[at]);
      if (!(next >= last)) throw damaged("a text or list ends before it begins");
      last = next;
    }
    if (last > inside) throw damaged("a text or list goes on behind its column");
  }
  if (DataType.isFixedSizeList(type) && type.listSize * length > (children[0]?.length ?? 0))
    throw damaged("a list goes on behind its column");
  for (const child of children) requireWhole(child, place);
}

/** The reader silently replaces what is not UTF-8; the bytes tell. */
function requireCleanText(column: Vector, place: string): void {
  if (!DataType.isUtf8(column.type) && !DataType.isLargeUtf8(column.type)) return;
  for (const { values, valueOffsets, length } of column.data) {
    if (length === 0) continue;
    if (!isUtf8(values.subarray(Number(valueOffsets[0]), Number(valueOffsets[length])))) {
      throw new UserError(`${place}: a text is not valid UTF-8; write the file again from clean text`);
    }
  }
}

/** Arrow's lists and structs as arrays and objects. */
function plain(value: unknown): unknown {
  if (value === null || typeof value !== "object" || value instanceof Uint8Array) return value;
  if (value instanceof Date) return value;
  if ("toJSON" in value && !(Symbol.iterator in value && "get" in value)) {
    const fields = (value as { toJSON(): Record<string, unknown> }).toJSON();
    return Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, plain(field)]));
  }
  if (Symbol.iterator in value) return Array.from(value as Iterable<unknown>, plain);
  return value;
}
