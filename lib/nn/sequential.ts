// Layers one after another, named by their places as PyTorch names them: `0.weight`, `2.weight`.

import type { Tensor } from "../torch/index.js";
import { ArgumentError } from "../torch/index.js";
import type { Layer } from "./module.js";
import { Module } from "./module.js";

/** One step of a {@link Sequential}: a layer, or a function without parameters such as `relu`. */
export type Step = Layer | ((x: Tensor) => Tensor);

/**
 * Each step takes what the one before it gives. A function keeps its place, so that parameters have PyTorch's names:
 * `new Sequential(new Linear(8, 32), relu, new Linear(32, 1))` has `0.weight` and `2.weight`.
 * @throws ArgumentError for what is neither a layer nor a function
 */
export class Sequential extends Module {
  /** How many steps there are. */
  readonly length: number;

  constructor(...steps: Step[]) {
    super();
    this.length = steps.length;
    for (const [index, step] of steps.entries()) {
      const isLayer = step instanceof Module && typeof step.forward === "function";
      if (!isLayer && (typeof step !== "function" || /^class\b/.test(String(step))))
        throw new ArgumentError(
          `Sequential: step ${index} is neither a layer nor a function of a tensor; write for instance new Linear(8, 32), or relu`,
          "ERR_ARGUMENT",
        );
      (this as unknown as Record<number, Step>)[index] = step;
    }
  }

  /** The steps in their order, replaced ones included. */
  *[Symbol.iterator](): IterableIterator<Step> {
    for (let index = 0; index < this.length; index++) yield (this as unknown as Record<number, Step>)[index]!;
  }

  /** x [...] -> what the last step gives */
  forward(x: Tensor): Tensor {
    let at = x;
    for (const step of this) at = step instanceof Module ? step.forward(at) : step(at);
    return at;
  }
}
