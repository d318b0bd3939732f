// Rotary position embedding: inverse frequencies for every type that Qwen3 configurations name, cos and sin.
// Formulas as transformers 5.6 has them, in the same floating point operations, so that results agree bit for bit.

import type { Layer, SharedRows } from "../../nn/index.js";
import { RMSNorm } from "../../nn/index.js";
import type { Device, DType, Tensor } from "../../torch/index.js";
import { arange, cat, full, keep, noGrad, op, ops, scope, where } from "../../torch/index.js";
import type { RopeConfig } from "./rope-config.js";

/** cos and sin, each [batch or 1, 1, seq, headDim], in the dtype of the hidden states. */
export interface Rope {
  /** Cosines of position times inverse frequency, both halves of the head alike. */
  cos: Tensor;
  /** Sines of the same. */
  sin: Tensor;
  /** Packed documents, masked from each other: where each begins, then the number of tokens, int32. */
  documents?: Tensor;
  /** No document has more tokens. */
  longest?: number;
  /** Other processes have the rest of every row. */
  shared?: SharedRows;
}

/** The frequencies of a rotary embedding, and its factor. */
export interface InverseFrequencies {
  /** [headDim / 2], on the CPU. */
  inverse: Tensor;
  /** What cos and sin are multiplied by (yarn). */
  attentionFactor: number;
}

type Wide = "float32" | "float64";
interface Shape {
  rope: RopeConfig;
  head_dim: number;
  max_position_embeddings: number;
}

const powScalar = op<(self: number, exponent: Tensor) => Tensor>("aten::pow.Scalar");
const fused =
  op<(x: Tensor, weight: Tensor, cos: Tensor, sin: Tensor, eps: number) => Tensor>("qwen_pt::norm_rope");
const powTensor = op<(self: Tensor, exponent: Tensor) => Tensor>("aten::pow.Tensor_Tensor");

/**
 * Inverse frequencies [headDim / 2] of `config.rope`, on the CPU.
 * `length` matters to type `dynamic` alone, and only past `max_position_embeddings`.
 */
export function inverseFrequencies(
  config: Shape,
  length: number,
  dtype: Wide = "float32",
): InverseFrequencies {
  const { rope, head_dim } = config;
  const exponents = arange(0, head_dim, 2, { dtype: "int64" }).to(dtype).div(head_dim);
  const plain = (): Tensor => powScalar(rope.rope_theta, exponents).reciprocal();
  switch (rope.rope_type) {
    case "default":
      return { inverse: plain(), attentionFactor: 1 };
    case "linear":
      return { inverse: plain().div(rope.factor as number), attentionFactor: 1 };
    case "dynamic":
      return { inverse: dynamic(config, exponents, length, dtype), attentionFactor: 1 };
    case "yarn":
      return { inverse: yarn(config, exponents, dtype), attentionFactor: yarnAttentionFactor(rope) };
    case "llama3":
      return { inverse: llama3(rope, plain()), attentionFactor: 1 };
  }
}

/** NTK-aware scaling: the base grows with the sequence, once it is longer than the model was made for. */
function dynamic(config: Shape, exponents: Tensor, length: number, dtype: Wide): Tensor {
  const { rope, head_dim, max_position_embeddings: limit } = config;
  if (length <= limit) return powScalar(rope.rope_theta, exponents).reciprocal();
  const factor = rope.factor as number;
  // 0-dimensional tensors, not numbers: transformers computes the base in the tensor's precision
  const growth = full([], length, { dtype })
    .mul(factor)
    .div(limit)
    .sub(factor - 1);
  const base = growth.pow(head_dim / (head_dim - 2)).mul(rope.rope_theta);
  return powTensor(base, exponents).reciprocal();
}

/** Peng et al. 2023 (arXiv:2309.00071), NTK by parts: fast pairs are extrapolated, slow ones interpolated. */
function yarn(config: Shape, exponents: Tensor, dtype: Wide): Tensor {
  const { rope, head_dim: dim } = config;
  const original = rope.original_max_position_embeddings as number;
  const pairOf = (rotations: number): number =>
    (dim * Math.log(original / (rotations * 2 * Math.PI))) / (2 * Math.log(rope.rope_theta));
  let low = pairOf(rope.beta_fast || 32);
  let high = pairOf(rope.beta_slow || 1);
  if (rope.truncate !== false) {
    low = Math.floor(low);
    high = Math.ceil(high);
  }
  low = Math.max(low, 0);
  high = Math.min(high, dim - 1);
  if (low === high) high += 0.001;
  const ramp = arange(0, dim / 2, 1, { dtype })
    .sub(low)
    .div(high - low)
    .clamp(0, 1);
  const extrapolated = ramp.neg().add(1);
  const wavelengths = powScalar(rope.rope_theta, exponents);
  return wavelengths
    .mul(rope.factor as number)
    .reciprocal()
    .mul(extrapolated.neg().add(1))
    .add(wavelengths.reciprocal().mul(extrapolated));
}

function yarnAttentionFactor(rope: RopeConfig): number {
  if (rope.attention_factor !== undefined) return rope.attention_factor;
  const scale = rope.factor as number;
  const at = (mscale: number): number => (scale <= 1 ? 1 : 0.1 * mscale * Math.log(scale) + 1);
  return rope.mscale && rope.mscale_all_dim ? at(rope.mscale) / at(rope.mscale_all_dim) : at(1);
}

/** Llama 3.1's scaling by wavelength: long waves divided by the factor, short ones kept, a ramp in between. */
function llama3(rope: RopeConfig, inverse: Tensor): Tensor {
  const factor = rope.factor as number;
  const low = rope.low_freq_factor as number;
  const high = rope.high_freq_factor as number;
  const original = rope.original_max_position_embeddings as number;
  const wavelength = inverse.reciprocal().mul(2 * Math.PI);
  const isLong = wavelength.gt(original / low);
  const isShort = wavelength.lt(original / high);
  const scaled = where(isLong, inverse.div(factor), inverse);
  const smooth = wavelength
    .reciprocal()
    .mul(original)
    .sub(low)
    .div(high - low);
  const smoothed = smooth.neg().add(1).mul(scaled).div(factor).add(smooth.mul(scaled));
  return where(isLong.logicalOr(isShort), scaled, smoothed);
}

/** Makes cos and sin for positions; keeps those of the last plain range, which a training run asks for each step. */
export class RotaryEmbedding {
  private last: { key: string; rope: Rope } | undefined;

  constructor(private readonly config: Shape) {}

  /** For positions start .. start + length - 1: cos, sin [1, 1, length, headDim]. Kept until another range is asked for. */
  range(start: number, length: number, dtype: DType, device: Device): Rope {
    const key = [start, length, dtype, device].join();
    if (this.last?.key === key) return this.last.rope;
    const rope = scope(() => {
      const positions = arange(start, start + length, 1, { dtype: "int64" }).unsqueeze(0);
      return this.make(positions, start + length, dtype, device);
    });
    this.last?.rope.cos.dispose();
    this.last?.rope.sin.dispose();
    this.last = { key, rope: { cos: keep(rope.cos), sin: keep(rope.sin) } };
    return this.last.rope;
  }

  /** For any positions [batch, seq] (int64): cos, sin [batch, 1, seq, headDim]. `length` is 1 + the largest. */
  at(positions: Tensor, length: number, dtype: DType, device: Device): Rope {
    return this.make(positions, length, dtype, device);
  }

  private make(positions: Tensor, length: number, dtype: DType, device: Device): Rope {
    const wide: Wide = dtype === "float64" ? "float64" : "float32";
    return noGrad(() => {
      const { inverse, attentionFactor } = inverseFrequencies(this.config, length, wide);
      const there = ops.toDevice(inverse, device, wide, true); // nobody waits for it
      const half = positions.to({ device }).unsqueeze(-1).to(wide).mul(there); // [batch, seq, headDim / 2]
      const angles = cat([half, half], -1).unsqueeze(1);
      return {
        cos: angles.cos().mul(attentionFactor).to(dtype),
        sin: angles.sin().mul(attentionFactor).to(dtype),
      };
    });
  }
}

/** x [batch, seq, heads, headDim], each pair (i, i + headDim / 2) turned by its angle. */
export function applyRope(x: Tensor, rope: Rope): Tensor {
  const half = x.size(3) / 2;
  const turned = cat([x.narrow(3, half, half).neg(), x.narrow(3, 0, half)], -1);
  return x.mul(rope.cos.transpose(1, 2)).add(turned.mul(rope.sin.transpose(1, 2)));
}

/** A query's or key's norm and its rotation, [batch, seq, heads, headDim]: in one operator where the norm is plain. */
export function normRope(norm: Layer, x: Tensor, rope: Rope): Tensor {
  if (norm instanceof RMSNorm) return fused(x, norm.weight, rope.cos, rope.sin, norm.eps);
  return applyRope(norm.forward(x), rope);
}
