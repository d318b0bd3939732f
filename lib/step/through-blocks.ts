// Through the blocks of a model and back, one block at a time, with everything kept that the backward pass needs: what one
// graph over all of them would give, where something is to happen between blocks on the way back. With less kept and
// computed again: recompute.ts. Not here: the loss, the embedding, precision.
import type { Block } from "../models/causal-model.js";
import { backward, noGrad, type Tensor } from "../torch/index.js";
import { inPart, type Passage } from "./passage.js";

/** What is done to blocks, and around them. */
export interface BlockPasses {
  readonly passage: Passage;
  /** A block's forward pass. */
  run(block: Block, hidden: Tensor): Tensor;
  /** From the last block's output to the loss and back: afterwards `hidden` has its gradient. */
  top(hidden: Tensor): void;
  /** Before each block, in both directions; may throw. */
  beforeBlock(): void;
}

/**
 * Forward and backward through the blocks. The gradients of their parameters are added up; gives that of `embedded` where
 * it requires one. Below the first trained block nothing is kept.
 */
export function throughBlocksOnce(
  blocks: readonly Block[],
  embedded: Tensor,
  { passage, run, top, beforeBlock }: BlockPasses,
): Tensor | undefined {
  const isWhole = embedded.requiresGrad;
  const first = isWhole ? 0 : blocks.findIndex(isTrained);
  const kept: { input: Tensor; output: Tensor }[] = [];
  let hidden = noGrad(() => embedded.detach());
  for (const [index, block] of blocks.entries()) {
    beforeBlock();
    const isKept = first >= 0 && index >= first;
    const input = isKept ? hidden.detach().requiresGrad_(index > first || isWhole) : hidden;
    const pass = (): Tensor => inPart(passage, index, () => run(block, input));
    const output = isKept ? pass() : noGrad(pass);
    if (isKept) kept[index] = { input, output };
    hidden.dispose();
    hidden = output.detach();
    if (!isKept) output.dispose();
  }
  const last = hidden.requiresGrad_(first >= 0);
  top(last);
  if (first < 0) return undefined;
  let gradient = last.grad;
  for (let index = blocks.length - 1; index >= first; index--) {
    beforeBlock();
    const { input, output } = kept[index] as (typeof kept)[number];
    passage.enter(index, "backward");
    backward(output, gradient);
    passage.leave(index, "backward");
    gradient?.dispose();
    gradient = input.grad;
    input.dispose();
    output.dispose();
  }
  return gradient;
}

/** Whether a block has a parameter to train. */
export function isTrained(block: Block): boolean {
  for (const parameter of block.parameters()) if (parameter.requiresGrad) return true;
  return false;
}
