// A module trained whole beside an adapter: PEFT's modules_to_save, LLaMA-Factory's additional_target.

import type { Layer } from "../nn/index.js";
import { Module } from "../nn/index.js";
import type { DType } from "../torch/index.js";
import { noGrad, scope, Tensor } from "../torch/index.js";

/**
 * Works with a trained copy and leaves the original frozen. The original stays because others may hold its tensors:
 * the head of a tied model goes on using the embedding that it had.
 */
export class SavedModule extends Module {
  /** The frozen original. */
  original_module: Layer;
  /** The copy that is trained. */
  modules_to_save: Layer;
  /** Without it the original computes. */
  enabled = true;

  /** @param dtype of the copy; undefined for the original's */
  constructor(original: Layer, dtype: DType | undefined) {
    super();
    this.original_module = original;
    this.modules_to_save = copyModule(original, dtype);
    original.requiresGrad_(false);
    this.modules_to_save.requiresGrad_();
  }

  /** The weight of the one that computes, where it has one. */
  get weight(): Tensor | undefined {
    return (this.#computing as Layer & { weight?: Tensor }).weight;
  }

  get #computing(): Layer {
    return this.enabled ? this.modules_to_save : this.original_module;
  }

  /** What the computing one makes of x. */
  forward(x: Tensor): Tensor {
    return this.#computing.forward(x);
  }

  /** The trained copy, in the original's dtype. */
  merge(): Layer {
    const dtypes = this.original_module.parameters().map((parameter) => parameter.dtype);
    return dtypes[0] === undefined ? this.modules_to_save : this.modules_to_save.to({ dtype: dtypes[0] });
  }
}

/** A deep copy: own tensors, of the given dtype where there is one, everything else shared. float64 stays float64. */
function copyModule<T extends Module>(module: T, dtype: DType | undefined): T {
  const copy = Object.create(Object.getPrototypeOf(module)) as Record<string, unknown>;
  const copied = (value: unknown): unknown => {
    if (value instanceof Module) return copyModule(value, dtype);
    if (value instanceof Tensor) return scope(() => noGrad(() => value.detach().clone()));
    return Array.isArray(value) ? value.map(copied) : value;
  };
  for (const [field, value] of Object.entries(module)) copy[field] = copied(value);
  const result = copy as unknown as T;
  if (dtype !== undefined)
    result.mapParameters((parameter) => (parameter.dtype === "float64" ? parameter : parameter.to(dtype)));
  return result;
}
