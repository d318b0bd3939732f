// Dropout as a layer: it drops in training mode alone.

import type { Tensor } from "../torch/index.js";
import { ArgumentError, dropout } from "../torch/index.js";
import { Module } from "./module.js";

/**
 * Zeroes elements with probability p and divides the rest by 1 - p (Srivastava et al. 2014), while `training`; after
 * `eval()` it gives its input. Draws from the device's generator.
 * @throws ArgumentError for p outside [0, 1]
 */
export class Dropout extends Module {
  constructor(
    /** The share of elements that is dropped. */
    readonly p = 0.5,
  ) {
    super();
    if (!(p >= 0 && p <= 1))
      throw new ArgumentError(`Dropout: p is ${p}; a probability is from 0 to 1`, "ERR_ARGUMENT");
  }

  /** x [...] -> the same shape */
  forward(x: Tensor): Tensor {
    return dropout(x, this.p, this.training);
  }
}
