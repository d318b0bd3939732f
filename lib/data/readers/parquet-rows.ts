// The rows of a parquet file, one row group in memory at a time and only the wanted columns of it. The format itself
// is read by hyparquet.

import { type FileHandle, open } from "node:fs/promises";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import {
  type Compressors,
  type FileMetaData,
  parquetMetadataAsync,
  parquetRead,
  parquetSchema,
  type SchemaTree,
} from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { messageOf, UserError } from "../../errors.js";
import { type ColumnFacts, checkUnpacked, type Pages, pageKey, walkPages } from "./parquet-pages.js";
import { missingColumn, type Row } from "./row.js";

/** Bytes of a page unpacked, whatever it says of itself: a writer's pages have 1 MB, and hold whole documents at most. */
const MOST_PAGE = 2 ** 28;

type Unpack = (packed: Uint8Array, size: number) => Uint8Array;

/** zlib's own unpackers are several times faster than those in JavaScript. */
const UNPACKERS: Record<string, Unpack> = {
  ...(compressors as Record<string, Unpack>),
  GZIP: (packed, size) => gunzipSync(packed, { maxOutputLength: Math.max(size, 1) }),
  BROTLI: (packed, size) => brotliDecompressSync(packed, { maxOutputLength: Math.max(size, 1) }),
};

/** Look at what a page is said to become before memory is taken for it, and then at the runs in it. */
function unpackersFor(pages: Pages): Compressors {
  const limited =
    (unpack: Unpack): Unpack =>
    (packed, size) => {
      if (!(size >= 0 && size <= MOST_PAGE)) throw new Error(`a page of ${size} bytes`);
      const bytes = unpack(packed, size);
      checkUnpacked(bytes, pages.get(pageKey(packed.byteOffset, packed.byteLength)) ?? []);
      return bytes;
    };
  return Object.fromEntries(Object.entries(UNPACKERS).map(([name, unpack]) => [name, limited(unpack)]));
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const parsers = { stringFromBytes: (bytes: Uint8Array | undefined) => bytes && utf8.decode(bytes) };

interface Parquet {
  readonly file: { readonly byteLength: number; slice(start: number, end?: number): Promise<ArrayBuffer> };
  readonly metadata: FileMetaData;
  readonly handle: FileHandle;
  /** Of the group that is being read. */
  readonly pages: Pages;
  /** What was found wrong with its pages. */
  readonly faults: readonly unknown[];
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
      slice(start: number, end = byteLength) {
        const bytes = read(start, end);
        // asked for ahead, side by side: where one fails, nobody waits for the others
        bytes.catch(() => {});
        return bytes;
      },
    };
    const read = async (start: number, end: number): Promise<ArrayBuffer> => {
      if (!(start >= 0 && end <= byteLength)) throw new Error("a column lies beyond its end");
      const bytes = new Uint8Array(Math.max(0, end - start));
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, start);
      if (bytesRead < bytes.length) throw new Error("it ends inside a column");
      for (const [at, column] of columns) {
        const from = at - start;
        if (from < 0 || at + column.bytes > end) continue;
        try {
          walkPages(bytes.subarray(from, from + column.bytes), column, MOST_PAGE, pages);
        } catch (fault) {
          faults.push(fault);
          return new ArrayBuffer(0); // readGroup says it; an error thrown here would meet readers that nobody waits for
        }
      }
      return bytes.buffer;
    };
    const columns = new Map<number, ColumnFacts>();
    const pages: Pages = new Map();
    const faults: unknown[] = [];
    const metadata = await parquetMetadataAsync(source);
    checkFooter(metadata, byteLength, columns);
    return { file: source, metadata, handle, pages, faults };
  } catch (error) {
    await handle.close();
    throw new UserError(
      `${file}: is no parquet file, or is cut short (${oneLine(error)}); fetch or write it again`,
    );
  }
}

/** Rows of one group, which are in memory at once, and values of a column of lists. */
const MOST_ROWS = 2 ** 26;
const MOST_VALUES = 2 ** 28;

/** What the footer says of sizes and places, held against the file; what it says of each column goes into `facts`. */
function checkFooter(metadata: FileMetaData, byteLength: number, facts: Map<number, ColumnFacts>): void {
  const tree = parquetSchema(metadata);
  for (const { num_rows, columns } of metadata.row_groups) {
    const names = new Set<string>();
    if (!(num_rows >= 0 && num_rows <= MOST_ROWS)) throw new Error(`a group of ${num_rows} rows`);
    for (const { meta_data: column } of columns) {
      if (column === undefined) continue;
      const start = Number(column.dictionary_page_offset ?? column.data_page_offset);
      const size = Number(column.total_compressed_size);
      if (!(start >= 0 && size >= 0 && start + size <= byteLength))
        throw new Error("a column lies beyond its end");
      const name = column.path_in_schema.join(".");
      // hyparquet waits for one column of a name: where another fails, nobody hears of it, and the process ends
      if (names.has(name)) throw new Error(`two columns named ${JSON.stringify(name)}`);
      names.add(name);
      const levels = levelsOf(tree, column.path_in_schema);
      const values = Number(column.num_values);
      const isFlat = levels.repetitionLevel === 0;
      if (!(values >= 0 && (isFlat ? values === Number(num_rows) : values <= MOST_VALUES)))
        throw new Error(`a column of ${values} values in a group of ${num_rows} rows`);
      facts.set(start, { bytes: size, values, codec: column.codec, type: column.type, ...levels });
    }
  }
}

/** How deep a column's lists and empty places go. */
function levelsOf(tree: SchemaTree, names: readonly string[]) {
  const levels = { repetitionLevel: 0, definitionLevel: 0 };
  let at: SchemaTree | undefined = tree;
  for (const name of names) {
    at = at?.children.find((child) => child.element.name === name);
    if (at === undefined)
      throw new Error(`a column ${JSON.stringify(names.join("."))} that its schema lacks`);
    const kind = at.element.repetition_type;
    if (kind === "REPEATED") levels.repetitionLevel++;
    if (kind !== "REQUIRED") levels.definitionLevel++;
  }
  if (at?.children.length !== 0)
    throw new Error(`a column ${JSON.stringify(names.join("."))} that is a group`);
  return levels;
}

async function readGroup(
  file: string,
  { file: source, metadata, pages, faults }: Parquet,
  start: number,
  count: number,
  columns: readonly string[],
): Promise<Record<string, unknown>[]> {
  let rows: Record<string, unknown>[] = [];
  pages.clear();
  try {
    await parquetRead({
      file: source,
      metadata,
      columns: [...columns],
      rowStart: start,
      rowEnd: start + count,
      rowFormat: "object",
      compressors: unpackersFor(pages),
      parsers,
      onComplete: (read) => {
        rows = read;
      },
    });
    if (faults.length > 0) throw faults[0];
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
