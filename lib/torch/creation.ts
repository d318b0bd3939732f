// Making tensors: PyTorch's factory functions with `requiresGrad` beside dtype and device.
import { messageOf, UserError } from "../errors.js";
import { makeFolder } from "../files/make-folder.js";
import type { DType } from "./dtype.js";
import type { Generator } from "./lifetime/handle.js";
import { op } from "./operators/operator.js";
import * as ops from "./operators/ops.js";
import type { Tensor, TensorOptions } from "./tensor.js";

type Options = TensorOptions;
type RandomOptions = TensorOptions & { generator?: Generator };

function finish(made: Tensor, options: Options | undefined): Tensor {
  return options?.requiresGrad === true ? made.requiresGrad_() : made;
}

function make(options: RandomOptions | undefined): {
  dtype?: Options["dtype"];
  device?: string;
  generator?: Generator;
} {
  if (options === undefined) return {};
  const { dtype, device, generator } = options;
  return generator === undefined ? { dtype, device } : { dtype, device, generator };
}

/** Zeros; float32 on the CPU unless told otherwise. */
export const zeros = (shape: readonly number[], options?: Options): Tensor =>
  finish(ops.zeros(shape, make(options)), options);
const scratch =
  op<(size: readonly number[], dtype: DType, folder: string) => Tensor>("qwen_pt::scratch_zeros");

/**
 * Zeros on the CPU, on the pages of a file without a name in a folder: the system may take them out of memory, and the
 * file is gone with the tensor, however the process ends. The folder is made where it is missing.
 * @throws UserError where the folder takes no file of this size
 */
export function scratchZeros(shape: readonly number[], dtype: DType, folder: string): Tensor {
  try {
    makeFolder(folder);
    return scratch(shape, dtype, folder);
  } catch (error) {
    const what = messageOf(error).replace(/^qwen_pt::scratch_zeros: /, "");
    throw new UserError(`${what}; free some space there, or choose another folder`, { cause: error });
  }
}
/** Ones; float32 on the CPU unless told otherwise. */
export const ones = (shape: readonly number[], options?: Options): Tensor =>
  finish(ops.ones(shape, make(options)), options);
/** Uninitialised memory. */
export const empty = (shape: readonly number[], options?: Options): Tensor =>
  finish(ops.empty(shape, make(options)), options);
/** Every element `value`; float32 unless another dtype is given. */
export const full = (shape: readonly number[], value: number, options?: Options): Tensor =>
  finish(ops.full(shape, value, { ...make(options), dtype: options?.dtype ?? "float32" }), options);
/** Uniform in [0, 1). */
export const rand = (shape: readonly number[], options?: RandomOptions): Tensor =>
  finish(ops.rand(shape, make(options)), options);
/** Standard normal. */
export const randn = (shape: readonly number[], options?: RandomOptions): Tensor =>
  finish(ops.randn(shape, make(options)), options);
/** Integers in [low, high), int64. */
export const randint = (
  low: number,
  high: number,
  shape: readonly number[],
  options?: RandomOptions,
): Tensor => ops.randint(low, high, shape, { ...make(options), dtype: options?.dtype ?? "int64" });
/** A random permutation of 0..n-1, int64. */
export const randperm = (n: number, options?: RandomOptions): Tensor => ops.randperm(n, make(options));
/** The identity matrix. */
export const eye = (n: number, options?: Options): Tensor => finish(ops.eye(n, make(options)), options);

/** `arange(end)` or `arange(start, end, step)`: int64 for whole numbers, float32 otherwise, unless a dtype is given. */
export function arange(start: number, end?: number, step = 1, options?: Options): Tensor {
  const [from, to] = end === undefined ? [0, start] : [start, end];
  return finish(ops.arangeStep(from, to, step, make(options)), options);
}

/** `steps` numbers from start to end, both included. */
export const linspace = (start: number, end: number, steps: number, options?: Options): Tensor =>
  finish(ops.linspace(start, end, steps, make(options)), options);

/** Zeros of another tensor's shape, dtype and device, unless told otherwise. */
export const zerosLike = (like: Tensor, options?: Options): Tensor =>
  finish(ops.zerosLike(like, make(options)), options);
/** Ones of another tensor's shape, dtype and device, unless told otherwise. */
export const onesLike = (like: Tensor, options?: Options): Tensor =>
  finish(ops.onesLike(like, make(options)), options);
/** Uninitialised memory of another tensor's shape, dtype and device, unless told otherwise. */
export const emptyLike = (like: Tensor, options?: Options): Tensor =>
  finish(ops.emptyLike(like, make(options)), options);
/** Every element `value`, of another tensor's shape, dtype and device, unless told otherwise. */
export const fullLike = (like: Tensor, value: number, options?: Options): Tensor =>
  finish(ops.fullLike(like, value, make(options)), options);
