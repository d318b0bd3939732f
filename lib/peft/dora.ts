// DoRA (Liu et al. 2024, arXiv:2402.09353) on a LoRA layer: the adapted weight's rows keep a learned length.
// It computes with a layer's parts; for the layer itself see lora.ts.
import type { Linear, Projection } from "../nn/index.js";
import type { Tensor } from "../torch/index.js";
import { dropout, noGrad, op, scope } from "../torch/index.js";

const rowNorm = op<(self: Tensor, ord: number, dim: readonly number[]) => Tensor>("aten::linalg_vector_norm");

/** What DoRA needs of a LoRA layer. */
interface LoraParts {
  readonly base_layer: Projection;
  readonly lora_A: Linear;
  readonly lora_B: Linear;
  readonly scaling: number;
  readonly dropout: number;
  readonly training: boolean;
}

/** The lengths of an adapted weight's rows [out]: what the magnitudes are before training. */
export function firstMagnitude(weight: Tensor): Tensor {
  return rowNorm(weight, 2, [1]);
}

/**
 * The adapted layer's result, before it is cast to the base layer's dtype:
 * magnitude / |W + s B A| * (W x + s B A x). The norm counts as a constant (section 4.3 of the paper).
 * @param out the base layer's result [..., out]
 */
export function doraForward(layer: LoraParts, magnitude: Tensor, x: Tensor, out: Tensor): Tensor {
  const { base_layer, lora_A, lora_B, scaling } = layer;
  const wide = x.to(lora_A.weight.dtype);
  const drops = layer.training && layer.dropout > 0;
  const input = drops ? dropout(wide, layer.dropout, true) : wide;
  const norm = scope(() =>
    noGrad(() => {
      const product = lora_B.forward(lora_A.weight.detach().t()).t(); // [out, in]
      return rowNorm(base_layer.values().to(wide.dtype).add(product.mul(scaling)), 2, [1]);
    }),
  );
  const scale = magnitude.div(norm).view([1, -1]);
  const update = lora_B.forward(lora_A.forward(input));
  // with dropout the whole product sees the dropped input; without it the base layer's result serves
  let base = out;
  if (drops) base = base_layer.product(input);
  else if (base_layer.bias !== undefined) base = out.sub(base_layer.bias);
  return out.add(scale.sub(1).mul(base).add(scale.mul(update).mul(scaling)));
}

/** The merged weight [out, in], in the wider dtype of base and adapter. */
export function doraMerged(weight: Tensor, delta: Tensor, magnitude: Tensor): Tensor {
  const adapted = weight.add(delta);
  return magnitude
    .div(rowNorm(adapted, 2, [1]))
    .view([-1, 1])
    .mul(adapted);
}
