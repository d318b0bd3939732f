// What a micro-step differentiates: plain cross entropy, or what a method puts in its place.

import type { Tensor } from "../torch/index.js";

/** The loss of a micro-step's last hidden states. */
export interface Objective {
  /** What is differentiated: a 0-dimensional tensor. Its gradients count, multiplied by `scale`; its value is not read. */
  readonly total: Tensor;
  /** Its part that is the cross entropy, which is what is logged as the loss; multiplied by `scale` too. */
  readonly crossEntropy: Tensor;
}

/**
 * hidden [batch, seq, d], the last block's output, before the final norm; targets [batch * seq] int64, -100 where none
 * is wanted; `scale` is 1 / labels in the accumulation window, times the loss scale.
 */
export type ObjectiveOf = (hidden: Tensor, targets: Tensor, scale: number) => Objective;
