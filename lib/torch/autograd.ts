// Backward passes and the modes that surround a computation: gradients on or off, autocast.
import type { Device, DType } from "./dtype.js";
import { guarded } from "./errors.js";
import { wrapHandle } from "./lifetime/handle.js";
import { native } from "./native.js";
import type { Tensor } from "./tensor.js";

/** Options of {@link backward} and {@link grad}. */
export interface BackwardOptions {
  /** Keep the graph for another backward pass. Default: `createGraph`. */
  retainGraph?: boolean;
  /** Record the backward pass itself, for higher derivatives. */
  createGraph?: boolean;
}

/**
 * Adds d outputs / d leaf to the `grad` of every leaf that requires one.
 * @param gradients one per output, of its shape; may be absent for outputs of one element.
 */
export function backward(
  outputs: Tensor | readonly Tensor[],
  gradients?: Tensor | readonly (Tensor | undefined)[],
  options: BackwardOptions & { inputs?: readonly Tensor[] } = {},
): void {
  const roots = Array.isArray(outputs) ? (outputs as Tensor[]) : [outputs as Tensor];
  const seeds = gradients === undefined ? undefined : Array.isArray(gradients) ? gradients : [gradients];
  const create = options.createGraph ?? false;
  guarded(() =>
    native().backward(
      roots.map((root) => root._handle),
      seeds?.map((seed: Tensor | undefined) => seed?._handle),
      options.retainGraph ?? create,
      create,
      options.inputs?.map((input) => input._handle),
    ),
  );
}

/**
 * d outputs / d inputs, returned instead of accumulated; undefined for an input that the outputs do not depend on,
 * if `allowUnused`.
 */
export function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: readonly Tensor[],
  gradients?: readonly (Tensor | undefined)[],
  options: BackwardOptions & { allowUnused?: boolean } = {},
): (Tensor | undefined)[] {
  const roots = Array.isArray(outputs) ? (outputs as Tensor[]) : [outputs as Tensor];
  const create = options.createGraph ?? false;
  const results = guarded(() =>
    native().grad(
      roots.map((root) => root._handle),
      inputs.map((input) => input._handle),
      gradients?.map((seed) => seed?._handle),
      options.retainGraph ?? create,
      create,
      options.allowUnused ?? false,
    ),
  );
  return results.map((handle) => (handle === undefined ? undefined : (wrapHandle(handle) as Tensor)));
}

function refuseAsync<T>(result: T, name: string): T {
  if (result instanceof Promise) throw new TypeError(`${name}: the function must not be asynchronous`);
  return result;
}

function withGradMode<T>(enabled: boolean, body: () => T, name: string): T {
  const addon = native();
  const before = addon.setGradEnabled(enabled);
  try {
    return refuseAsync(body(), name);
  } finally {
    addon.setGradEnabled(before);
  }
}

/** Runs `body` without recording for autograd. Synchronous: grad mode belongs to the thread. */
export function noGrad<T>(body: () => T): T {
  return withGradMode(false, body, "noGrad");
}

/** Runs `body` with recording on, also inside {@link noGrad}. */
export function enableGrad<T>(body: () => T): T {
  return withGradMode(true, body, "enableGrad");
}

/** Whether operators are recorded now. */
export function isGradEnabled(): boolean {
  return native().isGradEnabled();
}

let current: DType | undefined;

/** The dtype of the autocast in force on this thread, or undefined. */
export function autocastDType(): DType | undefined {
  return current;
}

/**
 * Runs `body` under libtorch's autocast: matrix products and attention in `dtype`, what needs range in float32, by
 * PyTorch's own lists. With `undefined` for the dtype, just runs it.
 * @param device the device type, `cpu` or `cuda`.
 */
export function autocast<T>(dtype: DType | undefined, body: () => T, device: Device = "cpu"): T {
  if (dtype === undefined) return body();
  const addon = native();
  const type = device.split(":")[0] ?? device;
  const before = guarded(() => addon.enterAutocast(type, dtype));
  const outer = current;
  current = dtype;
  try {
    return refuseAsync(body(), "autocast");
  } finally {
    current = outer;
    addon.leaveAutocast(type, before);
  }
}
