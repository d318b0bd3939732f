// The Tensor class: what someone from PyTorch reaches for, in camelCase, over a private native handle. Methods are
// one line each over the operators of ops.ts; metadata that cannot change is cached.
import { type BackwardOptions, backward } from "./autograd.js";
import { isHost } from "./device.js";
import {
  arrayOver,
  type Device,
  type DType,
  dtypeOfArray,
  isDType,
  isFloatingPoint,
  type TypedArray,
} from "./dtype.js";
import { ArgumentError, guarded } from "./errors.js";
import { registerTensorClass, TensorHandle } from "./lifetime/handle.js";
import { scope } from "./lifetime/scope.js";
import { type Handle, native } from "./native.js";
import type { Operand } from "./operators/operator.js";
import * as ops from "./operators/ops.js";
import { formatTensor } from "./print.js";

/** Where and as what to make a tensor. */
export interface TensorOptions {
  /** Element type; where left out, what the function says (mostly float32). */
  dtype?: DType;
  /** Where the memory is: `cpu` where left out. */
  device?: Device;
  /**
   * Whether backward passes add up a gradient in the new leaf. Default false. Throws TorchError for integers.
   */
  requiresGrad?: boolean;
}

/** What {@link Tensor.at} takes for one dimension: an index, a slice, all of it (`null`), or a tensor of indices. */
export type IndexItem = number | null | Tensor | { start?: number; end?: number; step?: number };

/** Nested arrays of numbers, booleans or bigints. */
export type NestedArray = number | boolean | bigint | readonly NestedArray[];

type Dims = number | readonly number[];

/**
 * A tensor of libtorch. Every method that returns a tensor returns a new handle (views share storage); methods that
 * end in `_` change the tensor in place and return it.
 * @throws TorchError from any method, naming the operator and the operands' dtypes and shapes.
 */
export class Tensor extends TensorHandle {
  // plain fields: one is made for every result of an operator, and #private ones cost more to set up
  private _shape: readonly number[] | undefined = undefined;
  private _dtype: DType | undefined = undefined;
  private _device: Device | undefined = undefined;

  override _forget(): void {
    this._shape = this._dtype = this._device = undefined;
  }

  /** Sizes of the dimensions. */
  get shape(): readonly number[] {
    this._shape ??= Object.freeze(guarded(() => native().tensorShape(this._handle)));
    return this._shape;
  }
  /** Steps between elements, in elements, along each dimension. */
  get strides(): readonly number[] {
    return guarded(() => native().tensorStrides(this._handle));
  }
  /** Element type, such as `float32`. */
  get dtype(): DType {
    this._dtype ??= guarded(() => native().tensorDtype(this._handle)) as DType;
    return this._dtype;
  }
  /** Where the elements are: `cpu`, `cuda:0`, `meta`. */
  get device(): Device {
    this._device ??= guarded(() => native().tensorDevice(this._handle));
    return this._device;
  }
  /** Number of dimensions. */
  get ndim(): number {
    return this.shape.length;
  }
  /** Number of elements. */
  numel(): number {
    return this.shape.reduce((product, size) => product * size, 1);
  }
  /** Size of a dimension; negative ones count from the end. */
  size(dim: number): number {
    const size = this.shape[dim < 0 ? dim + this.ndim : dim];
    if (size === undefined)
      throw new ArgumentError(`size: dimension ${dim} of a tensor of ${this.ndim} dimensions`);
    return size;
  }
  /** Whether the dtype is float64, float32, bfloat16 or float16. */
  get isFloatingPoint(): boolean {
    return isFloatingPoint(this.dtype);
  }
  /** Where the first element is; equal for views of one storage at one offset. */
  get dataPointer(): bigint {
    return guarded(() => native().tensorDataPointer(this._handle));
  }
  /** How often the tensor was changed in place. */
  get version(): number {
    return guarded(() => native().tensorVersion(this._handle));
  }

  // ---- autograd
  /**
   * Whether autograd follows this tensor. Setting it to true throws for integers; false changes leaves alone.
   */
  get requiresGrad(): boolean {
    return guarded(() => native().tensorRequiresGrad(this._handle));
  }
  set requiresGrad(value: boolean) {
    guarded(() => native().tensorSetRequiresGrad(this._handle, value));
  }
  /** Sets {@link Tensor.requiresGrad} and gives the tensor back. Throws for integers. */
  requiresGrad_(value = true): this {
    this.requiresGrad = value;
    return this;
  }
  /** Whether no recorded operator made it: where gradients gather, if it requires one. */
  get isLeaf(): boolean {
    return guarded(() => native().tensorIsLeaf(this._handle));
  }
  /** What backward passes have added up here: a tensor like this one, or undefined. Each reading makes a handle. */
  get grad(): Tensor | undefined {
    const handle = guarded(() => native().tensorGrad(this._handle));
    return handle === undefined ? undefined : new Tensor(handle);
  }
  set grad(value: Tensor | undefined) {
    guarded(() => native().tensorSetGrad(this._handle, value?._handle));
  }
  /** Adds d this / d leaf to every leaf's `grad`. Needs `gradient` unless it has one element. */
  backward(gradient?: Tensor, options?: BackwardOptions): void {
    backward(this, gradient, options);
  }
  /** A view that autograd does not follow: requiresGrad false, same storage. */
  detach(): Tensor {
    return ops.detach(this);
  }

  // ---- lifetime
  /** Drops this reference. What autograd or other tensors need stays. Later use throws; a second call does nothing. */
  dispose(): void {
    native().tensorDispose(this._handle);
  }
  /** Whether it was disposed of, or the scope that owned it has closed. */
  get isDisposed(): boolean {
    return native().tensorIsDisposed(this._handle);
  }

  // ---- values
  /** The one element as a number (a bigint beyond 2^53). Waits for the device. */
  item(): number {
    const value = guarded(() => native().tensorItem(this._handle));
    return (typeof value === "boolean" ? Number(value) : value) as number;
  }
  /**
   * The elements in C order, copied: the typed array of the dtype; bfloat16 and float16 come as float32, bool as
   * Uint8Array. Waits for the device.
   */
  toArray(): TypedArray {
    if (this.dtype === "bfloat16" || this.dtype === "float16") {
      return scope(() => ops.toDType(ops.detach(this), "float32").toArray());
    }
    return arrayOver(this.toBytes(), this.dtype);
  }
  /** The elements' bytes in C order, little-endian, copied. */
  toBytes(): ArrayBuffer {
    return guarded(() => native().tensorToBytes(this._handle));
  }
  /** The elements as nested arrays of numbers (booleans for bool). */
  tolist(): NestedArray {
    const flat = this.toArray();
    const isBool = this.dtype === "bool";
    let next = 0;
    const nest = (dim: number): NestedArray => {
      if (dim === this.ndim) {
        const value = flat[next++] as number | bigint;
        return isBool ? Boolean(value) : Number(value);
      }
      return Array.from({ length: this.shape[dim] as number }, () => nest(dim + 1));
    };
    return nest(0);
  }
  /** The text that printing shows: shape, dtype, device, and the elements, shortened beyond 1000. */
  override toString(): string {
    return formatTensor(this);
  }
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return formatTensor(this);
  }

  // ---- arithmetic
  /** `this + alpha * other`, broadcast; alpha is 1 where left out. dtypes promote as in PyTorch. */
  add(other: Operand, options?: { alpha?: number }): Tensor {
    return options === undefined ? ops.add(this, other) : ops.add(this, other, options);
  }
  /** `this - alpha * other`, broadcast; alpha is 1 where left out. Throws for bool tensors. */
  sub(other: Operand, options?: { alpha?: number }): Tensor {
    return options === undefined ? ops.sub(this, other) : ops.sub(this, other, options);
  }
  /** `this * other`, element by element, broadcast. */
  mul(other: Operand): Tensor {
    return ops.mul(this, other);
  }
  /**
   * `this / other`, broadcast; integers give float32. `roundingMode` rounds down (`floor`) or towards zero
   * (`trunc`) and leaves integers integers.
   */
  div(other: Operand, options?: { roundingMode?: "floor" | "trunc" }): Tensor {
    return options === undefined ? ops.div(this, other) : ops.divMode(this, other, options);
  }
  /** This modulo `other`, broadcast, with the divisor's sign as Python's `%` has it. */
  remainder(other: Operand): Tensor {
    return ops.remainder(this, other);
  }
  /** `this ** exponent`, broadcast. Throws for integers to a negative whole number. */
  pow(exponent: Operand): Tensor {
    return typeof exponent === "number" ? ops.powScalar(this, exponent) : ops.pow(this, exponent);
  }
  /** The larger of two elements, broadcast; a NaN in either gives NaN. */
  maximum(other: Tensor): Tensor {
    return ops.maximum(this, other);
  }
  /** The smaller of two elements, broadcast; a NaN in either gives NaN. */
  minimum(other: Tensor): Tensor {
    return ops.minimum(this, other);
  }
  /** Elements limited to [min, max]; either may be undefined, but not both. NaN stays NaN. */
  clamp(min?: number, max?: number): Tensor {
    return ops.clamp(this, min, max);
  }
  /** `-this`. Throws for bool. */
  neg(): Tensor {
    return ops.neg(this);
  }
  /** The absolute value. */
  abs(): Tensor {
    return ops.abs(this);
  }
  /** e to the power of each element; integers give float32. */
  exp(): Tensor {
    return ops.exp(this);
  }
  /** The natural logarithm; integers give float32. 0 gives -inf, a negative number NaN. */
  log(): Tensor {
    return ops.log(this);
  }
  /** The square root; integers give float32, a negative number NaN. */
  sqrt(): Tensor {
    return ops.sqrt(this);
  }
  /** `1 / sqrt(this)`; integers give float32. */
  rsqrt(): Tensor {
    return ops.rsqrt(this);
  }
  /** `this * this`. */
  square(): Tensor {
    return ops.square(this);
  }
  /** `1 / this`; integers give float32. */
  reciprocal(): Tensor {
    return ops.reciprocal(this);
  }
  /** The sine of radians; integers give float32. */
  sin(): Tensor {
    return ops.sin(this);
  }
  /** The cosine of radians; integers give float32. */
  cos(): Tensor {
    return ops.cos(this);
  }
  /** The hyperbolic tangent; integers give float32. */
  tanh(): Tensor {
    return ops.tanh(this);
  }
  /** `1 / (1 + exp(-this))`; integers give float32. */
  sigmoid(): Tensor {
    return ops.sigmoid(this);
  }
  /** `max(this, 0)`. Throws for bool. */
  relu(): Tensor {
    return ops.relu(this);
  }
  /** `this * sigmoid(this)` (swish: Ramachandran et al. 2017, arXiv:1710.05941). Floating point only. */
  silu(): Tensor {
    return ops.silu(this);
  }
  /** Down to a whole number, in the same dtype. */
  floor(): Tensor {
    return ops.floor(this);
  }
  /** Up to a whole number, in the same dtype. */
  ceil(): Tensor {
    return ops.ceil(this);
  }
  /** To the nearest whole number, halves to the even one, in the same dtype. */
  round(): Tensor {
    return ops.round(this);
  }
  /** -1, 0 or 1 by the sign, in the same dtype. */
  sign(): Tensor {
    return ops.sign(this);
  }
  /** Which elements are neither infinite nor NaN: bool. */
  isfinite(): Tensor {
    return ops.isfinite(this);
  }
  /** Which elements are NaN: bool. */
  isnan(): Tensor {
    return ops.isnan(this);
  }

  // ---- comparison
  /** `this == other`, element by element, broadcast: bool. */
  eq(other: Operand): Tensor {
    return ops.eq(this, other);
  }
  /** `this != other`, element by element, broadcast: bool. */
  ne(other: Operand): Tensor {
    return ops.ne(this, other);
  }
  /** `this < other`, element by element, broadcast: bool. */
  lt(other: Operand): Tensor {
    return ops.lt(this, other);
  }
  /** `this <= other`, element by element, broadcast: bool. */
  le(other: Operand): Tensor {
    return ops.le(this, other);
  }
  /** `this > other`, element by element, broadcast: bool. */
  gt(other: Operand): Tensor {
    return ops.gt(this, other);
  }
  /** `this >= other`, element by element, broadcast: bool. */
  ge(other: Operand): Tensor {
    return ops.ge(this, other);
  }
  /** Which elements are zero or false: bool. */
  logicalNot(): Tensor {
    return ops.logicalNot(this);
  }
  /** Where both are nonzero, broadcast: bool. */
  logicalAnd(other: Tensor): Tensor {
    return ops.logicalAnd(this, other);
  }
  /** Where either is nonzero, broadcast: bool. */
  logicalOr(other: Tensor): Tensor {
    return ops.logicalOr(this, other);
  }
  /**
   * A copy with `value` where the bool `mask` (broadcast to this shape) is true. Throws for a mask of another
   * dtype.
   */
  maskedFill(mask: Tensor, value: number): Tensor {
    return ops.maskedFill(this, mask, value);
  }
  /** Whether shape and every element are equal. Of dtypes, PyTorch asks only that they compare: 1 equals 1.0. */
  equal(other: Tensor): boolean {
    return ops.equal(this, other);
  }
  /**
   * Whether everywhere |this - other| <= atol + rtol * |other|. Defaults: rtol 1e-5, atol 1e-8, equalNan
   * false. Waits for the device; throws where the dtypes differ.
   */
  allclose(other: Tensor, options: { rtol?: number; atol?: number; equalNan?: boolean } = {}): boolean {
    return ops.allclose(this, other, options.rtol, options.atol, options.equalNan);
  }

  // ---- reductions: over all elements, or over dimensions
  /**
   * Sum of all elements, [..] -> [], or over `dim` (one or several), which goes unless keepdim. Integers and
   * bool give int64; `dtype` casts first.
   */
  sum(dim?: Dims, options: { keepdim?: boolean; dtype?: DType } = {}): Tensor {
    const { keepdim, dtype } = options;
    return dim === undefined ? ops.sumAll(this, { dtype }) : ops.sum(this, dim, keepdim ?? false, { dtype });
  }
  /**
   * Mean of all elements, [..] -> [], or over `dim` (one or several), which goes unless keepdim. Throws for
   * integers unless `dtype` is a floating one; it casts first.
   */
  mean(dim?: Dims, options: { keepdim?: boolean; dtype?: DType } = {}): Tensor {
    const { keepdim, dtype } = options;
    return dim === undefined
      ? ops.meanAll(this, { dtype })
      : ops.mean(this, dim, keepdim ?? false, { dtype });
  }
  /** Product of all elements, [..] -> []; integers and bool give int64; `dtype` casts first. */
  prod(options: { dtype?: DType } = {}): Tensor {
    return ops.prodAll(this, options);
  }
  /** The largest element; along a dimension, the largest ones and where they are. */
  max(): Tensor;
  max(dim: number, keepdim?: boolean): [Tensor, Tensor];
  max(dim?: number, keepdim?: boolean): Tensor | [Tensor, Tensor] {
    return dim === undefined ? ops.maxAll(this) : ops.maxDim(this, dim, keepdim);
  }
  /** The smallest element; along a dimension, the smallest ones and where they are. */
  min(): Tensor;
  min(dim: number, keepdim?: boolean): [Tensor, Tensor];
  min(dim?: number, keepdim?: boolean): Tensor | [Tensor, Tensor] {
    return dim === undefined ? ops.minAll(this) : ops.minDim(this, dim, keepdim);
  }
  /** Largest elements over `dim` (one or several; all where left out), which goes unless keepdim. */
  amax(dim?: Dims, keepdim?: boolean): Tensor {
    return ops.amax(this, dim, keepdim);
  }
  /** Smallest elements over `dim` (one or several; all where left out), which goes unless keepdim. */
  amin(dim?: Dims, keepdim?: boolean): Tensor {
    return ops.amin(this, dim, keepdim);
  }
  /** Places of the largest elements along `dim`, or in the flattened tensor where left out: int64. */
  argmax(dim?: number, keepdim?: boolean): Tensor {
    return ops.argmax(this, dim, keepdim);
  }
  /** Places of the smallest elements along `dim`, or in the flattened tensor where left out: int64. */
  argmin(dim?: number, keepdim?: boolean): Tensor {
    return ops.argmin(this, dim, keepdim);
  }
  /**
   * Variance over `dim` (all where left out), divided by n - correction; correction is 1 where left out.
   * Floating point only.
   */
  var(dim?: Dims, options: { correction?: number; keepdim?: boolean } = {}): Tensor {
    return ops.varDim(this, dim, options);
  }
  /** Whether all elements are nonzero, [..] -> [] bool (uint8 for uint8). */
  all(): Tensor {
    return ops.allAll(this);
  }
  /** Whether any element is nonzero, [..] -> [] bool (uint8 for uint8). */
  any(): Tensor {
    return ops.anyAll(this);
  }
  /** Running sums along `dim`, of the same shape; integers and bool give int64. */
  cumsum(dim: number): Tensor {
    return ops.cumsum(this, dim);
  }
  /** `log(sum(exp(this)))` over `dim`, without overflow; `dim` goes unless keepdim. */
  logsumexp(dim: Dims, keepdim?: boolean): Tensor {
    return ops.logsumexp(this, dim, keepdim);
  }
  /** The p-norm (default the Euclidean one). */
  norm(ord = 2, dim?: Dims, keepdim?: boolean): Tensor {
    return ops.vectorNorm(this, ord, dim, keepdim);
  }
  /**
   * The `k` largest along `dim` (default: the last), in falling order, and their places (int64). Throws where
   * k exceeds the size.
   */
  topk(k: number, dim?: number): [Tensor, Tensor] {
    return ops.topk(this, k, dim);
  }
  /**
   * Sorted along `dim` (default: the last), ascending by default, and the elements' places before (int64).
   */
  sort(dim?: number, descending?: boolean): [Tensor, Tensor] {
    return ops.sort(this, dim, descending);
  }
  /** The places (int64) that would sort along `dim` (default: the last), ascending by default. */
  argsort(dim?: number, descending?: boolean): Tensor {
    return ops.argsort(this, dim, descending);
  }
  /** `exp(this)` divided by its sum along `dim`, without overflow; cast to `dtype` first where given. */
  softmax(dim: number, options: { dtype?: DType } = {}): Tensor {
    return ops.softmax(this, dim, options.dtype);
  }
  /**
   * The logarithm of {@link Tensor.softmax} along `dim`, without overflow; cast to `dtype` first where given.
   */
  logSoftmax(dim: number, options: { dtype?: DType } = {}): Tensor {
    return ops.logSoftmax(this, dim, options.dtype);
  }

  // ---- matrix products
  /**
   * PyTorch's matmul: [n, m] @ [m, p] -> [n, p], leading dimensions broadcast, vectors as rows or columns.
   * Throws where dtypes or inner sizes differ.
   */
  matmul(other: Tensor): Tensor {
    return ops.matmul(this, other);
  }
  /** [n, m] @ [m, p] -> [n, p]; two matrices of one dtype, no broadcasting. */
  mm(other: Tensor): Tensor {
    return ops.mm(this, other);
  }
  /** [b, n, m] @ [b, m, p] -> [b, n, p]; no broadcasting. */
  bmm(other: Tensor): Tensor {
    return ops.bmm(this, other);
  }
  /** Sum of products of two vectors, [n] and [n] -> []. */
  dot(other: Tensor): Tensor {
    return ops.dot(this, other);
  }

  // ---- shape
  /**
   * The same storage in another shape; one size may be -1. Throws where the strides do not allow it: see
   * {@link Tensor.reshape}.
   */
  view(shape: readonly number[]): Tensor {
    return ops.view(this, shape);
  }
  /** Another shape, as a view where the strides allow it, else as a copy; one size may be -1. */
  reshape(shape: readonly number[]): Tensor {
    return ops.reshape(this, shape);
  }
  /** A view with the dimensions in the order `dims`, each named once. */
  permute(dims: readonly number[]): Tensor {
    return ops.permute(this, dims);
  }
  /** A view with two dimensions swapped. */
  transpose(dim0: number, dim1: number): Tensor {
    return ops.transpose(this, dim0, dim1);
  }
  /** A view of a matrix transposed, [n, m] -> [m, n]; vectors stay. Throws beyond two dimensions. */
  t(): Tensor {
    return ops.t(this);
  }
  /**
   * A view with dimensions of size 1 repeated without memory; -1 keeps a size, new dimensions come in front.
   * Clone before writing to it.
   */
  expand(shape: readonly number[]): Tensor {
    return ops.expand(this, shape);
  }
  /** A view without `dim`, if its size is 1; without every dimension of size 1 where it is left out. */
  squeeze(dim?: number): Tensor {
    return dim === undefined ? ops.squeezeAll(this) : ops.squeeze(this, dim);
  }
  /** A view with a dimension of size 1 before `dim`; -1 appends it. */
  unsqueeze(dim: number): Tensor {
    return ops.unsqueeze(this, dim);
  }
  /** The dimensions startDim to endDim (default: all) as one; a view where the strides allow it. */
  flatten(startDim?: number, endDim?: number): Tensor {
    return ops.flatten(this, startDim, endDim);
  }
  /** A view with `dim` split into `sizes`, whose product is its size; one may be -1. */
  unflatten(dim: number, sizes: readonly number[]): Tensor {
    return ops.unflatten(this, dim, sizes);
  }
  /**
   * Copies beside each other, `repeats[i]` along dimension i; further repeats make new leading dimensions.
   */
  repeat(repeats: readonly number[]): Tensor {
    return ops.repeat(this, repeats);
  }
  /** Each element `repeats` times in a row along `dim`, or flattened where it is left out: a copy. */
  repeatInterleave(repeats: number, dim?: number): Tensor {
    return ops.repeatInterleave(this, repeats, dim);
  }
  /**
   * Views along `dim` (default 0) of one size, the last perhaps smaller, or of the sizes given, whose sum
   * must fit.
   */
  split(size: number | readonly number[], dim?: number): Tensor[] {
    return typeof size === "number" ? ops.split(this, size, dim) : ops.splitSizes(this, size, dim);
  }
  /** At most `chunks` views of equal size along `dim` (default 0); the last may be smaller. */
  chunk(chunks: number, dim?: number): Tensor[] {
    return ops.chunk(this, chunks, dim);
  }
  /** Views of each index of `dim` (default 0), without that dimension. */
  unbind(dim?: number): Tensor[] {
    return ops.unbind(this, dim);
  }
  /** A copy with the order along `dims` reversed. */
  flip(dims: readonly number[]): Tensor {
    return ops.flip(this, dims);
  }
  /** The lower triangle of the last two dimensions, zero above `diagonal` (default 0): a copy. */
  tril(diagonal?: number): Tensor {
    return ops.tril(this, diagonal);
  }
  /** The upper triangle of the last two dimensions, zero below `diagonal` (default 0): a copy. */
  triu(diagonal?: number): Tensor {
    return ops.triu(this, diagonal);
  }
  /** The elements in C order: the same storage if they are already, else a copy. */
  contiguous(): Tensor {
    return ops.contiguous(this);
  }

  // ---- indexing
  /**
   * Indexes as Python's brackets do, an item a dimension: `x.at(0)`, `x.at(null, { start: 1 })`, `x.at(mask)`.
   * Numbers and slices give views; tensors of indices or a mask give copies.
   */
  at(...items: IndexItem[]): Tensor {
    let result: Tensor = this;
    let dim = 0;
    const advanced: (Tensor | null)[] = [];
    const narrowTo = (view: Tensor): void => {
      if (result !== this) result.dispose();
      result = view;
    };
    for (const item of items) {
      if (typeof item === "number") {
        narrowTo(ops.select(result, dim, item));
        continue;
      }
      if (item instanceof Tensor) {
        while (advanced.length < dim) advanced.push(null);
        advanced.push(item);
        dim += item.dtype === "bool" ? item.ndim : 1;
        continue;
      }
      if (item !== null) narrowTo(ops.slice(result, dim, item.start, item.end, item.step));
      dim++;
    }
    if (advanced.length > 0) narrowTo(ops.index(result, advanced));
    return result;
  }
  /**
   * A view of one index of `dim`, without that dimension; negative ones count from the end. Throws beyond the
   * ends.
   */
  select(dim: number, index: number): Tensor {
    return ops.select(this, dim, index);
  }
  /**
   * A view of start..end by step along `dim`, limited to its size; negative ones count from the end. Throws
   * for a step below 1.
   */
  slice(dim: number, start?: number, end?: number, step?: number): Tensor {
    return ops.slice(this, dim, start, end, step);
  }
  /** A view of `length` indices of `dim` from `start`. Throws beyond the end. */
  narrow(dim: number, start: number, length: number): Tensor {
    return ops.narrow(this, dim, start, length);
  }
  /** The indices `index` [n] (int64 or int32) of `dim`: a copy, n long there. Throws beyond the ends. */
  indexSelect(dim: number, index: Tensor): Tensor {
    return ops.indexSelect(this, dim, index);
  }
  /** Along `dim`, the elements at `index` (int64 or int32, as many dimensions as this) -> index's shape. */
  gather(dim: number, index: Tensor): Tensor {
    return ops.gather(this, dim, index);
  }
  /**
   * PyTorch's `x[indices]` by tensors of integers or bool masks, null for a whole dimension: a copy. See
   * {@link Tensor.at}.
   */
  index(indices: readonly (Tensor | null)[]): Tensor {
    return ops.index(this, indices);
  }
  /**
   * A copy with `source` written along `dim` at `index` (int64 or int32). Which of several for one place stays is not
   * defined.
   */
  scatter(dim: number, index: Tensor, source: Tensor): Tensor {
    return ops.scatter(this, dim, index, source);
  }
  /** The elements where the bool `mask` (broadcast) is true, in C order: a copy [count]. */
  maskedSelect(mask: Tensor): Tensor {
    return ops.maskedSelect(this, mask);
  }
  /** Places of nonzero elements, [count, ndim] int64. Waits for the device. */
  nonzero(): Tensor {
    return ops.nonzero(this);
  }

  // ---- copies and conversions
  /** A copy with its own storage, which autograd follows. */
  clone(): Tensor {
    return ops.clone(this);
  }
  /** As another dtype, on another device, or both: `x.to("bfloat16")`, `x.to("cuda")`, `x.to({ dtype, device })`. */
  to(target: DType | Device | { dtype?: DType; device?: Device }): Tensor {
    const { dtype, device } =
      typeof target === "object"
        ? target
        : isDType(target)
          ? { dtype: target, device: undefined }
          : { dtype: undefined, device: target };
    if (device !== undefined) return ops.toDevice(this, device, dtype ?? this.dtype);
    return dtype === undefined ? this : ops.toDType(this, dtype);
  }
  /** As float32; a new handle on the same storage where it is already. */
  float(): Tensor {
    return ops.toDType(this, "float32");
  }
  /** As float64. */
  double(): Tensor {
    return ops.toDType(this, "float64");
  }
  /** As bfloat16, rounded to the nearest. */
  bfloat16(): Tensor {
    return ops.toDType(this, "bfloat16");
  }
  /** As float16, rounded to the nearest; beyond 65504 infinite. */
  half(): Tensor {
    return ops.toDType(this, "float16");
  }
  /** As int64, fractions cut off. */
  long(): Tensor {
    return ops.toDType(this, "int64");
  }
  /** On the CPU; from a device it waits for the copy. */
  cpu(): Tensor {
    return this.to({ device: "cpu" });
  }
  /** On a CUDA device, the current one where `index` is left out. Throws where there is none. */
  cuda(index?: number): Tensor {
    return this.to({ device: index === undefined ? "cuda" : `cuda:${index}` });
  }

  // ---- in place
  /**
   * `this += alpha * other`, broadcast to this shape. In-place methods throw on a leaf that requires a
   * gradient while autograd records.
   */
  add_(other: Operand, options?: { alpha?: number }): this {
    if (options === undefined) ops.add_(this, other);
    else ops.add_(this, other, options);
    return this;
  }
  /** `this -= other`, broadcast to this shape. */
  sub_(other: Operand): this {
    ops.sub_(this, other);
    return this;
  }
  /** `this *= other`, broadcast to this shape. */
  mul_(other: Operand): this {
    ops.mul_(this, other);
    return this;
  }
  /** `this /= other`, broadcast to this shape. Throws for integers. */
  div_(other: Operand): this {
    ops.div_(this, other);
    return this;
  }
  /** Limits the elements to [min, max]; either may be undefined, but not both. */
  clamp_(min?: number, max?: number): this {
    ops.clamp_(this, min, max);
    return this;
  }
  /** Copies `source`, broadcast to this shape, in, cast to this dtype; the devices may differ. */
  copy_(source: Tensor): this {
    ops.copy_(this, source);
    return this;
  }
  /** Zeroes every element. */
  zero_(): this {
    ops.zero_(this);
    return this;
  }
  /** Sets every element to `value`. */
  fill_(value: number): this {
    ops.fill_(this, value);
    return this;
  }
  /** Sets `value` where the bool `mask` (broadcast to this shape) is true. */
  maskedFill_(mask: Tensor, value: number): this {
    ops.maskedFill_(this, mask, value);
    return this;
  }
  /** Draws every element from N(mean, std^2), by the device's generator. Floating point only. */
  normal_(mean = 0, std = 1): this {
    ops.normal_(this, mean, std);
    return this;
  }
  /** Draws every element uniformly from [from, to), by the device's generator. Floating point only. */
  uniform_(from = 0, to = 1): this {
    ops.uniform_(this, from, to);
    return this;
  }
}

registerTensorClass((handle: Handle) => new Tensor(handle));

function shapeOf(data: NestedArray): number[] {
  const shape: number[] = [];
  for (
    let level: NestedArray | undefined = data;
    Array.isArray(level);
    level = level[0] as NestedArray | undefined
  ) {
    shape.push(level.length);
  }
  return shape;
}

function flattenInto(
  data: NestedArray,
  shape: readonly number[],
  depth: number,
  out: (number | boolean | bigint)[],
): void {
  if (Array.isArray(data) !== depth < shape.length || (Array.isArray(data) && data.length !== shape[depth])) {
    throw new ArgumentError("tensor: the nested arrays do not form a block (rows of different lengths)");
  }
  if (!Array.isArray(data)) out.push(elementOf(data));
  else for (const item of data as readonly NestedArray[]) flattenInto(item, shape, depth + 1, out);
}

function elementOf(value: unknown): number | boolean | bigint {
  if (typeof value === "number" || typeof value === "boolean" || typeof value === "bigint") return value;
  const found = value instanceof Tensor ? "a tensor (stack joins tensors)" : JSON.stringify(value);
  throw new ArgumentError(
    `tensor: ${found} is no number; it takes numbers, nested arrays of them, or a typed array`,
  );
}

function fromView(view: ArrayBufferView, shape: readonly number[], dtype: DType): Tensor {
  const handle = guarded(() =>
    native().tensorFromBytes(view.buffer as ArrayBuffer, shape, dtype, view.byteOffset, view.byteLength),
  );
  return new Tensor(handle);
}

/** Converts what was just made, and lets go of the steps on the way. */
function place(made: Tensor, options: TensorOptions & { shape?: readonly number[] }): Tensor {
  const { dtype, device, requiresGrad, shape } = options;
  let result = made;
  const become = (next: Tensor): void => {
    result.dispose();
    result = next;
  };
  if (shape !== undefined && shape.join() !== result.shape.join()) become(result.view(shape));
  if (dtype !== undefined && dtype !== result.dtype) become(result.to(dtype));
  // without a wait: what is copied from is pageable, and has been taken when the call returns
  if (device !== undefined && !isHost(device)) become(ops.toDevice(result, device, result.dtype, true));
  if (requiresGrad === true) result.requiresGrad = true;
  return result;
}

/**
 * A tensor of a number, of nested arrays, or of a typed array (with `shape`). Numbers make float32, bigints int64,
 * booleans bool, a typed array its own type; `dtype` converts. The data is copied.
 */
export function tensor(
  data: NestedArray | TypedArray,
  options: TensorOptions & { shape?: readonly number[] } = {},
): Tensor {
  if (ArrayBuffer.isView(data)) {
    const own = dtypeOfArray(data);
    if (own === undefined)
      throw new ArgumentError(`tensor: a ${data.constructor.name} does not say its dtype; use fromBytes`);
    return place(fromView(data, options.shape ?? [data.length], own), options);
  }
  const shape = shapeOf(data);
  const flat: (number | boolean | bigint)[] = [];
  flattenInto(data, shape, 0, flat);
  const first = flat[0];
  if (flat.some((value) => typeof value !== typeof first))
    throw new ArgumentError("tensor: elements of different types");
  const made =
    typeof first === "bigint"
      ? fromView(BigInt64Array.from(flat as bigint[]), shape, "int64")
      : typeof first === "boolean"
        ? fromView(Uint8Array.from(flat, Number), shape, "bool")
        : options.dtype === undefined || options.dtype === "float32"
          ? fromView(Float32Array.from(flat as number[]), shape, "float32")
          : fromView(Float64Array.from(flat as number[]), shape, "float64");
  return place(made, options);
}

/** A tensor over a copy of raw little-endian bytes in C order: the way in for bfloat16 and float16. */
export function fromBytes(
  data: ArrayBuffer | ArrayBufferView,
  shape: readonly number[],
  dtype: DType,
): Tensor {
  return fromView(ArrayBuffer.isView(data) ? data : new Uint8Array(data), shape, dtype);
}
