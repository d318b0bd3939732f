// What a LoRA run would take if its frozen weights took less memory than they do: said where it does not fit. What a mode
// takes: memory.ts.

import type { Recipe } from "../../config/index.js";
import type { FamilyModel } from "../../models/index.js";
import { type Device, isHost } from "../../torch/index.js";
import { keepsWeights } from "./choose-checkpointing.js";
import { estimateMemory } from "./memory.js";

/** A line to add to the recipe, and the peak of a step with it, in bytes, with whole blocks computed again. */
export interface SmallerWay {
  /** The key and its value, as a recipe has them. */
  readonly line: string;
  /** Bytes that the run needs then. */
  readonly bytes: number;
}

/**
 * Ways to keep the frozen weights of a recipe that keeps them in memory as they are stored; none for another recipe.
 * @param shaped the model of a recipe, without values
 */
export function smallerWays(
  recipe: Recipe,
  shaped: (recipe: Recipe) => FamilyModel,
  device: Device = "cpu",
): SmallerWay[] {
  if (!keepsWeights(shaped(recipe), recipe)) return [];
  const ways: [string, Partial<Recipe>][] = [["quantization_bit: 4", { quantization_bit: 4 }]];
  if (isHost(device)) ways.push(["layer_offload: disk", { layer_offload: "disk" }]);
  return ways.map(([line, keys]) => {
    const changed = { ...recipe, ...keys };
    return { line, bytes: estimateMemory(shaped(changed), changed, true, device).total };
  });
}
