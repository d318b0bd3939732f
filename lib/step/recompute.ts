// Gradient checkpointing: through the blocks once without recording, keeping little, and back through them last to
// first, each computed again with recording and backpropagated at once (Chen et al. 2016, arXiv:1604.06174). A plain
// loop: no JavaScript runs inside a backward pass. A block's last product is not computed again, for its values reach
// no gradient; selective checkpointing saves the results of all expensive operators and computes only the cheap ones
// again (lib/nn/recall.ts).
// Not here: the loss, the embedding, precision; the caller brings them as functions.

import type { Block } from "../models/causal-model.js";
import { type Keeping, type Recalled, recalling, remembering } from "../nn/index.js";
import {
  backward,
  type Device,
  getRngState,
  noGrad,
  scope,
  setRngState,
  type Tensor,
} from "../torch/index.js";
import type { ActivationStore } from "./activations/activation-store.js";
import { inPart } from "./passage.js";
import { type BlockPasses, isTrained } from "./through-blocks.js";

/** Keep everything, the blocks' inputs alone, or those and the results of attention and most matrix products. */
export type Checkpointing = boolean | "selective";

export interface CheckpointedPass extends BlockPasses {
  readonly selective: boolean;
  readonly device: Device;
  /** Where what is kept waits; undefined for memory. */
  readonly store: ActivationStore | undefined;
}

/** What is kept of a block's first pass. */
interface Kept {
  readonly random: Tensor | undefined;
  readonly input: Tensor;
  readonly results: Recalled;
}

/**
 * Forward and backward through the blocks. The gradients of their parameters are added up; gives that of `embedded` where
 * it requires one. Below the first trained block nothing is kept and nothing computed again; its own input needs no
 * gradient unless `embedded` does.
 */
export function checkpointedBackward(
  blocks: readonly Block[],
  embedded: Tensor,
  passes: CheckpointedPass,
): Tensor | undefined {
  const { device } = passes;
  const first = embedded.requiresGrad ? 0 : blocks.findIndex(isTrained);
  const kept: Kept[] = [];
  try {
    const top = up(blocks, embedded, first, kept, passes);
    passes.top(top);
    if (first < 0) return undefined;
    const after = kept.some((entry) => entry?.random !== undefined) ? getRngState(device) : undefined;
    const gradient = down(blocks, top.grad as Tensor, { first, all: embedded.requiresGrad }, kept, passes);
    if (after !== undefined) setRngState(after, device);
    return gradient;
  } finally {
    for (const result of kept.flatMap((entry) => entry?.results.flat() ?? [])) result.dispose(); // an abort leaves some
    passes.store?.clear();
  }
}

/** The first pass; fills `kept` from block `first` on and returns the last output, a leaf. */
function up(
  blocks: readonly Block[],
  embedded: Tensor,
  first: number,
  kept: Kept[],
  { passage, beforeBlock, run, selective, device, store }: CheckpointedPass,
): Tensor {
  let hidden = noGrad(() => embedded.detach());
  for (const [index, block] of blocks.entries()) {
    beforeBlock();
    const input = hidden;
    const isKept = first >= 0 && index >= first;
    const results: Recalled = [];
    const random = isKept && drawsRandom(block) ? getRngState(device) : undefined;
    const pass = (): Tensor => noGrad(() => inPart(passage, index, () => run(block, input)));
    hidden = isKept ? remembering(results, keepingOf(selective), pass) : pass();
    if (!isKept) input.dispose();
    else kept[index] = { random, input: input, results };
    if (isKept) store?.put(index, [input, ...results.flat()]);
  }
  return hidden.detach().requiresGrad_(first >= 0);
}

/** The second pass, from the gradient of the last output to that of the first kept block's input. */
function down(
  blocks: readonly Block[],
  last: Tensor,
  { first, all }: { first: number; all: boolean },
  kept: Kept[],
  { passage, beforeBlock, run, selective, device, store }: CheckpointedPass,
): Tensor | undefined {
  let gradient: Tensor | undefined = last;
  for (let index = blocks.length - 1; index >= first; index--) {
    beforeBlock();
    const { input, random, results } = kept[index] as Kept;
    store?.take(index, [input, ...results.flat()]);
    const seed = gradient as Tensor;
    if (random !== undefined) setRngState(random, device);
    passage.enter(index, "backward");
    gradient = scope(() => {
      const leaf = input.detach().requiresGrad_(index > first || all);
      const again = (): Tensor => run(blocks[index] as Block, leaf);
      backward(recalling(results, keepingOf(selective), again), seed);
      return leaf.grad;
    });
    passage.leave(index, "backward");
    seed.dispose();
    input.dispose();
    for (const result of results.flat()) result.dispose();
  }
  return gradient;
}

const keepingOf = (selective: boolean): Keeping => (selective ? "expensive" : "shapes");

/** Whether a block's forward draws random numbers, so that computing it again must start from the same state. */
export function drawsRandom(block: Block): boolean {
  for (const [, module] of block.namedModules()) {
    const rate = (module as { dropout?: unknown; config?: { attention_dropout?: number } }).dropout;
    const attention = (module as { config?: { attention_dropout?: number } }).config?.attention_dropout ?? 0;
    if (module.training && ((typeof rate === "number" && rate > 0) || attention > 0)) return true;
  }
  return false;
}
