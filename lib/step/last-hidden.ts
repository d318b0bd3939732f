// What methods ask of a model: its pieces, so that they can stop between them, and a way through all of them.
import type { Batch } from "../data/index.js";
import type { Module } from "../nn/index.js";
import { noGrad, scope, type Tensor, tensor } from "../torch/index.js";

/** A causal language model in pieces. */
export interface LayeredModel extends Module {
  readonly layers: readonly (Module & { forward(hidden: Tensor, positions: never): Tensor })[];
  /** ids [batch, seq] int64 -> [batch, seq, d] */
  embed(inputIds: Tensor): Tensor;
  rope(length: number, hidden: Tensor): unknown;
  packed?(starts: Int32Array, batch: number, length: number, hidden: Tensor): unknown;
  /** The final norm. */
  norm(hidden: Tensor): Tensor;
  /** [..., d] -> logits [..., vocabulary] */
  head(normed: Tensor): Tensor;
  /** The head's weight [vocabulary, d] where the head is that product and nothing else. */
  readonly headWeight: Tensor | undefined;
}

/** A batch's ids as int64 [batch, seq], on the model's device. */
export function idsFor(model: LayeredModel, { inputIds, batch, length }: Batch): Tensor {
  const { device } = model.parameters()[0] as Tensor;
  return tensor(inputIds, { shape: [batch, length], dtype: "int64", device });
}

/** What every layer gets beside the hidden states. */
export function positionsFor(model: LayeredModel, batch: Batch, hidden: Tensor): unknown {
  const { documents, length } = batch;
  if (documents === undefined || model.packed === undefined) return model.rope(length, hidden);
  return model.packed(documents, batch.batch, length, hidden);
}

/**
 * A batch through the layers, without gradients: [batch, seq, d], the last layer's output.
 * @param visit is shown each layer's input, which lives on only where it says so
 */
export function lastHidden(
  model: LayeredModel,
  batch: Batch,
  visit: (input: Tensor) => boolean = () => false,
): Tensor {
  return noGrad(() => {
    let hidden = model.embed(idsFor(model, batch));
    const positions = positionsFor(model, batch, hidden);
    for (const layer of model.layers) {
      const input = hidden;
      const stays = visit(input);
      hidden = scope(() => layer.forward(input, positions as never));
      if (!stays) input.dispose();
    }
    return hidden;
  });
}
