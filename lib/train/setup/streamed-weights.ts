// A model whose frozen weights stay in its file: each part's pages are read while the part before it computes, and let go
// of when it has. What is trained, and what was copied out of the file, stays in memory. Slower than a model in memory by
// what the disk falls behind, and never larger than a few blocks.
import type { CausalModel } from "../../models/causal-model.js";
import type { Direction, Part, Passage } from "../../step/passage.js";
import { expectPages, releasePages, type Tensor } from "../../torch/index.js";

/** How a pass goes through a model that lies in its file. */
export class StreamedWeights implements Passage {
  readonly #blocks: readonly (readonly Tensor[])[];
  /** The tables before and behind the blocks. */
  readonly #around: readonly Tensor[];

  /** @param model its frozen weights are never written from now on: what was would be lost with the pages */
  constructor(model: CausalModel) {
    const frozen = (parameters: readonly Tensor[]): Tensor[] =>
      parameters.filter(({ requiresGrad }) => !requiresGrad);
    this.#blocks = model.layers.map((block) => frozen(block.parameters()));
    const inBlocks = new Set(this.#blocks.flat());
    this.#around = frozen(model.parameters()).filter((parameter) => !inBlocks.has(parameter));
  }

  /** Has the part after this one read meanwhile. */
  enter(part: Part, direction: Direction): void {
    const next =
      part === "embedding" ? 0 : part === "head" ? this.#blocks.length - 1 : after(part, direction);
    for (const tensor of this.#blocks[next] ?? []) expectPages(tensor);
  }

  /** Lets go of the part's pages. */
  leave(part: Part): void {
    const own = typeof part === "number" ? (this.#blocks[part] ?? []) : this.#around;
    for (const tensor of own) releasePages(tensor);
  }

  /** Nothing is left to do. */
  end(): void {}
}

const after = (block: number, direction: Direction): number => block + (direction === "forward" ? 1 : -1);
