// The pages of a parquet column, looked at before hyparquet reads them: it takes memory for as many values as a page or a
// run in it says, and a page of forty can hold a run of two thousand million. Sizes, counts and runs only. Formats:
// parquet.thrift (PageHeader, in Thrift's compact protocol), and Encodings.md (RLE/bit-packing hybrid).

/** What the footer says of a column, and its depth. */
export interface ColumnFacts {
  readonly bytes: number;
  readonly values: number;
  readonly codec: string;
  readonly type: string;
  readonly repetitionLevel: number;
  readonly definitionLevel: number;
}

/** What a page's header says of the levels and values in it. */
export interface PageFacts {
  readonly column: ColumnFacts;
  readonly count: number;
  readonly encoding: number;
}

const DATA = 0;
const DICTIONARY = 2;
const DATA_V2 = 3;
const PLAIN_DICTIONARY = 2;
const RLE = 3;
const RLE_DICTIONARY = 8;
/** A writer may fill up its last run. */
const SLACK = 64;

/** Packed pages by their place in a column and their length: what is known of one at the moment when it is unpacked. */
export type Pages = Map<string, PageFacts[]>;

/** A packed page's key among {@link Pages}. */
export const pageKey = (at: number, length: number): string => `${at}:${length}`;

/**
 * Walks over a column's pages; those that are packed are remembered in `pages`.
 * @param most bytes that a page may have when unpacked
 * @throws Error saying what is wrong, without the file's name
 */
export function walkPages(chunk: Uint8Array, column: ColumnFacts, most: number, pages: Pages): void {
  const reader = new Reader(new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength));
  let values = 0;
  while (values < column.values && reader.at < chunk.byteLength - 1) {
    const header = reader.struct();
    const [type, unpacked, packed] = [number(header, 1), number(header, 2), number(header, 3)];
    if (packed < 0 || reader.at + packed > chunk.byteLength) throw new Error("a page lies beyond its column");
    if (unpacked < 0 || unpacked > most) throw new Error(`a page of ${unpacked} bytes`);
    const details = header.get(type === DATA ? 5 : type === DICTIONARY ? 7 : 8);
    const count = details instanceof Map ? number(details, 1) : 0;
    if (count < 0 || count > Math.max(column.values, type === DICTIONARY ? unpacked : 0))
      throw new Error(`a page of ${count} values in a column of ${column.values}`);
    if (type === DATA && details instanceof Map) {
      const facts = { column, count, encoding: number(details, 2) };
      const key = pageKey(reader.at, packed);
      if (column.codec === "UNCOMPRESSED") checkPage(chunk.subarray(reader.at, reader.at + packed), facts);
      else pages.set(key, [...(pages.get(key) ?? []), facts]);
      values += count;
    } else if (type === DATA_V2 && details instanceof Map) {
      checkLevelsV2(chunk.subarray(reader.at, reader.at + packed), details, { column, count, encoding: 0 });
      values += count;
    }
    reader.at += packed;
  }
}

/**
 * An unpacked page against what its header says; of several columns' at one place it must fit one.
 * @throws Error saying what is wrong
 */
export function checkUnpacked(bytes: Uint8Array, known: readonly PageFacts[]): void {
  let fault: unknown;
  for (const facts of known) {
    try {
      checkPage(bytes, facts);
      return;
    } catch (error) {
      fault = error;
    }
  }
  if (fault !== undefined) throw fault;
}

/** The runs of a data page's levels and indices. */
function checkPage(bytes: Uint8Array, { column, count, encoding }: PageFacts): void {
  const reader = new Reader(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  for (const level of [column.repetitionLevel, column.definitionLevel]) {
    if (level > 0) reader.levels(widthOf(level), count);
  }
  if (encoding === PLAIN_DICTIONARY || encoding === RLE_DICTIONARY) {
    if (reader.at < bytes.length) reader.runs(reader.byte(), count, bytes.length, false);
  } else if (encoding === RLE && column.type === "BOOLEAN") reader.levels(1, count);
}

function checkLevelsV2(bytes: Uint8Array, details: Fields, { column, count }: PageFacts): void {
  const [definition, repetition] = [number(details, 5), number(details, 6)];
  if (definition < 0 || repetition < 0 || definition + repetition > bytes.length)
    throw new Error("levels lie beyond their page");
  const reader = new Reader(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  if (column.repetitionLevel > 0) reader.runs(widthOf(column.repetitionLevel), count, repetition, true);
  reader.at = repetition;
  if (column.definitionLevel > 0)
    reader.runs(widthOf(column.definitionLevel), count, repetition + definition, true);
}

/** Bits of a level. */
function widthOf(most: number): number {
  return 32 - Math.clz32(most);
}

type Fields = Map<number, unknown>;

function number(fields: Fields, id: number): number {
  const value = fields.get(id);
  return typeof value === "number" ? value : 0;
}

/** Thrift's compact protocol and runs; DataView throws outside of its bytes. */
class Reader {
  at = 0;

  constructor(readonly view: DataView) {}

  byte(): number {
    return this.view.getUint8(this.at++);
  }

  /** Levels of version 1: their length in front of them. */
  levels(width: number, count: number): void {
    const length = this.view.getUint32(this.at, true);
    this.at += 4;
    const end = this.at + length;
    if (end > this.view.byteLength) throw new Error("levels lie beyond their page");
    this.runs(width, count, end, true);
    this.at = end;
  }

  /** Runs for `count` values up to `end`; `all`: there must be as many. */
  runs(width: number, count: number, end: number, all: boolean): void {
    if (width === 0) return;
    for (let seen = 0; seen < count; ) {
      if (this.at >= end) {
        if (all) throw new Error("levels that end early");
        return;
      }
      const header = this.varint();
      const isPacked = (header & 1) === 1;
      const length = isPacked ? 8 * Math.floor(header / 2) : Math.floor(header / 2);
      if (length === 0) throw new Error("a run of no values");
      if (!isPacked && seen + length > count + SLACK)
        throw new Error(`a run of ${length} values in a page of ${count}`);
      this.at += isPacked ? (length / 8) * width : (width + 7) >> 3;
      seen += length;
    }
  }

  /** Of at most 32 bits. */
  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new Error("a number without end");
  }

  struct(depth = 0): Fields {
    if (depth > 16) throw new Error("a header nested too deep");
    const fields: Fields = new Map();
    for (let id = 0; ; ) {
      const head = this.byte();
      if ((head & 15) === 0) return fields;
      id = head >> 4 ? id + (head >> 4) : zigzag(this.varint());
      fields.set(id, this.#value(head & 15, depth));
    }
  }

  #value(type: number, depth: number): unknown {
    if (type === 1 || type === 2) return type === 1;
    if (type === 3) return this.byte();
    if (type >= 4 && type <= 6) return zigzag(this.varint());
    if (type === 12) return this.struct(depth + 1);
    if (type === 7) this.at += 8;
    else if (type === 8) {
      const length = this.varint(); // read first: the sum would take the place from before
      this.at += length;
    } else throw new Error(`a header with a field of type ${type}`);
    return undefined;
  }
}

function zigzag(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}
