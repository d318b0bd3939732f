// A frozen linear layer in 8-bit floats: the weight's rounded once, x and the gradient of the result as they come, each
// matrix with one unit (native/products/coded/float8.h). What an adapter is trained beside where a card multiplies such
// numbers itself. A layer that trains: float8-linear.ts.

import type { Tensor } from "../../torch/index.js";
import { op } from "../../torch/index.js";
import type { LayerOptions } from "../linear.js";
import { EightBitLinear } from "./eight-bit-linear.js";

/** How weights are quantized. */
export interface Float8Format {
  /** 8-bit floats that are multiplied as such. */
  readonly type: "fp8 products";
}

const quantizeFloat8 = op<(numbers: Tensor) => [Tensor, Tensor]>("qwen_pt::quantize_float8");

/** y = x W^T + b, W [outFeatures, inFeatures] in 8-bit floats; both sides are multiples of 16. */
export class FrozenFloat8Linear extends EightBitLinear {
  /** What a code (a byte of e4m3) of 1 stands for, a power of two: float32 []. */
  declare unit: Tensor;

  /** A layer without values; on `meta` unless told otherwise. {@link FrozenFloat8Linear.quantize} fills it. */
  constructor(inFeatures: number, outFeatures: number, options: LayerOptions = {}) {
    super(
      inFeatures,
      outFeatures,
      { weight: ["uint8", [outFeatures, inFeatures]], unit: ["float32", []] },
      options,
    );
  }

  protected quantized(values: Tensor): Record<string, Tensor> {
    const [weight, unit] = quantizeFloat8(values);
    return { weight, unit };
  }

  protected state(): readonly Tensor[] {
    return [this.unit];
  }
}
