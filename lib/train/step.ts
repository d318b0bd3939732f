// One micro-step: forward and backward of a batch, gradients added to the trainable parameters. With gradient
// checkpointing only the blocks' inputs are kept and each block is computed again, last to first, in a loop of our
// own: no JavaScript runs inside a backward pass.
import type { Batch } from "../data/index.js";
import type { Objective, ObjectiveOf } from "../methods/index.js";
import {
  autocast,
  backward,
  type Device,
  type DType,
  getRngState,
  noGrad,
  scope,
  setRngState,
  type Tensor,
  tensor,
} from "../torch/index.js";
import { headLoss, nextTokenLabels } from "./loss.js";
import type { Block, CausalModel } from "./model.js";
import { withNoise } from "./neftune.js";

/** How a micro-step computes. */
export interface StepOptions {
  device: Device;
  /** autocast's dtype; undefined computes in the weights' own. */
  compute: DType | undefined;
  /** Keep the blocks' inputs only and compute them again in the backward pass. */
  checkpointing: boolean;
  /** Multiplies the loss: 1 / labels in the accumulation window. */
  scale: number;
  /** Multiplies the gradients and not the loss that is reported; for float16. */
  lossScale?: number;
  /** NEFTune's alpha: noise on the embeddings. */
  noiseAlpha?: number | null;
  /** What takes the place of plain cross entropy, made before the forward pass. */
  objective?: ((batch: Batch, lossScale: number) => ObjectiveOf) | undefined;
  /** Asked between blocks; true ends the micro-step at once. */
  isAborted?: () => boolean;
}

/** Thrown where `isAborted` said so; the gradients are those of half a step and must be dropped. */
export class StepAborted extends Error {
  override readonly name = "StepAborted";
}

interface Setting extends StepOptions {
  model: CausalModel;
  targets: Tensor;
  batch: Batch;
  /** Made from `objective` for this batch. */
  aim?: ObjectiveOf | undefined;
}

/** The token ids of a batch as an int64 tensor [batch, seq] on the device. */
export function idsOf(batch: Batch, device: Device): Tensor {
  return tensor(batch.inputIds, { shape: [batch.batch, batch.length], dtype: "int64", device });
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
    const { device } = options;
    const targets = nextTokenLabels(batch.labels, batch.batch, batch.length, device);
    const aim = options.objective?.(batch, options.lossScale ?? 1);
    const setting: Setting = { ...options, model, targets, batch, aim };
    const ids = idsOf(batch, device);
    return options.checkpointing ? checkpointed(setting, ids) : whole(setting, ids);
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
      const targets = nextTokenLabels(batch.labels, batch.batch, batch.length, options.device);
      const setting: Setting = {
        ...options,
        noiseAlpha: undefined,
        checkpointing: false,
        model,
        targets,
        batch,
      };
      return forward(setting, idsOf(batch, options.device)).crossEntropy.item();
    }),
  );
}

function forward(setting: Setting, ids: Tensor): Objective {
  const { model, compute, device } = setting;
  return autocast(
    compute,
    () => {
      let hidden = embed(setting, ids);
      const positions = positionsOf(setting, hidden);
      for (const block of model.layers) {
        stopIfAborted(setting);
        const input = hidden;
        hidden = run(block, input, positions);
        input.dispose(); // autograd keeps what it needs; below the first trained block nobody does
      }
      return lossOf(setting, hidden);
    },
    device,
  );
}

function embed({ model, noiseAlpha }: Setting, ids: Tensor): Tensor {
  const hidden = model.embed(ids);
  return noiseAlpha === null || noiseAlpha === undefined ? hidden : withNoise(hidden, noiseAlpha);
}

function whole(setting: Setting, ids: Tensor): Tensor {
  const { total, crossEntropy } = forward(setting, ids);
  backward(total);
  return crossEntropy.detach();
}

function positionsOf({ model, batch: { documents, batch, length } }: Setting, hidden: Tensor): unknown {
  if (documents === undefined) return model.rope(length, hidden);
  if (model.packed === undefined) throw new TypeError("this model takes no documents packed apart");
  return model.packed(documents, batch, length, hidden);
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

function stopIfAborted({ isAborted }: Setting): void {
  if (isAborted?.() === true) throw new StepAborted("the step was ended early");
}

interface Kept {
  input: Tensor;
  random: Tensor | undefined;
}

function isTrained(block: Block): boolean {
  for (const parameter of block.parameters()) if (parameter.requiresGrad) return true;
  return false;
}

/**
 * Below the first trained block nothing is kept and nothing computed again; its own input needs no gradient unless
 * the embedding trains.
 */
function checkpointed(setting: Setting, ids: Tensor): Tensor {
  const { model, compute, device } = setting;
  const under = <T>(body: () => T): T => autocast(compute, body, device);
  const embedded = under(() => embed(setting, ids));
  const positions = positionsOf(setting, embedded);
  const trained = model.layers.map(isTrained);
  const first = embedded.requiresGrad ? 0 : trained.indexOf(true);
  const kept: Kept[] = [];
  let hidden = noGrad(() => embedded.detach());
  for (const [index, block] of model.layers.entries()) {
    stopIfAborted(setting);
    const isKept = first >= 0 && index >= first;
    const input = hidden;
    if (isKept) kept[index] = { input, random: drawsRandom(block) ? getRngState(device) : undefined };
    hidden = noGrad(() => under(() => run(block, input, positions)));
    if (!isKept) input.dispose();
  }
  const top = hidden.detach().requiresGrad_(first >= 0);
  const { total, crossEntropy } = under(() => lossOf(setting, top));
  backward(total);
  let gradient = top.grad;
  const after = kept.some((entry) => entry?.random !== undefined) ? getRngState(device) : undefined;
  for (let index = model.layers.length - 1; first >= 0 && index >= first; index--) {
    stopIfAborted(setting);
    const { input, random } = kept[index] as Kept;
    const seed = gradient as Tensor;
    const needsInput = index > first || embedded.requiresGrad;
    if (random !== undefined) setRngState(random, device);
    gradient = scope(() => {
      const leaf = input.detach().requiresGrad_(needsInput);
      backward(
        under(() => run(model.layers[index] as Block, leaf, positions)),
        seed,
      );
      return leaf.grad;
    });
    seed.dispose();
    input.dispose();
  }
  if (after !== undefined) setRngState(after, device);
  if (embedded.requiresGrad) backward(embedded, gradient);
  return crossEntropy.detach();
}

/** Whether a block's forward draws random numbers, so that computing it again must start from the same state. */
function drawsRandom(block: Block): boolean {
  for (const [, module] of block.namedModules()) {
    const rate = (module as { dropout?: unknown; config?: { attention_dropout?: number } }).dropout;
    const attention = (module as { config?: { attention_dropout?: number } }).config?.attention_dropout ?? 0;
    if (module.training && ((typeof rate === "number" && rate > 0) || attention > 0)) return true;
  }
  return false;
}
