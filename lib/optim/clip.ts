// Gradient clipping by global norm, without a synchronisation with the device.

import type { Tensor } from "../torch/index.js";
import { noGrad, op, stack } from "../torch/index.js";

const foreachNorm = op<(self: Tensor[], ord: number) => Tensor[]>("aten::_foreach_norm.Scalar");
const foreachMul = op<(self: Tensor[], other: Tensor) => void>("aten::_foreach_mul_.Tensor");
const vectorNorm = op<(self: Tensor, ord: number) => Tensor>("aten::linalg_vector_norm");

/** The L2 norm of all gradients together, a 0-dimensional tensor; undefined where no parameter has a gradient. */
export function gradNorm(parameters: Iterable<Tensor>): Tensor | undefined {
  const gradients = gradientsOf(parameters);
  return gradients.length === 0 ? undefined : noGrad(() => normOf(gradients));
}

/**
 * Scales gradients in place so that their global L2 norm is at most `maxNorm`, by torch's formula
 * (factor min(1, maxNorm / (norm + 1e-6))). Gives the norm from before. A norm that is not finite
 * leaves gradients that are not finite either: look at it before the optimizer does.
 */
export function clipGradNorm(parameters: Iterable<Tensor>, maxNorm: number): Tensor | undefined {
  const gradients = gradientsOf(parameters);
  if (gradients.length === 0) return undefined;
  return noGrad(() => {
    const norm = normOf(gradients);
    foreachMul(gradients, norm.add(1e-6).reciprocal().mul(maxNorm).clamp(undefined, 1));
    return norm;
  });
}

function gradientsOf(parameters: Iterable<Tensor>): Tensor[] {
  const gradients: Tensor[] = [];
  for (const parameter of parameters) {
    const gradient = parameter.grad;
    if (gradient !== undefined) gradients.push(gradient);
  }
  return gradients;
}

function normOf(gradients: Tensor[]): Tensor {
  return vectorNorm(stack(foreachNorm(gradients, 2), 0), 2);
}
