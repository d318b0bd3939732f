// The seam between operators and the Tensor class: what an operator needs of a tensor is its native handle, and a
// way to make a tensor of a new one. Keeps operator.ts and tensor.ts from importing each other.
import type { GeneratorHandle, Handle } from "../native.js";

/** What holds a native tensor handle. Use {@link Tensor}. */
export class TensorHandle {
  /** @internal */
  constructor(readonly _handle: Handle) {}
  /** @internal Called where an operator changed the tensor in place: `squeeze_` and `resize_` change its shape too. */
  _forget(): void {}
}

/** A separate random number generator, apart from the devices' default ones. Make one with `createGenerator`. */
export class Generator {
  /** @internal */
  constructor(readonly _handle: GeneratorHandle) {}
}

let make: (handle: Handle) => TensorHandle = (handle) => new TensorHandle(handle);

/** Called once by tensor.ts. */
export function registerTensorClass(factory: (handle: Handle) => TensorHandle): void {
  make = factory;
}

/** Wraps a native handle as a Tensor. */
export function wrapHandle(handle: Handle): TensorHandle {
  return make(handle);
}
