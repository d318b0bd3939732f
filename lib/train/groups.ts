// Which group of the optimizer each trained parameter belongs to, by the recipe.
import type { Recipe } from "../config/index.js";
import { decayGroups, loraPlusGroups, type ParameterGroup } from "../optim/index.js";
import type { CausalModel } from "./model.js";

/** The trained parameters in groups of one decay and one rate; the first group's rate is the one that is logged. */
export function parameterGroups(recipe: Recipe, model: CausalModel): ParameterGroup[] {
  const named = model.namedParameters();
  if (recipe.loraplus_lr_ratio === null) return decayGroups(named, recipe.weight_decay);
  return loraPlusGroups(named, {
    weightDecay: recipe.weight_decay,
    learningRate: recipe.learning_rate,
    ratio: recipe.loraplus_lr_ratio,
    embeddingRate: recipe.loraplus_lr_embedding,
  });
}
