// Which of a model's own parameters a recipe trains where no adapter does: `full` and `freeze`, by the recipe's keys.
import type { Recipe } from "../config/index.js";
import { UserError } from "../errors.js";
import { headSlices, type Slices } from "../methods/index.js";
import { type FamilyModel, familyOf } from "../models/index.js";
import { freeze, full } from "../peft/index.js";
import type { DType } from "../torch/index.js";

/** Where and how what is trained is kept. */
export interface TrainedStorage {
  /** Default: as it is stored. */
  readonly dtype?: DType | undefined;
  /** False leaves it on the pages of its file, in its dtype, for whoever copies it from there. Default true. */
  readonly ownMemory?: boolean;
}

/**
 * Makes the recipe's part of a model trainable. `tables`: embeddings that grew.
 * @returns what of single parameters is trained, where the recipe names attention heads
 * @throws UserError for names and numbers that the model does not have
 */
export function trainPart(
  model: FamilyModel,
  recipe: Recipe,
  { dtype, ownMemory = true }: TrainedStorage,
  tables: readonly string[] = [],
): ReadonlyMap<string, Slices> {
  const slices = chosenHeads(model, recipe);
  if (recipe.finetuning_type === "full") full(model, dtype, ownMemory);
  else {
    freeze(
      model,
      {
        trainableLayers: recipe.freeze_trainable_layers,
        ...(recipe.freeze_trainable_layer_ids !== null && { layerIds: recipe.freeze_trainable_layer_ids }),
        trainableModules: recipe.freeze_trainable_modules,
        extraModules: [...(recipe.freeze_extra_modules ?? []), ...tables],
        patterns: recipe.freeze_trainable_patterns ?? [],
        names: slices.keys(),
      },
      dtype,
      ownMemory,
    );
  }
  return slices;
}

function chosenHeads(model: FamilyModel, { freeze_trainable_heads: chosen }: Recipe): Map<string, Slices> {
  if (chosen === null) return new Map();
  const family = familyOf(model.config);
  const sizes = family.headSizes?.(model.config);
  if (sizes !== undefined) return headSlices(sizes, chosen);
  throw new UserError(
    `freeze_trainable_heads: single heads cannot be trained of ${family.models}; use freeze_trainable_layers`,
  );
}
