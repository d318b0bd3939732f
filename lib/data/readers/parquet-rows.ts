// The rows of a parquet file, one row group in memory at a time and only the wanted columns of it. The format itself
// is hyparquet's business.

import { type FileHandle, open } from "node:fs/promises";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { type FileMetaData, parquetMetadataAsync, parquetRead, parquetSchema } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { messageOf, UserError } from "../../errors.js";
import { missingColumn, type Row } from "./row.js";

/** zlib's own unpackers are several times faster than those in JavaScript. */
const UNPACKERS = {
  ...compressors,
  GZIP: (packed: Uint8Array) => gunzipSync(packed),
  BROTLI: (packed: Uint8Array) => brotliDecompressSync(packed),
};

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const parsers = { stringFromBytes: (bytes: Uint8Array | undefined) => bytes && utf8.decode(bytes) };

interface Parquet {
  readonly file: { readonly byteLength: number; slice(start: number, end?: number): Promise<ArrayBuffer> };
  readonly metadata: FileMetaData;
  readonly handle: FileHandle;
}

/**
 * The rows of a parquet file.
 *
 * @throws UserError for a file that is no parquet or is damaged, and for a wanted column that it does not have
 */
export async function* readParquetRows(file: string, columns?: readonly string[]): AsyncGenerator<Row> {
  const parquet = await openParquet(file);
  try {
    const there = parquetSchema(parquet.metadata).children.map((child) => child.element.name);
    const wanted = columns ?? there;
    const absent = wanted.find((column) => !there.includes(column));
    if (absent !== undefined) throw missingColumn(file, absent, there);
    let before = 0;
    for (const { num_rows } of parquet.metadata.row_groups) {
      const rows = await readGroup(file, parquet, before, Number(num_rows), wanted);
      for (const [at, value] of rows.entries()) yield { value, place: `${file}: row ${before + at + 1}` };
      before += Number(num_rows);
    }
  } finally {
    await parquet.handle.close();
  }
}

/** How many rows a parquet file has, from its footer. */
export async function countParquetRows(file: string): Promise<number> {
  const { metadata, handle } = await openParquet(file);
  await handle.close();
  return Number(metadata.num_rows);
}

async function openParquet(file: string): Promise<Parquet> {
  let handle: FileHandle;
  try {
    handle = await open(file);
  } catch (error) {
    throw new UserError(`${file}: cannot be read: ${messageOf(error)}`);
  }
  try {
    const byteLength = (await handle.stat()).size;
    const source = {
      byteLength,
      async slice(start: number, end = byteLength) {
        const bytes = new Uint8Array(Math.max(0, end - start));
        const { bytesRead } = await handle.read(bytes, 0, bytes.length, start);
        if (bytesRead < bytes.length) throw new Error("it ends inside a column");
        return bytes.buffer;
      },
    };
    return { file: source, metadata: await parquetMetadataAsync(source), handle };
  } catch (error) {
    await handle.close();
    throw new UserError(
      `${file}: is no parquet file, or is cut short (${oneLine(error)}); fetch or write it again`,
    );
  }
}

async function readGroup(
  file: string,
  { file: source, metadata }: Parquet,
  start: number,
  count: number,
  columns: readonly string[],
): Promise<Record<string, unknown>[]> {
  let rows: Record<string, unknown>[] = [];
  try {
    await parquetRead({
      file: source,
      metadata,
      columns: [...columns],
      rowStart: start,
      rowEnd: start + count,
      rowFormat: "object",
      compressors: UNPACKERS,
      parsers,
      onComplete: (read) => {
        rows = read;
      },
    });
  } catch (error) {
    const place = `${file}: rows ${start + 1} to ${start + count}`;
    if ((error as { code?: string }).code === "ERR_ENCODING_INVALID_ENCODED_DATA") {
      throw new UserError(`${place}: a text is not valid UTF-8; write the file again from clean text`);
    }
    throw new UserError(`${place}: the file is damaged (${oneLine(error)}); fetch or write it again`);
  }
  if (columns.length === 0) return Array.from({ length: count }, () => ({}));
  if (rows.length !== count) {
    throw new UserError(
      `${file}: rows ${start + 1} to ${start + count}: the file is damaged (${rows.length} rows are there); fetch or write it again`,
    );
  }
  return rows;
}

function oneLine(error: unknown): string {
  return messageOf(error).replace(/\s+/g, " ").slice(0, 160);
}
