// Initial draws from torch's global generator of the tensor's device, value for value those of torch.nn.init.

import type { Tensor } from "../torch/index.js";
import { noGrad } from "../torch/index.js";

/** N(mean, std^2) in place. */
export function normal_(tensor: Tensor, mean = 0, std = 1): Tensor {
  return noGrad(() => tensor.normal_(mean, std));
}

/** U(low, high) in place. */
export function uniform_(tensor: Tensor, low = 0, high = 1): Tensor {
  return noGrad(() => tensor.uniform_(low, high));
}

/**
 * He et al. 2015 (arXiv:1502.01852) for a weight [out, in] before a leaky ReLU of slope `a`:
 * U(-b, b), b = sqrt(3) * sqrt(2 / (1 + a^2)) / sqrt(in).
 */
export function kaimingUniform_(weight: Tensor, a: number): Tensor {
  const fanIn = weight.shape[1] as number;
  const std = Math.sqrt(2 / (1 + a * a)) / Math.sqrt(fanIn);
  const bound = Math.sqrt(3) * std;
  return uniform_(weight, -bound, bound);
}

/**
 * Zeroes row `row` of a table [rows, width] in place, outside autograd; gives the table back. Throws beyond
 * the ends.
 */
export function zeroRow_(table: Tensor, row: number): Tensor {
  noGrad(() => table.select(0, row).zero_());
  return table;
}
