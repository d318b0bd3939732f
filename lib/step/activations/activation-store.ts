// Where what a first pass keeps waits for the second: the memory of the device, that of the host (host-store.ts), or a file.
// Tensors stay the same handles; only their elements leave and come back. Which tensors, and when: see recompute.ts.
import { closeSync, ftruncateSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import path from "node:path";
import { UserError } from "../../errors.js";
import { makeFolder } from "../../files/make-folder.js";
import { writeError } from "../../files/output-file.js";
import { empty, fromBytes, noGrad, op, scope, type Tensor } from "../../torch/index.js";

/** A place for tensors, by numbers that the caller gives. */
export interface ActivationStore {
  /** Takes the elements of tensors away. */
  put(key: number, tensors: readonly Tensor[]): void;
  /** Brings them back, once. The tensors are those of `put`. */
  take(key: number, tensors: readonly Tensor[]): void;
  /** Forgets what was not taken. */
  clear(): void;
  /** Gives up the place itself. */
  close(): void;
}

interface Place {
  readonly tensor: Tensor;
  readonly shape: readonly number[];
  readonly at: number;
  readonly bytes: number;
}

const replace = op<(self: Tensor, source: Tensor) => Tensor>("aten::set_.source_Tensor");

/** One number in the place of many stays where it is. */
export const isWhole = ({ strides }: Tensor): boolean => !strides.every((stride) => stride === 0);

/** A file that is gone when the process is, however it ends. Reused from its beginning for every micro-step. */
export class DiskStore implements ActivationStore {
  readonly #file: string;
  #handle: number | undefined;
  #end = 0;
  readonly #places = new Map<number, Place[]>();

  /** @param folder where the file is made; made itself where it is missing */
  constructor(folder: string) {
    this.#file = path.join(folder, `.activations-${process.pid}`);
  }

  put(key: number, tensors: readonly Tensor[]): void {
    const places: Place[] = [];
    for (const tensor of tensors.filter(isWhole)) {
      const bytes = new Uint8Array(tensor.toBytes());
      places.push({ tensor, shape: [...tensor.shape], at: this.#end, bytes: bytes.length });
      this.#write(bytes);
      setElements(tensor, () => empty([0], { dtype: tensor.dtype, device: tensor.device }));
    }
    this.#places.set(key, places);
  }

  take(key: number): void {
    for (const { tensor, shape, at, bytes } of this.#places.get(key) ?? []) {
      const { dtype, device } = tensor;
      const data = this.#read(at, bytes);
      setElements(tensor, () => fromBytes(data, shape, dtype).to({ device }));
    }
    this.#places.delete(key);
  }

  clear(): void {
    this.#places.clear();
    this.#end = 0;
  }

  /** Removes the file. */
  close(): void {
    if (this.#handle === undefined) return;
    closeSync(this.#handle);
    this.#handle = undefined;
    rmSync(this.#file, { force: true });
  }

  #open(): number {
    if (this.#handle !== undefined) return this.#handle;
    makeFolder(path.dirname(this.#file));
    this.#handle = openSync(this.#file, "w+");
    // where the system lets an open file go nameless, nothing is left even after kill -9
    if (process.platform !== "win32") rmSync(this.#file, { force: true });
    return this.#handle;
  }

  #write(bytes: Uint8Array): void {
    try {
      const handle = this.#open();
      for (let done = 0; done < bytes.length; )
        done += writeSync(handle, bytes, done, bytes.length - done, this.#end + done);
      this.#end += bytes.length;
    } catch (error) {
      if (this.#handle !== undefined) ftruncateSync(this.#handle, 0);
      throw writeError(this.#file, error);
    }
  }

  #read(at: number, count: number): Uint8Array {
    const data = new Uint8Array(count);
    for (let done = 0; done < count; ) {
      const read = readSync(this.#handle as number, data, done, count - done, at + done);
      if (read === 0) throw new UserError(`${this.#file} has become shorter while it was in use; run again`);
      done += read;
    }
    return data;
  }
}

/** Puts the elements of what is made, or none, in the place of a tensor's. */
export function setElements(tensor: Tensor, make: () => Tensor): void {
  scope(() => noGrad(() => replace(tensor, make())));
}
