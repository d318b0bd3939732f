// A table of vectors by token id.

import type { Tensor } from "../torch/index.js";
import { empty, holdsValues, keep, op } from "../torch/index.js";
import { normal_, zeroRow_ } from "./init.js";
import type { LayerOptions } from "./linear.js";
import { Module } from "./module.js";

const lookup = op<(weight: Tensor, indices: Tensor, paddingIdx: number) => Tensor>("aten::embedding");

/**
 * weight [count, width]. The row `paddingIdx`, if there is one, gets no gradient (as in `torch.nn.Embedding`).
 * On the `meta` device nothing is drawn; elsewhere N(0, 1), the padding row zero.
 */
export class Embedding extends Module {
  /** [count, width]; a parameter. */
  weight: Tensor;
  /** The row that gets no gradient; -1 for none. */
  readonly paddingIdx: number;

  constructor(
    count: number,
    width: number,
    options: Omit<LayerOptions, "bias"> & { paddingIdx?: number } = {},
  ) {
    super();
    const { dtype = "float32", device = "cpu", requiresGrad = true, paddingIdx } = options;
    this.paddingIdx = paddingIdx ?? -1;
    this.weight = keep(empty([count, width], { dtype, device, requiresGrad }));
    if (!holdsValues(device)) return;
    normal_(this.weight, 0, 1);
    if (paddingIdx !== undefined) zeroRow_(this.weight, paddingIdx);
  }

  /** ids [...] (int64 or int32) -> [..., width] */
  forward(ids: Tensor): Tensor {
    return lookup(this.weight, ids, this.paddingIdx);
  }
}
