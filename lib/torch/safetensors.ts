// Safetensors files: read by mapping them into memory, written whole or not at all. The format's rules, and the
// sharded checkpoints that are made of several such files, are elsewhere (native/safetensors.*, qwen3/weights).
import { UserError } from "../errors.js";
import { guarded } from "./errors.js";
import { wrapHandle } from "./lifetime/handle.js";
import { native, type SafetensorsHandle } from "./native.js";
import { op } from "./operators/operator.js";
import "./tensor.js"; // registers the class that wrapHandle makes
import type { Tensor } from "./tensor.js";

/** What a file says of one tensor, without touching its bytes. */
export interface TensorInfo {
  /** PyTorch's name (`"bfloat16"`), or the format's own (`"F8_E4M3"`) where tensors here cannot have the type. */
  readonly dtype: string;
  /** Sizes of the dimensions. */
  readonly shape: readonly number[];
  /** Bytes that its elements take in the file. */
  readonly bytes: number;
}

// Broken rules of the format and the system's refusals (no such file, disk full) are the user's to mend.
function reported<T>(body: () => T): T {
  try {
    return guarded(body);
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    if (code === "ERR_SAFETENSORS" || code === "ERR_FILE")
      throw new UserError(advised(message), { cause: error });
    throw error;
  }
}

/** A message with what to do about it, where it does not say so itself. */
function advised(message: string): string {
  if (/: not a valid safetensors file: /.test(message) && !/download it again|git lfs/.test(message)) {
    return `${message}; copy or download it again`;
  }
  if (/No space left|quota/i.test(message)) return `${message}; free some space or choose another folder`;
  if (/File too large/.test(message))
    return `${message}; raise the limit on files (ulimit -f) or choose another disk`;
  return message;
}

/**
 * An open safetensors file. Opening reads and checks the header only; `tensor(name)` gives a tensor on the file's own
 * pages, so that loading copies nothing: a page is read when it is touched, and becomes the process's own when it is
 * written (an update in place never reaches the file). The file may be replaced by a rename while it is open, but must
 * not be cut short in place: touching bytes that are gone ends the process, as with any memory-mapped file.
 *
 * @example
 * const file = SafetensorsFile.open("model.safetensors");
 * file.info("model.norm.weight").shape; // [1024]
 * const weight = file.tensor("model.norm.weight");
 * file.close(); // weight stays valid
 */
export class SafetensorsFile {
  /** The file's free-form text; `{ format: "pt" }` in files for PyTorch. Has no prototype. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly #file: SafetensorsHandle;
  readonly #tensors: ReadonlyMap<string, TensorInfo>;

  private constructor(readonly path: string) {
    const [file, tensors, metadata] = reported(() => native().safetensorsOpen(path));
    this.#file = file;
    this.#tensors = new Map(tensors.map(([name, dtype, shape, bytes]) => [name, { dtype, shape, bytes }]));
    const texts: Record<string, string> = Object.create(null);
    for (const [key, value] of metadata) texts[key] = value;
    this.metadata = texts;
  }

  /**
   * Opens a file and checks its header by every rule of the format.
   * @throws UserError naming the file and the rule that it breaks, or why it cannot be opened.
   */
  static open(path: string): SafetensorsFile {
    return new SafetensorsFile(path);
  }

  /** The tensors' names, in the order of their bytes. */
  get names(): readonly string[] {
    return [...this.#tensors.keys()];
  }

  /** Whether the file has a tensor of this name. */
  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** @throws UserError where the file has no such tensor. */
  info(name: string): TensorInfo {
    const info = this.#tensors.get(name);
    if (info === undefined) throw new UserError(`${this.path}: has no tensor ${JSON.stringify(name)}`);
    return info;
  }

  /**
   * A tensor on the CPU, on the file's pages; a copy only where the file did not align it. Belongs to the open scope,
   * like every new tensor, and outlives the file object.
   * @throws UserError where the file has no such tensor, was closed, or has the tensor in a type such as fp8 that is
   * not supported.
   */
  tensor(name: string): Tensor {
    return wrapHandle(reported(() => native().safetensorsTensor(this.#file, name))) as Tensor;
  }

  /** Lets go of the file. Tensors made from it stay valid and hold its pages until they are disposed of. */
  close(): void {
    native().safetensorsClose(this.#file);
  }
}

/**
 * Every tensor of a file, mapped: see {@link SafetensorsFile.tensor}.
 * @throws UserError naming the file and what is wrong with it.
 */
export function loadSafetensors(path: string): Map<string, Tensor> {
  const file = SafetensorsFile.open(path);
  const tensors = new Map<string, Tensor>();
  try {
    for (const name of file.names) tensors.set(name, file.tensor(name));
  } catch (error) {
    for (const tensor of tensors.values()) tensor.dispose();
    throw error;
  } finally {
    file.close();
  }
  return tensors;
}

/**
 * Lets go of the memory that a file's pages take under a tensor that was read and not written: they are read again where
 * they are needed once more. Does nothing to a tensor that is not on a file's pages.
 */
export const releasePages = op<(tensor: Tensor) => void>("qwen_pt::release_pages");

/**
 * Has the system read a file's pages under a tensor before they are needed, while something else computes. Does nothing to
 * a tensor that is not on a file's pages.
 */
export const expectPages = op<(tensor: Tensor) => void>("qwen_pt::expect_pages");

/**
 * Writes tensors to a file, byte for byte as the reference writer would. The bytes go to a file beside it, reach the
 * disk, and are renamed: the file is there whole or, whatever fails, as it was before. Tensors may be on any device
 * and in any memory order; one at a time is brought to the CPU, and nothing is held twice.
 *
 * @param metadata free-form text; transformers wants `format: "pt"`, which is the default.
 * @throws UserError naming the file: a disk that is full, a dtype the format lacks, the same name twice.
 * @example saveSafetensors("adapter_model.safetensors", model.namedParameters());
 */
export function saveSafetensors(
  path: string,
  tensors: Iterable<readonly [string, Tensor]> | Readonly<Record<string, Tensor>>,
  metadata: Readonly<Record<string, string>> = { format: "pt" },
): void {
  const pairs =
    Symbol.iterator in tensors
      ? [...(tensors as Iterable<readonly [string, Tensor]>)]
      : Object.entries(tensors);
  const names = pairs.map(([name]) => name);
  const handles = pairs.map(([, tensor]) => tensor._handle);
  reported(() => native().safetensorsWrite(path, names, handles, Object.entries(metadata)));
}
