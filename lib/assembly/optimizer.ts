// The kind of optimizer that a recipe asks for, and what the recipe says to it. Which parameters it gets, and at which
// rates, is train/loop/recipe-optimizer.ts.
import type { Recipe } from "../config/index.js";
import {
  type OptimizerKind,
  type OptimizerSettings,
  optimizerArguments,
  optimizerKind,
} from "../optim/index.js";

/**
 * From `optim`, `optim_args` and the keys of rates.
 * @throws UserError where there is no such optimizer, or a setting does not fit it
 */
export function optimizerOf(recipe: Recipe): { kind: OptimizerKind; settings: OptimizerSettings } {
  const kind = optimizerKind(recipe.optim);
  const settings: OptimizerSettings = {
    learningRate: recipe.learning_rate,
    beta1: recipe.adam_beta1,
    beta2: recipe.adam_beta2,
    eps: recipe.adam_epsilon,
    folder: recipe.output_dir,
    arguments: optimizerArguments(recipe.optim, recipe.optim_args),
  };
  kind.check?.(settings);
  return { kind, settings };
}
