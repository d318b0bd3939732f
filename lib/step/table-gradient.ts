// Gradients that are added to a large table where they are known, without a second table in between: rows of an
// embedding, and the head's weight (loss.ts).

import type { EmbeddingTable } from "../models/causal-model.js";
import { indexAdd_, noGrad, scope, type Tensor, tensor, zeros, zerosLike } from "../torch/index.js";

/** The gradient of a trained leaf; zeros where it has none yet. */
export function gradientOf(weight: Tensor): Tensor {
  const known = weight.grad;
  if (known !== undefined) return known;
  weight.grad = scope(() => noGrad(() => zerosLike(weight.detach())));
  return weight.grad as Tensor;
}

/**
 * Adds the gradients of looked-up rows to the table's: rows [batch, seq, d] for as many ids. The padding row gets none,
 * as in `torch.nn.Embedding`. Rows of one id are summed first, and their sum is added once: the order of autograd.
 */
export function addRowGradients({ weight, paddingIdx }: EmbeddingTable, ids: Int32Array, rows: Tensor): void {
  const places = new Map<number, number>(); // of each id that is looked up, in the sums
  const into = Array.from(ids, (id) => {
    const known = places.get(id);
    if (known === undefined) places.set(id, places.size);
    return known ?? places.size - 1;
  });
  scope(() =>
    noGrad(() => {
      const { dtype, device } = weight;
      const indices = (of: Iterable<number>): Tensor =>
        tensor(Int32Array.from(of), { dtype: "int64", device });
      const sums = zeros([places.size, weight.size(1)], { dtype, device });
      indexAdd_(sums, 0, indices(into), rows.flatten(0, 1).to(dtype));
      const padding = places.get(paddingIdx);
      if (padding !== undefined) sums.narrow(0, padding, 1).zero_();
      indexAdd_(gradientOf(weight), 0, indices(places.keys()), sums);
    }),
  );
}
