// Root mean square normalisation, in the order of operations that Qwen3 was trained with.

import type { Tensor } from "../torch/index.js";
import { keep, ones, op } from "../torch/index.js";
import type { LayerOptions } from "./linear.js";
import { Module } from "./module.js";

const normalize = op<(x: Tensor, weight: Tensor, eps: number) => Tensor>("qwen_pt::rms_norm");

/**
 * x / sqrt(mean(x^2) + eps) * weight over the last dimension (Zhang and Sennrich 2019, arXiv:1910.07467).
 * Normalised in float32, cast back to x's dtype, and only then multiplied by the weight: in bfloat16 the order
 * shows. A float64 input stays float64 throughout.
 */
export class RMSNorm extends Module {
  /** [width], ones at first; a parameter. */
  weight: Tensor;
  /** What is added to the mean of the squares. */
  readonly eps: number;

  constructor(width: number, eps: number, options: Omit<LayerOptions, "bias"> = {}) {
    super();
    const { dtype = "float32", device = "cpu" } = options;
    this.weight = keep(ones([width], { dtype, device }));
    this.eps = eps;
  }

  /** x [..., width] -> [..., width] */
  forward(x: Tensor): Tensor {
    return normalize(x, this.weight, this.eps);
  }
}
