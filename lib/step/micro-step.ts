// One micro-step: forward and backward of a batch, gradients added to the trainable parameters. What is computed twice
// with gradient checkpointing: see recompute.ts.
import type { Batch } from "../data/index.js";
import type { Block, CausalModel, Positions } from "../models/causal-model.js";
import { autocast, backward, type Device, type DType, noGrad, scope, type Tensor } from "../torch/index.js";
import type { ActivationStore } from "./activations/activation-store.js";
import { idsOf, positionsOf } from "./batch.js";
import { headLoss, nextTokenLabels } from "./loss.js";
import { withNoise } from "./neftune.js";
import type { Objective, ObjectiveOf } from "./objective.js";
import { inPart, isDivided, type Part, type Passage, passageOf, telling } from "./passage.js";
import { type Checkpointing, checkpointedBackward } from "./recompute.js";
import { addRowGradients } from "./table-gradient.js";
import { throughBlocksOnce } from "./through-blocks.js";

/** How a micro-step computes. */
export interface StepOptions {
  /** Where the model is. */
  device: Device;
  /** autocast's dtype; undefined computes in the weights' own. */
  compute: DType | undefined;
  /**
   * Keep the blocks' inputs only and compute the blocks again in the backward pass (true), or keep the results of
   * attention and most matrix products too and compute the rest again (selective), or keep everything (false).
   */
  checkpointing: Checkpointing;
  /** Where what is kept for the backward pass waits, with checkpointing; undefined for memory. */
  store?: ActivationStore | undefined;
  /** Multiplies the loss: 1 / labels in the accumulation window. */
  scale: number;
  /** Multiplies the gradients and not the loss that is reported; for float16. */
  lossScale?: number;
  /** NEFTune's alpha: noise on the embeddings. */
  noiseAlpha?: number | null;
  /** What takes the place of plain cross entropy, made before the forward pass. */
  objective?: ((batch: Batch, lossScale: number) => ObjectiveOf) | undefined;
  /**
   * Told of each part whose gradients are complete, from the head down, while the backward pass goes on. Parts without
   * gradients may be left out.
   */
  whenComplete?: ((part: Part) => void) | undefined;
  /** Of the batch, where the caller has them on the device already. */
  inputs?: StepInputs | undefined;
  /** Asked between blocks; true ends the micro-step immediately. */
  isAborted?: () => boolean;
}

/** Thrown where `isAborted` said so; the gradients are those of half a step and must be dropped. */
export class StepAborted extends Error {
  override readonly name = "StepAborted";
}

/** What a micro-step reads of a batch, on the device. */
export interface StepInputs {
  /** [batch, seq], int64. */
  readonly ids: Tensor;
  /** [batch * seq], int64: each position's next token, or -100. */
  readonly targets: Tensor;
  /** What every block gets beside the hidden states. */
  readonly positions: Positions;
}

/** The inputs of a batch, as {@link microStepLoss} makes them itself where it is not given them. */
export function inputsOf(
  model: CausalModel,
  batch: Batch,
  { device, compute }: Pick<StepOptions, "device" | "compute">,
): StepInputs {
  const ids = idsOf(batch, device);
  // positions have the dtype and device of hidden states: one token's show them; parts of rows have their shape too
  const shown = batch.part === undefined ? ids.narrow(0, 0, 1).narrow(1, 0, 1) : ids;
  const positions = autocast(
    compute,
    () =>
      positionsOf(
        model,
        batch,
        noGrad(() => model.embed(shown)),
      ),
    device,
  );
  return { ids, targets: nextTokenLabels(batch, device), positions };
}

interface Setting extends StepOptions {
  model: CausalModel;
  passage: Passage;
  targets: Tensor;
  batch: Batch;
  /** Made from `objective` for this batch. */
  aim?: ObjectiveOf | undefined;
}

/**
 * Runs one micro-step and returns its loss (already multiplied by `scale`). Waits for the device; a loop of many
 * micro-steps reads `microStepLoss` after the last instead.
 * @throws StepAborted where `isAborted` ends it
 */
export function microStep(model: CausalModel, batch: Batch, options: StepOptions): number {
  return scope(() => microStepLoss(model, batch, options).item() / (options.lossScale ?? 1));
}

/**
 * Runs one micro-step and leaves its loss on the device: a 0-dimensional tensor, the loss times `scale` and
 * `lossScale`. Nothing is copied to the host.
 * @throws StepAborted where `isAborted` ends it
 */
export function microStepLoss(model: CausalModel, batch: Batch, options: StepOptions): Tensor {
  return scope(() => {
    const { device, whenComplete } = options;
    const targets = options.inputs?.targets ?? nextTokenLabels(batch, device);
    const aim = options.objective?.(batch, options.lossScale ?? 1);
    const passage = whenComplete === undefined ? passageOf(model) : telling(passageOf(model), whenComplete);
    const setting: Setting = { ...options, model, passage, targets, batch, aim };
    const ids = options.inputs?.ids ?? idsOf(batch, device);
    const isOneGraph = options.checkpointing === false && !isDivided(model) && whenComplete === undefined;
    return isOneGraph ? forwardBackward(setting, ids) : inBlocks(setting, ids);
  });
}

/** The loss of a batch alone, without gradients. */
export function evaluateBatch(
  model: CausalModel,
  batch: Batch,
  options: Omit<StepOptions, "checkpointing" | "noiseAlpha">,
): number {
  return scope(() =>
    noGrad(() => {
      const targets = nextTokenLabels(batch, options.device);
      const setting: Setting = {
        ...options,
        noiseAlpha: undefined,
        checkpointing: false,
        model,
        passage: passageOf(model),
        targets,
        batch,
      };
      const ids = idsOf(batch, options.device);
      const { crossEntropy } = forward(setting, () => embed(setting, ids));
      setting.passage.end();
      return crossEntropy.item();
    }),
  );
}

function forward(setting: Setting, embedded: () => Tensor): Objective {
  const { model, passage, compute, device } = setting;
  return autocast(
    compute,
    () => {
      let hidden = inPart(passage, "embedding", embedded);
      const positions = setting.inputs?.positions ?? positionsOf(model, setting.batch, hidden);
      for (const [index, block] of model.layers.entries()) {
        stopIfAborted(setting);
        const input = hidden;
        hidden = inPart(passage, index, () => run(block, input, positions));
        input.dispose(); // autograd keeps what it needs; below the first trained block nobody does
      }
      return inPart(passage, "head", () => lossOf(setting, hidden));
    },
    device,
  );
}

function embed({ model, noiseAlpha, batch }: Setting, ids: Tensor): Tensor {
  const hidden = model.embed(ids);
  return noiseAlpha === null || noiseAlpha === undefined
    ? hidden
    : withNoise(hidden, noiseAlpha, batch.part?.rowLength);
}

interface Embedded {
  readonly embedded: Tensor;
  /** Whether its backward pass needs the weights. */
  readonly readsWeights: boolean;
  finish(): void;
}

/**
 * The embedded batch, and what adds the table's gradient once that of the embedded batch is known. A table that trains
 * gets its rows' gradients at once: autograd would make a table of mostly zeros to add up.
 */
function embedWithGradient(setting: Setting, ids: Tensor): Embedded {
  const { model, noiseAlpha } = setting;
  const table = model.embeddingTable;
  if (!table?.weight.requiresGrad) return { embedded: embed(setting, ids), readsWeights: true, finish() {} };
  const rows = noGrad(() => model.embed(ids))
    .detach()
    .requiresGrad_();
  // a view: the caller disposes of what the first block has read
  const embedded =
    noiseAlpha === null || noiseAlpha === undefined
      ? rows.view([...rows.shape])
      : withNoise(rows, noiseAlpha, setting.batch.part?.rowLength);
  const finish = (): void => {
    if (rows.grad !== undefined) addRowGradients(table, setting.batch.inputIds, rows.grad);
  };
  return { embedded, readsWeights: false, finish };
}

function forwardBackward(setting: Setting, ids: Tensor): Tensor {
  let finish = (): void => {};
  const { total, crossEntropy } = forward(setting, () => {
    const begun = embedWithGradient(setting, ids);
    finish = begun.finish;
    return begun.embedded;
  });
  if (total.requiresGrad) backward(total); // a head that trains alone has its gradient already
  finish();
  return crossEntropy.detach();
}

/** Block by block, each backpropagated apart: what is kept of it, and whether its weights are there, can be told. */
function inBlocks(setting: Setting, ids: Tensor): Tensor {
  const { model, passage, compute, device, store, checkpointing } = setting;
  const withAutocast = <T>(body: () => T): T => autocast(compute, body, device);
  const { embedded, readsWeights, finish } = inPart(passage, "embedding", () =>
    withAutocast(() => embedWithGradient(setting, ids)),
  );
  const positions = setting.inputs?.positions ?? positionsOf(model, setting.batch, embedded);
  let crossEntropy: Tensor | undefined;
  const passes = {
    passage,
    run: (block: Block, hidden: Tensor) => withAutocast(() => run(block, hidden, positions)),
    top(hidden: Tensor) {
      passage.enter("head", "backward");
      const objective = withAutocast(() => lossOf(setting, hidden));
      crossEntropy = objective.crossEntropy.detach();
      if (objective.total.requiresGrad) backward(objective.total);
      passage.leave("head", "backward");
    },
    beforeBlock: () => stopIfAborted(setting),
  };
  const gradient =
    checkpointing === false
      ? throughBlocksOnce(model.layers, embedded, passes)
      : checkpointedBackward(model.layers, embedded, {
          ...passes,
          selective: checkpointing === "selective",
          device,
          store,
        });
  if (embedded.requiresGrad) {
    if (readsWeights) passage.enter("embedding", "backward");
    backward(embedded, gradient);
    finish();
    passage.leave("embedding", "backward");
  }
  passage.end();
  return crossEntropy as unknown as Tensor;
}

function run(block: Block, hidden: Tensor, positions: unknown): Tensor {
  return scope(() => block.forward(hidden, positions as never));
}

function lossOf({ model, targets, scale, lossScale, compute, aim }: Setting, hidden: Tensor): Objective {
  const scaled = scale * (lossScale ?? 1);
  if (aim !== undefined) return aim(hidden, targets, scaled);
  const loss = headLoss(model, hidden, targets, scaled, compute);
  return { total: loss, crossEntropy: loss };
}

function stopIfAborted({ model, batch, isAborted }: Setting): void {
  // other processes would wait for this one
  if (batch.part === undefined && isAborted?.() === true && !isDivided(model))
    throw new StepAborted("the step was ended early");
}
