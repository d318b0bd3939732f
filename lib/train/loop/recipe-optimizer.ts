// The optimizer that a recipe asks for over a model: which group each trained parameter belongs to, and the groups' rates.
import { optimizerOf } from "../../assembly/optimizer.js";
import { precisionOf } from "../../assembly/precision.js";
import type { Recipe } from "../../config/index.js";
import { UserError } from "../../errors.js";
import type { CausalModel } from "../../models/causal-model.js";
import {
  decayGroups,
  embeddingGroups,
  formulaRates,
  type GroupRates,
  loraPlusGroups,
  type Optimizer,
  type ParameterGroup,
  type PlateauSettings,
  plateauRates,
  type TensorForm,
} from "../../optim/index.js";
import type { Plan } from "../plan/plan.js";
import type { Strategy } from "../strategy/strategy.js";

/**
 * The optimizer of a recipe over the model's trained parameters, or over what of them this process updates.
 * @throws UserError where it needs whole parameters and there are parts
 */
export function recipeOptimizer(recipe: Recipe, model: CausalModel, strategy: Strategy): Optimizer {
  checkOptimizer(recipe, strategy);
  const { kind, settings } = optimizerOf(recipe);
  // an adapter's dtype is chosen as it is made
  const dtype = recipe.finetuning_type === "lora" ? undefined : precisionOf(recipe).trainable;
  const groups = parameterGroups(recipe, model);
  const own = strategy.divide(model, groups, dtype);
  const { division } = strategy;
  if (division === undefined || kind.makeDivided === undefined) return kind.make(own, settings);
  return kind.makeDivided(own, settings, { forms: formsOf(groups), sum: (values) => division.sum(values) });
}

function formsOf(groups: readonly ParameterGroup[]): Map<string, TensorForm> {
  return new Map(
    groups.flatMap(({ names, parameters }) =>
      parameters.map(
        ({ shape, dtype, device }, at) => [names[at] as string, { shape, dtype, device }] as const,
      ),
    ),
  );
}

/** @throws UserError for an optimizer that there is not, or that does not go with parts of parameters */
export function checkOptimizer(recipe: Recipe, { isDivided }: Strategy): void {
  const { kind } = optimizerOf(recipe);
  if (isDivided && kind.isElementwise !== true && kind.makeDivided === undefined)
    throw new UserError(
      `optim: ${recipe.optim} looks at whole matrices, of which a sharded run has parts; choose adamw_torch, adafactor or sgd, or leave fsdp and deepspeed out`,
    );
}

/** The trained parameters in groups of one decay and one rate; the first group's rate is the one that is logged. */
export function parameterGroups(recipe: Recipe, model: CausalModel): ParameterGroup[] {
  const groups = groupsByMethod(recipe, model);
  const rate = recipe.embedding_learning_rate;
  return rate === null ? groups : embeddingGroups(groups, rate);
}

function groupsByMethod(recipe: Recipe, model: CausalModel): ParameterGroup[] {
  const named = model.namedParameters();
  if (recipe.loraplus_lr_ratio === null) return decayGroups(named, recipe.weight_decay);
  return loraPlusGroups(named, {
    weightDecay: recipe.weight_decay,
    learningRate: recipe.learning_rate,
    ratio: recipe.loraplus_lr_ratio,
    embeddingRate: recipe.loraplus_lr_embedding,
  });
}

/** The rates of the groups: a formula's, or ones that follow an evaluation metric. */
export function ratesOf(recipe: Recipe, groups: readonly ParameterGroup[], plan: Plan): GroupRates {
  const { lr_scheduler_type: name, lr_scheduler_kwargs: settings, learning_rate } = recipe;
  if (name !== "reduce_lr_on_plateau" && name !== "greedy")
    return formulaRates(groups, learning_rate, plan.schedule);
  return plateauRates(groups, learning_rate, name, (settings ?? {}) as PlateauSettings);
}
