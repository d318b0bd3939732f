// Which of a model's own parameters a recipe trains where no adapter does: `full` and `freeze`, by the recipe's keys.
import type { Recipe } from "../config/index.js";
import { headSlices, type Slices } from "../methods/index.js";
import type { Qwen3ForCausalLM } from "../models/families/qwen3/index.js";
import { freeze, full } from "../peft/index.js";
import type { DType } from "../torch/index.js";

/**
 * Makes the recipe's part of a model trainable, in `dtype` or as it is stored. `tables`: embeddings that grew.
 * @returns what of single parameters is trained, where the recipe names attention heads
 * @throws UserError for names and numbers that the model does not have
 */
export function trainPart(
  model: Qwen3ForCausalLM,
  recipe: Recipe,
  dtype: DType | undefined,
  tables: readonly string[] = [],
): ReadonlyMap<string, Slices> {
  const slices = headSlices(model.config, recipe.freeze_trainable_heads ?? {});
  if (recipe.finetuning_type === "full") full(model, dtype);
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
    );
  }
  return slices;
}
