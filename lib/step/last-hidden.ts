// A batch through a model's layers, without gradients: what methods need of a model that does not train on it.
import type { Batch } from "../data/index.js";
import type { CausalModel } from "../models/causal-model.js";
import { noGrad, scope, type Tensor } from "../torch/index.js";
import { idsOf, positionsOf } from "./batch.js";
import { inPart, passageOf } from "./passage.js";

/**
 * A batch through the layers, without gradients: [batch, seq, d], the last layer's output.
 * @param visit is shown each layer's input, which lives on only where it says so
 */
export function lastHidden(
  model: CausalModel,
  batch: Batch,
  visit: (input: Tensor) => boolean = () => false,
): Tensor {
  return noGrad(() => {
    const { device } = model.parameters()[0] as Tensor;
    const passage = passageOf(model);
    let hidden = inPart(passage, "embedding", () => model.embed(idsOf(batch, device)));
    const positions = positionsOf(model, batch, hidden);
    for (const [index, layer] of model.layers.entries()) {
      const input = hidden;
      const stays = visit(input);
      hidden = inPart(passage, index, () => scope(() => layer.forward(input, positions as never)));
      if (!stays) input.dispose();
    }
    passage.end();
    return hidden;
  });
}
