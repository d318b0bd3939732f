// A linear layer that keeps its weight as it is and multiplies in 8-bit floats, forward and in both gradients
// (native/kernels/linear/linear_float8.cc). A layer that is not trained: frozen-float8.ts.

import type { Tensor } from "../../torch/index.js";
import { op } from "../../torch/index.js";
import { Linear } from "../linear.js";
import { recallable } from "../recall.js";

const product =
  op<(x: Tensor, weight: Tensor, given: Tensor | undefined) => Tensor>("qwen_pt::linear_float8");

/** What both sides of a weight of 8-bit floats are multiples of. */
const MULTIPLE = 16;

/** Compute capability, times ten, of the first cards whose tensor cores take 8-bit floats: Ada Lovelace's. */
export const FLOAT8_CAPABILITY = 89;

/** Whether a layer of these sizes can be multiplied in 8-bit floats. */
export function suitsFloat8(inFeatures: number, outFeatures: number): boolean {
  return inFeatures % MULTIPLE === 0 && outFeatures % MULTIPLE === 0;
}

/** {@link Linear} with products in 8-bit floats: x and W as e4m3, the result's gradient as e5m2. */
export class Float8Linear extends Linear {
  /** The layer in a plain one's place, with its parameters. */
  static of(layer: Linear): Float8Linear {
    const made = new Float8Linear(layer.inFeatures, layer.outFeatures, { device: "meta" });
    made.weight.dispose();
    made.weight = layer.weight;
    if (layer.bias !== undefined) made.bias = layer.bias;
    return made;
  }

  /** x [..., inFeatures] -> [..., outFeatures], in x's dtype or autocast's */
  override forward(x: Tensor): Tensor {
    const plain = (): Tensor => product(x, this.weight, undefined);
    const out = recallable(
      plain,
      () => [plain()],
      ([given]) => product(x, this.weight, given),
    );
    return this.bias === undefined ? out : out.add(this.bias.to(out.dtype));
  }

  /** The same without the bias. */
  override product(x: Tensor): Tensor {
    return product(x, this.weight, undefined);
  }
}
