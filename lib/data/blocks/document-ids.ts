// Documents by number, in an order. A run of them costs nothing however long it is, others four bytes a document.

/** Numbers of documents in an order; a run first, first + 1, ... takes no memory. */
export class DocumentIds {
  /** How many there are. */
  readonly length: number;
  readonly #first: number;
  readonly #ids: Int32Array | undefined;

  private constructor(first: number, length: number, ids?: Int32Array) {
    this.#first = first;
    this.length = length;
    this.#ids = ids;
  }

  /** first, first + 1, ... */
  static run(first: number, length: number): DocumentIds {
    return new DocumentIds(first, length);
  }

  /** The numbers as they are given; the array is kept, not copied. */
  static of(ids: Int32Array): DocumentIds {
    return new DocumentIds(0, ids.length, ids);
  }

  /** Several, one after another. */
  static join(parts: readonly DocumentIds[]): DocumentIds {
    const filled = parts.filter(({ length }) => length > 0);
    const length = filled.reduce((sum, part) => sum + part.length, 0);
    const first = filled[0]?.first ?? 0;
    let next = first;
    const isRun = filled.every((part) => {
      const follows = part.first === next;
      next += part.length;
      return follows;
    });
    if (isRun) return DocumentIds.run(first, length);
    const ids = new Int32Array(length);
    let at = 0;
    for (const part of filled) for (let i = 0; i < part.length; i++) ids[at++] = part.at(i);
    return DocumentIds.of(ids);
  }

  /** The first number of a run; undefined for any other order. */
  get first(): number | undefined {
    return this.#ids === undefined ? this.#first : undefined;
  }

  /** The number at a position from 0. */
  at(position: number): number {
    return this.#ids === undefined ? this.#first + position : this.#ids[position]!;
  }

  /** Those that `keep` takes, in their order. */
  filter(keep: (id: number) => boolean): DocumentIds {
    let length = 0;
    let first = -1;
    let last = -1;
    for (let i = 0; i < this.length; i++) {
      if (!keep(this.at(i))) continue;
      if (length++ === 0) first = i;
      last = i;
    }
    if (length === 0) return DocumentIds.run(0, 0);
    if (this.#ids === undefined && last - first + 1 === length)
      return DocumentIds.run(this.at(first), length);
    const ids = new Int32Array(length);
    let at = 0;
    for (let i = 0; i < this.length; i++) if (keep(this.at(i))) ids[at++] = this.at(i);
    return DocumentIds.of(ids);
  }

  /** Those at some positions. */
  pick(positions: Int32Array): DocumentIds {
    return DocumentIds.of(positions.map((position) => this.at(position)));
  }
}
