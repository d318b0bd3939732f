// Gradients that are added to a large table where they are known, without a table of their own in between: rows of an
// embedding, and the head's weight (loss.ts).
import { indexAdd_, noGrad, scope, type Tensor, zerosLike } from "../torch/index.js";
import type { EmbeddingTable } from "./model.js";

/** The gradient of a trained leaf; zeros where it has none yet. */
export function gradientOf(weight: Tensor): Tensor {
  const known = weight.grad;
  if (known !== undefined) return known;
  weight.grad = scope(() => noGrad(() => zerosLike(weight.detach())));
  return weight.grad as Tensor;
}

/**
 * Adds the gradients of looked-up rows to the table's: rows [batch, seq, d] for ids [batch, seq]. The padding row gets
 * none, as in `torch.nn.Embedding`.
 */
export function addRowGradients({ weight, paddingIdx }: EmbeddingTable, ids: Tensor, rows: Tensor): void {
  scope(() =>
    noGrad(() => {
      const places = ids.flatten(0, 1);
      const flat = rows.flatten(0, 1).to(weight.dtype);
      const counted = paddingIdx < 0 ? flat : flat.maskedFill(places.eq(paddingIdx).unsqueeze(1), 0);
      indexAdd_(gradientOf(weight), 0, places, counted);
    }),
  );
}
