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
import { registerTensorClass, TensorHandle } from "./handle.js";
import { type Handle, native } from "./native.js";
import type { Operand } from "./operator.js";
import * as ops from "./ops.js";
import { formatTensor } from "./print.js";
import { scope } from "./scope.js";

/** Where and as what to make a tensor. */
export interface TensorOptions {
  dtype?: DType;
  device?: Device;
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
  get dtype(): DType {
    this._dtype ??= guarded(() => native().tensorDtype(this._handle)) as DType;
    return this._dtype;
  }
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
  get requiresGrad(): boolean {
    return guarded(() => native().tensorRequiresGrad(this._handle));
  }
  set requiresGrad(value: boolean) {
    guarded(() => native().tensorSetRequiresGrad(this._handle, value));
  }
  requiresGrad_(value = true): this {
    this.requiresGrad = value;
    return this;
  }
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
  detach(): Tensor {
    return ops.detach(this);
  }

  // ---- lifetime
  /** Drops this reference. What autograd or other tensors need stays. Later use throws; a second call does nothing. */
  dispose(): void {
    native().tensorDispose(this._handle);
  }
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
  override toString(): string {
    return formatTensor(this);
  }
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return formatTensor(this);
  }

  // ---- arithmetic
  add(other: Operand, options?: { alpha?: number }): Tensor {
    return options === undefined ? ops.add(this, other) : ops.add(this, other, options);
  }
  sub(other: Operand, options?: { alpha?: number }): Tensor {
    return options === undefined ? ops.sub(this, other) : ops.sub(this, other, options);
  }
  mul(other: Operand): Tensor {
    return ops.mul(this, other);
  }
  div(other: Operand, options?: { roundingMode?: "floor" | "trunc" }): Tensor {
    return options === undefined ? ops.div(this, other) : ops.divMode(this, other, options);
  }
  remainder(other: Operand): Tensor {
    return ops.remainder(this, other);
  }
  pow(exponent: Operand): Tensor {
    return typeof exponent === "number" ? ops.powScalar(this, exponent) : ops.pow(this, exponent);
  }
  maximum(other: Tensor): Tensor {
    return ops.maximum(this, other);
  }
  minimum(other: Tensor): Tensor {
    return ops.minimum(this, other);
  }
  clamp(min?: number, max?: number): Tensor {
    return ops.clamp(this, min, max);
  }
  neg(): Tensor {
    return ops.neg(this);
  }
  abs(): Tensor {
    return ops.abs(this);
  }
  exp(): Tensor {
    return ops.exp(this);
  }
  log(): Tensor {
    return ops.log(this);
  }
  sqrt(): Tensor {
    return ops.sqrt(this);
  }
  rsqrt(): Tensor {
    return ops.rsqrt(this);
  }
  square(): Tensor {
    return ops.square(this);
  }
  reciprocal(): Tensor {
    return ops.reciprocal(this);
  }
  sin(): Tensor {
    return ops.sin(this);
  }
  cos(): Tensor {
    return ops.cos(this);
  }
  tanh(): Tensor {
    return ops.tanh(this);
  }
  sigmoid(): Tensor {
    return ops.sigmoid(this);
  }
  relu(): Tensor {
    return ops.relu(this);
  }
  silu(): Tensor {
    return ops.silu(this);
  }
  floor(): Tensor {
    return ops.floor(this);
  }
  ceil(): Tensor {
    return ops.ceil(this);
  }
  round(): Tensor {
    return ops.round(this);
  }
  sign(): Tensor {
    return ops.sign(this);
  }
  isfinite(): Tensor {
    return ops.isfinite(this);
  }
  isnan(): Tensor {
    return ops.isnan(this);
  }

  // ---- comparison
  eq(other: Operand): Tensor {
    return ops.eq(this, other);
  }
  ne(other: Operand): Tensor {
    return ops.ne(this, other);
  }
  lt(other: Operand): Tensor {
    return ops.lt(this, other);
  }
  le(other: Operand): Tensor {
    return ops.le(this, other);
  }
  gt(other: Operand): Tensor {
    return ops.gt(this, other);
  }
  ge(other: Operand): Tensor {
    return ops.ge(this, other);
  }
  logicalNot(): Tensor {
    return ops.logicalNot(this);
  }
  logicalAnd(other: Tensor): Tensor {
    return ops.logicalAnd(this, other);
  }
  logicalOr(other: Tensor): Tensor {
    return ops.logicalOr(this, other);
  }
  maskedFill(mask: Tensor, value: number): Tensor {
    return ops.maskedFill(this, mask, value);
  }
  /** Whether shape and every element are equal. Of dtypes, PyTorch asks only that they compare: 1 equals 1.0. */
  equal(other: Tensor): boolean {
    return ops.equal(this, other);
  }
  allclose(other: Tensor, options: { rtol?: number; atol?: number; equalNan?: boolean } = {}): boolean {
    return ops.allclose(this, other, options.rtol, options.atol, options.equalNan);
  }

  // ---- reductions: over all elements, or over dimensions
  sum(dim?: Dims, options: { keepdim?: boolean; dtype?: DType } = {}): Tensor {
    const { keepdim, dtype } = options;
    return dim === undefined ? ops.sumAll(this, { dtype }) : ops.sum(this, dim, keepdim ?? false, { dtype });
  }
  mean(dim?: Dims, options: { keepdim?: boolean; dtype?: DType } = {}): Tensor {
    const { keepdim, dtype } = options;
    return dim === undefined
      ? ops.meanAll(this, { dtype })
      : ops.mean(this, dim, keepdim ?? false, { dtype });
  }
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
  amax(dim?: Dims, keepdim?: boolean): Tensor {
    return ops.amax(this, dim, keepdim);
  }
  amin(dim?: Dims, keepdim?: boolean): Tensor {
    return ops.amin(this, dim, keepdim);
  }
  argmax(dim?: number, keepdim?: boolean): Tensor {
    return ops.argmax(this, dim, keepdim);
  }
  argmin(dim?: number, keepdim?: boolean): Tensor {
    return ops.argmin(this, dim, keepdim);
  }
  var(dim?: Dims, options: { correction?: number; keepdim?: boolean } = {}): Tensor {
    return ops.varDim(this, dim, options);
  }
  all(): Tensor {
    return ops.allAll(this);
  }
  any(): Tensor {
    return ops.anyAll(this);
  }
  cumsum(dim: number): Tensor {
    return ops.cumsum(this, dim);
  }
  logsumexp(dim: Dims, keepdim?: boolean): Tensor {
    return ops.logsumexp(this, dim, keepdim);
  }
  /** The p-norm (default the Euclidean one). */
  norm(ord = 2, dim?: Dims, keepdim?: boolean): Tensor {
    return ops.vectorNorm(this, ord, dim, keepdim);
  }
  topk(k: number, dim?: number): [Tensor, Tensor] {
    return ops.topk(this, k, dim);
  }
  sort(dim?: number, descending?: boolean): [Tensor, Tensor] {
    return ops.sort(this, dim, descending);
  }
  argsort(dim?: number, descending?: boolean): Tensor {
    return ops.argsort(this, dim, descending);
  }
  softmax(dim: number, options: { dtype?: DType } = {}): Tensor {
    return ops.softmax(this, dim, options.dtype);
  }
  logSoftmax(dim: number, options: { dtype?: DType } = {}): Tensor {
    return ops.logSoftmax(this, dim, options.dtype);
  }

  // ---- matrix products
  matmul(other: Tensor): Tensor {
    return ops.matmul(this, other);
  }
  mm(other: Tensor): Tensor {
    return ops.mm(this, other);
  }
  bmm(other: Tensor): Tensor {
    return ops.bmm(this, other);
  }
  dot(other: Tensor): Tensor {
    return ops.dot(this, other);
  }

  // ---- shape
  view(shape: readonly number[]): Tensor {
    return ops.view(this, shape);
  }
  reshape(shape: readonly number[]): Tensor {
    return ops.reshape(this, shape);
  }
  permute(dims: readonly number[]): Tensor {
    return ops.permute(this, dims);
  }
  transpose(dim0: number, dim1: number): Tensor {
    return ops.transpose(this, dim0, dim1);
  }
  t(): Tensor {
    return ops.t(this);
  }
  expand(shape: readonly number[]): Tensor {
    return ops.expand(this, shape);
  }
  squeeze(dim?: number): Tensor {
    return dim === undefined ? ops.squeezeAll(this) : ops.squeeze(this, dim);
  }
  unsqueeze(dim: number): Tensor {
    return ops.unsqueeze(this, dim);
  }
  flatten(startDim?: number, endDim?: number): Tensor {
    return ops.flatten(this, startDim, endDim);
  }
  unflatten(dim: number, sizes: readonly number[]): Tensor {
    return ops.unflatten(this, dim, sizes);
  }
  repeat(repeats: readonly number[]): Tensor {
    return ops.repeat(this, repeats);
  }
  repeatInterleave(repeats: number, dim?: number): Tensor {
    return ops.repeatInterleave(this, repeats, dim);
  }
  split(size: number | readonly number[], dim?: number): Tensor[] {
    return typeof size === "number" ? ops.split(this, size, dim) : ops.splitSizes(this, size, dim);
  }
  chunk(chunks: number, dim?: number): Tensor[] {
    return ops.chunk(this, chunks, dim);
  }
  unbind(dim?: number): Tensor[] {
    return ops.unbind(this, dim);
  }
  flip(dims: readonly number[]): Tensor {
    return ops.flip(this, dims);
  }
  tril(diagonal?: number): Tensor {
    return ops.tril(this, diagonal);
  }
  triu(diagonal?: number): Tensor {
    return ops.triu(this, diagonal);
  }
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
  select(dim: number, index: number): Tensor {
    return ops.select(this, dim, index);
  }
  slice(dim: number, start?: number, end?: number, step?: number): Tensor {
    return ops.slice(this, dim, start, end, step);
  }
  narrow(dim: number, start: number, length: number): Tensor {
    return ops.narrow(this, dim, start, length);
  }
  indexSelect(dim: number, index: Tensor): Tensor {
    return ops.indexSelect(this, dim, index);
  }
  gather(dim: number, index: Tensor): Tensor {
    return ops.gather(this, dim, index);
  }
  index(indices: readonly (Tensor | null)[]): Tensor {
    return ops.index(this, indices);
  }
  scatter(dim: number, index: Tensor, source: Tensor): Tensor {
    return ops.scatter(this, dim, index, source);
  }
  maskedSelect(mask: Tensor): Tensor {
    return ops.maskedSelect(this, mask);
  }
  nonzero(): Tensor {
    return ops.nonzero(this);
  }

  // ---- copies and conversions
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
  float(): Tensor {
    return ops.toDType(this, "float32");
  }
  double(): Tensor {
    return ops.toDType(this, "float64");
  }
  bfloat16(): Tensor {
    return ops.toDType(this, "bfloat16");
  }
  half(): Tensor {
    return ops.toDType(this, "float16");
  }
  long(): Tensor {
    return ops.toDType(this, "int64");
  }
  cpu(): Tensor {
    return this.to({ device: "cpu" });
  }
  cuda(index?: number): Tensor {
    return this.to({ device: index === undefined ? "cuda" : `cuda:${index}` });
  }

  // ---- in place
  add_(other: Operand, options?: { alpha?: number }): this {
    if (options === undefined) ops.add_(this, other);
    else ops.add_(this, other, options);
    return this;
  }
  sub_(other: Operand): this {
    ops.sub_(this, other);
    return this;
  }
  mul_(other: Operand): this {
    ops.mul_(this, other);
    return this;
  }
  div_(other: Operand): this {
    ops.div_(this, other);
    return this;
  }
  clamp_(min?: number, max?: number): this {
    ops.clamp_(this, min, max);
    return this;
  }
  copy_(source: Tensor): this {
    ops.copy_(this, source);
    return this;
  }
  zero_(): this {
    ops.zero_(this);
    return this;
  }
  fill_(value: number): this {
    ops.fill_(this, value);
    return this;
  }
  maskedFill_(mask: Tensor, value: number): this {
    ops.maskedFill_(this, mask, value);
    return this;
  }
  normal_(mean = 0, std = 1): this {
    ops.normal_(this, mean, std);
    return this;
  }
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
  if (!Array.isArray(data)) out.push(data as number | boolean | bigint);
  else for (const item of data as readonly NestedArray[]) flattenInto(item, shape, depth + 1, out);
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
  if (device !== undefined && !isHost(device)) become(result.to({ device }));
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
