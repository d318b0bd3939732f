// An append-only run of int32 numbers that leaves memory for a file once there are many of them: token ids, lengths of
// documents. It knows nothing of what they mean.

import { closeSync, mkdtempSync, openSync, read, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { messageOf } from "../../errors.js";

/** Numbers that are written at once. */
const CHUNK = 1 << 16;
/** Numbers up to which a run without its own file stays in memory: 16 MiB. */
export const IN_MEMORY = 1 << 22;

/** Where a run's numbers go. */
export interface Place {
  /** A file to be made; a nameless one of the system's folder for temporary files, once there are many, where left out. */
  readonly file?: string;
  /** Numbers that are kept in memory before a nameless file is made. */
  readonly inMemory?: number;
  /** Called once where the disk refuses: what comes then stays in memory. */
  readonly onRefused?: (why: string) => void;
}

/** Closes files whose run was collected; a training run holds its own to the end. */
const forgotten = new FinalizationRegistry<number>((handle) => {
  try {
    closeSync(handle);
  } catch {
    // closed before
  }
});

/** An append-only run of int32 numbers, in memory or, once there are many, in a file. */
export class NumberRun {
  #length = 0;
  #handle: number | undefined;
  /** Numbers of the file; those after them are in memory, in chunks. */
  #filed = 0;
  #chunks: Int32Array[] = [];
  /** Numbers in chunks that are full. */
  #most: number;
  readonly #place: Place;

  constructor(place: Place = {}) {
    this.#place = place;
    this.#most = place.file === undefined ? (place.inMemory ?? IN_MEMORY) : 0;
  }

  /** The numbers of a file that is there. Throws the system's error where it cannot be opened. */
  static open(file: string, length: number): NumberRun {
    const run = new NumberRun();
    run.#hold(openSync(file, "r"));
    run.#length = length;
    run.#filed = length;
    run.#most = Number.POSITIVE_INFINITY;
    return run;
  }

  /** Numbers so far. */
  get length(): number {
    return this.#length;
  }

  /** Adds copies of numbers at the end; writes to the file where memory holds enough. */
  append(numbers: Int32Array): void {
    let done = 0;
    while (done < numbers.length) {
      const used = this.#length - this.#filed - CHUNK * (this.#chunks.length - 1);
      if (this.#chunks.length === 0 || used === CHUNK) {
        this.#chunks.push(new Int32Array(CHUNK));
        continue;
      }
      const part = numbers.subarray(done, done + CHUNK - used);
      this.#chunks[this.#chunks.length - 1]!.set(part, used);
      this.#length += part.length;
      done += part.length;
      if (used + part.length === CHUNK && this.#length - this.#filed > this.#most) this.flush();
    }
  }

  /** Writes what is in memory to the file. False where the disk refused: the numbers are then still here. */
  flush(): boolean {
    if (this.#most === Number.POSITIVE_INFINITY) return this.#chunks.length === 0;
    try {
      if (this.#handle === undefined) this.#hold(this.#create());
      while (this.#filed < this.#length) {
        const [chunk] = this.#chunks;
        const count = Math.min(CHUNK, this.#length - this.#filed);
        writeAt(this.#handle!, chunk!.subarray(0, count), this.#filed);
        this.#filed += count;
        this.#chunks.shift();
      }
    } catch (error) {
      // a chunk counts as written once all of it is
      this.#most = Number.POSITIVE_INFINITY;
      this.#place.onRefused?.(messageOf(error));
      return false;
    }
    this.#most = 0;
    return true;
  }

  #create(): number {
    if (this.#place.file !== undefined) return openSync(this.#place.file, "wx+");
    const folder = mkdtempSync(path.join(tmpdir(), "qwen-pt-tokens-"));
    const handle = openSync(path.join(folder, "numbers"), "wx+");
    // without a name it is gone with the process, however that ends
    rmSync(folder, { recursive: true, force: true });
    return handle;
  }

  #hold(handle: number): void {
    this.#handle = handle;
    forgotten.register(this, handle, this);
  }

  /** Fills `out` with the numbers from `from` on. */
  read(from: number, out: Int32Array): void {
    const filed = this.#fromMemory(from, out);
    for (let done = 0; done < filed.byteLength; ) {
      const count = readSync(this.#handle!, filed, done, filed.byteLength - done, 4 * from + done);
      if (count === 0) throw new Error("a file of token ids was cut short while it was in use");
      done += count;
    }
  }

  /** As `read`, while the thread goes on: the file is read by another. */
  async load(from: number, out: Int32Array): Promise<void> {
    const filed = this.#fromMemory(from, out);
    for (let done = 0; done < filed.byteLength; ) {
      const count = await readAt(this.#handle!, filed, done, 4 * from + done);
      if (count === 0) throw new Error("a file of token ids was cut short while it was in use");
      done += count;
    }
  }

  /** Copies what is in memory; returns the bytes of `out` that are the file's. */
  #fromMemory(from: number, out: Int32Array): Uint8Array {
    if (from < 0 || from + out.length > this.#length) {
      throw new RangeError(`numbers ${from} to ${from + out.length} do not exist: there are ${this.#length}`);
    }
    const filed = Math.max(0, Math.min(out.length, this.#filed - from));
    for (let done = filed; done < out.length; ) {
      const at = from + done - this.#filed;
      const chunk = this.#chunks[Math.floor(at / CHUNK)]!;
      const part = chunk.subarray(at % CHUNK, Math.min(CHUNK, (at % CHUNK) + out.length - done));
      out.set(part, done);
      done += part.length;
    }
    return new Uint8Array(out.buffer, out.byteOffset, 4 * filed);
  }

  /** Closes the file. Nothing can be read afterwards. */
  close(): void {
    if (this.#handle === undefined) return;
    forgotten.unregister(this);
    closeSync(this.#handle);
    this.#handle = undefined;
  }
}

function writeAt(handle: number, numbers: Int32Array, at: number): void {
  const bytes = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
  for (let done = 0; done < bytes.length; )
    done += writeSync(handle, bytes, done, bytes.length - done, 4 * at + done);
}

function readAt(handle: number, out: Uint8Array, done: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(handle, out, done, out.byteLength - done, position, (error, count) =>
      error === null ? resolve(count) : reject(error),
    );
  });
}
