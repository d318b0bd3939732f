// Tables of FlatBuffers, in which Arrow writes its metadata: fields by their number, every place and count held against
// the message before it is followed. Format: flatbuffers.dev, "Internals".

/** A table; every place is checked by Buffer, which throws outside of its bytes. */
export class Table {
  readonly #bytes: Buffer;
  readonly #at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  /** Bytes of the message that it lies in. */
  get messageBytes(): number {
    return this.#bytes.length;
  }

  /** Where a field is; 0 where it is left out. */
  #field(index: number): number {
    const table = this.#at - this.#bytes.readInt32LE(this.#at);
    if (4 + 2 * index >= this.#bytes.readUInt16LE(table)) return 0;
    const offset = this.#bytes.readUInt16LE(table + 4 + 2 * index);
    return offset === 0 ? 0 : this.#at + offset;
  }

  /** A number of one byte; 0 where it is left out. */
  byte(index: number): number {
    const at = this.#field(index);
    return at === 0 ? 0 : this.#bytes.readUInt8(at);
  }

  /** A number of eight bytes; 0 where it is left out. */
  long(index: number): number {
    const at = this.#field(index);
    return at === 0 ? 0 : Number(this.#bytes.readBigInt64LE(at));
  }

  /** A table inside this one. */
  table(index: number): Table | undefined {
    const at = this.#field(index);
    return at === 0 ? undefined : new Table(this.#bytes, at + this.#bytes.readUInt32LE(at));
  }

  /** A list of tables. */
  tables(index: number): Table[] {
    const { start, count } = this.#vector(index, 4);
    return Array.from({ length: count }, (_, i) => {
      const at = start + 4 * i;
      return new Table(this.#bytes, at + this.#bytes.readUInt32LE(at));
    });
  }

  /** A list of structs of two longs. */
  *pairs(index: number): Generator<[number, number]> {
    const { start, count } = this.#vector(index, 16);
    for (let i = 0; i < count; i++) {
      const at = start + 16 * i;
      yield [Number(this.#bytes.readBigInt64LE(at)), Number(this.#bytes.readBigInt64LE(at + 8))];
    }
  }

  /** @throws Error where a text, or a list of numbers of `size` bytes, is longer than the message */
  checkList(index: number, size = 1): void {
    this.#vector(index, size);
  }

  #vector(index: number, size: number): { start: number; count: number } {
    const field = this.#field(index);
    if (field === 0) return { start: 0, count: 0 };
    const vector = field + this.#bytes.readUInt32LE(field);
    const count = this.#bytes.readUInt32LE(vector);
    if (vector + 4 + size * count > this.#bytes.length)
      throw new Error(`a list of ${count} in a message of ${this.#bytes.length} bytes`);
    return { start: vector + 4, count };
  }
}

/** The table that a message is. */
export function rootTable(bytes: Buffer): Table {
  return new Table(bytes, bytes.readUInt32LE(0));
}
