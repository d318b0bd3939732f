// What a linear map is to those who stand around it: LoRA and DoRA, the targets, merging, the estimate. A layer that
// keeps its weight in another format (4 bits) is one more class of this kind; none of them learns the format.
// Not here: the layer of plain numbers (linear.ts).

import type { Device, DType, Tensor } from "../torch/index.js";
import type { Layer } from "./module.js";
import { Module } from "./module.js";

/** y = x W^T + b, whatever W is stored in. */
export abstract class Projection extends Module implements Layer {
  /** The parameter in the form in which it is stored; it names the layer's weight wherever one is looked up. */
  abstract weight: Tensor;
  /** [outFeatures], a parameter; undefined for none. */
  abstract bias: Tensor | undefined;
  /** Size of the last dimension of the input. */
  abstract get inFeatures(): number;
  /** Size of the last dimension of the result. */
  abstract get outFeatures(): number;
  /** Of the weight's values. */
  abstract get dtype(): DType;

  /** What an adapter beside it is first rounded to. */
  get adapterDtype(): DType {
    return this.dtype;
  }

  /** Where the layer computes. */
  get device(): Device {
    return this.weight.device;
  }

  /** x [..., inFeatures] -> [..., outFeatures] */
  abstract forward(x: Tensor): Tensor;

  /** x W^T without the bias, in x's dtype (under autocast in its): [..., inFeatures] -> [..., outFeatures]. */
  abstract product(x: Tensor): Tensor;

  /** The weight's values [outFeatures, inFeatures] in {@link Projection.dtype}; may be the parameter itself. */
  abstract values(): Tensor;

  /**
   * What `qwen_pt::lora_linear` takes of the frozen weight: the parameter, then what else its format is read with. None:
   * the operator does not know the format, or not now, and the layer computes beside its adapter.
   */
  operands?(): readonly Tensor[];

  /**
   * The layer with `change(values)` [outFeatures, inFeatures], rounded once to its dtype, as its weight: itself or one in
   * its place. The old weight is freed.
   * @throws UserError where the format takes no new values
   */
  abstract rewrite(change: (values: Tensor) => Tensor): Projection;
}
