// What a run computes again in its backward pass where the recipe does not say, by the memory that is there; and the
// warning of a run that will not fit. The numbers of a run are the same whatever is chosen. For what a mode takes
// see memory.ts.

import type { Recipe } from "../../config/index.js";
import type { Emit } from "../../events.js";
import type { FamilyModel } from "../../models/index.js";
import type { Checkpointing } from "../../step/recompute.js";
import { availableDeviceMemory, type Device, isHost } from "../../torch/index.js";
import { gigabytes } from "../../words.js";
import { availableMemory } from "./available-memory.js";
import { estimateMemory } from "./memory.js";

/** What an estimate may be below what a run takes. */
const MARGIN = 1.15;
/** The same on an accelerator, which keeps blocks of other sizes for later and has no pages to give back. */
const DEVICE_MARGIN = 1.3;

/**
 * What may be taken in all: what is left, and what this process has of it already. What else it uses (tokens, a
 * second model) is not available.
 */
function availableToRun(model: FamilyModel, recipe: Recipe): number {
  const { runtime, weights } = estimateMemory(model, recipe, true);
  return availableMemory() + Math.min(process.memoryUsage.rss(), runtime + weights);
}

/** The same of any device; on an accelerator the weights are there already, and undefined where it does not tell. */
function availableOn(device: Device, model: FamilyModel, recipe: Recipe): number | undefined {
  if (isHost(device)) return availableToRun(model, recipe);
  const left = availableDeviceMemory(device);
  return left === undefined ? undefined : left + estimateMemory(model, recipe, true, device).weights;
}

/** What a run takes of the memory of its device: on an accelerator, nothing of Node's. */
function needed(model: FamilyModel, recipe: Recipe, mode: Checkpointing, device: Device): number {
  const { total, runtime } = estimateMemory(model, recipe, mode, device);
  return isHost(device) ? total : total - runtime;
}

/** Whether a run fits into `available` bytes of its device with a margin for what an estimate may be below it. */
function fitsWithMargin(
  model: FamilyModel,
  recipe: Recipe,
  mode: Checkpointing,
  device: Device,
  available: number,
): boolean {
  return (isHost(device) ? MARGIN : DEVICE_MARGIN) * needed(model, recipe, mode, device) <= available;
}

/**
 * The recipe's own mode, or the fastest that fits with a margin into `available` bytes: keeping all, else selective,
 * else whole blocks again.
 */
export function chooseCheckpointing(
  model: FamilyModel,
  recipe: Recipe,
  available: number,
  device: Device = "cpu",
): Checkpointing {
  if (recipe.gradient_checkpointing !== null) return recipe.gradient_checkpointing;
  const fits = (mode: Checkpointing) => fitsWithMargin(model, recipe, mode, device, available);
  return fits(false) ? false : fits("selective") ? "selective" : true;
}

/**
 * The mode of a run, said in a line where the recipe leaves it open; warns where the run will not fit. Where a device
 * does not tell how much it has free, whole blocks are computed again.
 */
export function resolveCheckpointing(
  model: FamilyModel,
  recipe: Recipe,
  device: Device,
  emit: Emit,
  available: number | undefined = availableOn(device, model, recipe),
): Checkpointing {
  const say = (text: string): void => emit({ type: "message", level: "info", text });
  const open = recipe.gradient_checkpointing === null;
  if (available === undefined) {
    if (open) say(`gradient_checkpointing: true (free memory of ${device} is unknown)`);
    return recipe.gradient_checkpointing ?? true;
  }
  const mode = chooseCheckpointing(model, recipe, available, device);
  const needs = gigabytes(needed(model, recipe, mode, device));
  const where = isHost(device) ? "" : ` on ${device}`;
  if (open)
    say(
      `gradient_checkpointing: ${mode}, which takes about ${needs} of the ${gigabytes(available)} of memory available${where}`,
    );
  warnOfMemory(model, recipe, mode, emit, available, device);
  return mode;
}

/**
 * How many micro-batches a run computes as one: with merge_micro_batches as many as fit with a margin into what its
 * device has left, and that is said in a line; else one.
 */
export function batchesAtOnce(
  model: FamilyModel,
  recipe: Recipe,
  mode: Checkpointing,
  device: Device,
  emit: Emit,
  available: number | undefined = availableOn(device, model, recipe),
): number {
  const {
    merge_micro_batches,
    gradient_accumulation_steps: window,
    per_device_train_batch_size: size,
  } = recipe;
  if (!merge_micro_batches || window === 1) return 1;
  const joined = (count: number): Recipe => ({ ...recipe, per_device_train_batch_size: size * count });
  const fits = (count: number): boolean =>
    available !== undefined && fitsWithMargin(model, joined(count), mode, device, available);
  let most = window;
  while (most > 1 && !fits(most)) most--;
  const text =
    available === undefined
      ? `merge_micro_batches: each alone (free memory of ${device} is unknown)`
      : `merge_micro_batches: ${most} of ${window} at once, of ${gigabytes(available)} of memory available`;
  emit({ type: "message", level: "info", text });
  return most;
}

/** Whether all frozen weights are in memory in 16 bits or more. */
export const keepsWeights = (model: FamilyModel, recipe: Recipe): boolean =>
  recipe.finetuning_type === "lora" &&
  recipe.layer_offload === null &&
  recipe.quantization_compute === null &&
  !recipe.fp8 &&
  model.config.quantization === undefined;

/** Says, before the first step, that a run will not fit into what the machine or its container has left. */
export function warnOfMemory(
  model: FamilyModel,
  recipe: Recipe,
  mode: Checkpointing,
  emit: Emit,
  available: number,
  device: Device = "cpu",
): void {
  const total = needed(model, recipe, mode, device);
  if (total <= available) return;
  const instead = [
    mode === false && "gradient_checkpointing: selective or true",
    mode === "selective" && "gradient_checkpointing: true",
    recipe.per_device_train_batch_size > 1 && "a smaller per_device_train_batch_size",
    "a smaller cutoff_len",
    recipe.finetuning_type === "full" && "finetuning_type: lora",
    keepsWeights(model, recipe) && "quantization_bit: 4",
    keepsWeights(model, recipe) && isHost(device) && "layer_offload: disk",
  ].filter(Boolean);
  emit({
    type: "message",
    level: "warning",
    text: `this run needs about ${gigabytes(total)} of memory and there are ${gigabytes(available)}${isHost(device) ? ": it may be killed" : ` on ${device}: it may run out`}; try ${instead.join(", or ")}`,
  });
}
