// What PyTorch's data loader takes from the global generator each time an epoch begins: a seed for its
// workers. Dropout's and NEFTune's draws come after it.
import { empty, op, scope, type Tensor } from "../torch/index.js";

const random = op<(self: Tensor) => Tensor>("aten::random_");

/** Draws that seed and forgets it. */
export function drawLoaderSeed(): void {
  scope(() => random(empty([], { dtype: "int64" })));
}
