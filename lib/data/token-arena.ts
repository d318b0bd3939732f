// An append-only run of token ids in fixed chunks, with the place where each document begins. It grows without copying
// and keeps four bytes a token; it knows nothing of blocks.

const CHUNK = 1 << 20;

/** Token ids of many documents, end to end. */
export class TokenArena {
  readonly #chunks: Int32Array[] = [];
  #starts = new Float64Array(1024);
  #documents = 0;
  #tokens = 0;

  get documents(): number {
    return this.#documents;
  }

  get tokens(): number {
    return this.#tokens;
  }

  /** Appends one document's ids. */
  append(ids: Int32Array): void {
    if (this.#documents + 1 >= this.#starts.length) {
      const grown = new Float64Array(this.#starts.length * 2);
      grown.set(this.#starts);
      this.#starts = grown;
    }
    let done = 0;
    while (done < ids.length) {
      const offset = this.#tokens % CHUNK;
      if (offset === 0) this.#chunks.push(new Int32Array(CHUNK));
      const part = ids.subarray(done, done + CHUNK - offset);
      this.#chunks[this.#chunks.length - 1]!.set(part, offset);
      this.#tokens += part.length;
      done += part.length;
    }
    this.#starts[++this.#documents] = this.#tokens;
  }

  /** Where a document begins, in tokens; start(documents) is the end of the last one. */
  start(document: number): number {
    return this.#starts[document]!;
  }

  /** A fresh copy of `length` ids from `from`. */
  slice(from: number, length: number): Int32Array {
    const out = new Int32Array(length);
    let done = 0;
    while (done < length) {
      const at = from + done;
      const offset = at % CHUNK;
      const part = this.#chunks[(at - offset) / CHUNK]!.subarray(
        offset,
        Math.min(CHUNK, offset + length - done),
      );
      out.set(part, done);
      done += part.length;
    }
    return out;
  }

  /** A fresh copy of one document's ids. */
  document(index: number): Int32Array {
    return this.slice(this.start(index), this.start(index + 1) - this.start(index));
  }
}
