// Normalisation over the last dimensions: root mean square, in the order of operations that Qwen3 was trained with, and
// PyTorch's layer norm.

import type { Tensor } from "../torch/index.js";
import { keep, ones, op, zeros } from "../torch/index.js";
import type { LayerOptions } from "./linear.js";
import { type Layer, Module } from "./module.js";

const layerNorm =
  op<
    (
      input: Tensor,
      normalizedShape: readonly number[],
      weight: Tensor | undefined,
      bias: Tensor | undefined,
      eps: number,
    ) => Tensor
  >("aten::layer_norm");
const normalize = op<(x: Tensor, weight: Tensor, eps: number) => Tensor>("qwen_pt::rms_norm");

const addAndNormalize =
  op<(x: Tensor, residual: Tensor, weight: Tensor, eps: number) => [Tensor, Tensor]>("qwen_pt::add_rms_norm");

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
    const { dtype = "float32", device = "cpu", requiresGrad = true } = options;
    this.weight = keep(ones([width], { dtype, device, requiresGrad }));
    this.eps = eps;
  }

  /** x [..., width] -> [..., width] */
  forward(x: Tensor): Tensor {
    return normalize(x, this.weight, this.eps);
  }
}

/**
 * The sum of two, and what a norm makes of it: [x + residual, norm(x + residual)], both of their shape. One kernel where a
 * device has it and the layer is an {@link RMSNorm}; the same values and gradients for any other layer.
 */
export function addNormed(norm: Layer, x: Tensor, residual: Tensor): [sum: Tensor, normed: Tensor] {
  if (norm instanceof RMSNorm) return addAndNormalize(x, residual, norm.weight, norm.eps);
  const sum = x.add(residual);
  return [sum, norm.forward(sum)];
}

/** Options of {@link LayerNorm}. */
export interface LayerNormOptions extends LayerOptions {
  /** Added to the variance. Default 1e-5. */
  eps?: number;
  /** Whether there are a weight and a bias. Default true; without, the result is only normalised. */
  elementwiseAffine?: boolean;
}

/**
 * (x - mean) / sqrt(var + eps) * weight + bias over the last dimensions `shape`, the variance divided by n (Ba et al.
 * 2016, arXiv:1607.06450); as `torch.nn.LayerNorm`, whose bias is there by default.
 */
export class LayerNorm extends Module {
  /** Of the last dimensions, ones at first; a parameter. Undefined without `elementwiseAffine`. */
  weight: Tensor | undefined;
  /** Of the last dimensions, zeros at first; a parameter. Undefined without `bias` or `elementwiseAffine`. */
  bias: Tensor | undefined;
  /** Sizes of the last dimensions, over which it normalises. */
  readonly normalizedShape: readonly number[];
  /** What is added to the variance. */
  readonly eps: number;

  constructor(shape: number | readonly number[], options: LayerNormOptions = {}) {
    super();
    const { bias = true, dtype = "float32", device = "cpu", requiresGrad = true } = options;
    const made = { dtype, device, requiresGrad };
    this.normalizedShape = typeof shape === "number" ? [shape] : [...shape];
    this.eps = options.eps ?? 1e-5;
    if (options.elementwiseAffine === false) return;
    this.weight = keep(ones(this.normalizedShape, made));
    if (bias) this.bias = keep(zeros(this.normalizedShape, made));
  }

  /** x [..., shape] -> the same shape */
  forward(x: Tensor): Tensor {
    return layerNorm(x, this.normalizedShape, this.weight, this.bias, this.eps);
  }
}
