// A linear layer that multiplies in integers of 8 bits, forward and for its input's gradient: the weight's with a unit a
// row, x's and the gradient's rounded token by token as they come (native/products/integer/int8_product.h). Faster than 16 bits
// and less exact: docs/quantization.md has how much. A few rows of x, as in generating, meet the integers' values instead.

import type { Tensor } from "../../torch/index.js";
import { call, op } from "../../torch/index.js";
import type { LayerOptions } from "../linear.js";
import { EightBitLinear } from "./eight-bit-linear.js";

/** How weights are quantized. */
export interface IntegerFormat {
  /** Integers that are multiplied as such. */
  readonly type: "int8 products";
}

const quantizeInt8 = op<(numbers: Tensor) => [Tensor, Tensor, Tensor, Tensor]>("qwen_pt::quantize_int8");

/** Whether this processor has the instructions: AVX2's. */
export function hasInt8Products(): boolean {
  return call("qwen_pt::has_int8_products") as boolean;
}

/**
 * y = x W^T + b, W [outFeatures, inFeatures] in integers of 8 bits. `quantize` throws a NativeError on a processor without
 * AVX2.
 */
export class IntegerLinear extends EightBitLinear {
  /** The value of one unit of each row, float32 [outFeatures]. */
  declare scales: Tensor;
  /** Sums of each row's integers, int32 [outFeatures]. */
  declare row_sums: Tensor;
  /** Sums of each column's integers, int32 [inFeatures]. */
  declare column_sums: Tensor;

  /** A layer without values; on `meta` unless told otherwise. {@link IntegerLinear.quantize} fills it. */
  constructor(inFeatures: number, outFeatures: number, options: LayerOptions = {}) {
    super(
      inFeatures,
      outFeatures,
      {
        weight: ["int8", [outFeatures, inFeatures]],
        scales: ["float32", [outFeatures]],
        row_sums: ["int32", [outFeatures]],
        column_sums: ["int32", [inFeatures]],
      },
      options,
    );
  }

  protected quantized(values: Tensor): Record<string, Tensor> {
    const [weight, scales, row_sums, column_sums] = quantizeInt8(values);
    return { weight, scales, row_sums, column_sums };
  }

  protected state(): readonly Tensor[] {
    return [this.scales, this.row_sums, this.column_sums];
  }
}
