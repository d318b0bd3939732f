// The methods that a recipe asks for, given what they need of the model, the data and the disk. How they work:
// lib/methods; when they are asked: the trainer.

import { precisionOf } from "../../assembly/precision.js";
import type { Recipe } from "../../config/index.js";
import type { DatasetHub, Tokenizer } from "../../data/index.js";
import { UserError } from "../../errors.js";
import type { TrainEvent } from "../../events.js";
import {
  Distillation,
  ElasticWeights,
  elasticNames,
  elasticTerms,
  type FisherRanks,
  fingerprint,
  type TrainingMethod,
} from "../../methods/index.js";
import type { CausalModel } from "../../models/causal-model.js";
import { baseWeights, LoraLinear, withoutAdapter } from "../../peft/index.js";
import type { Device, Tensor } from "../../torch/index.js";
import { loadOrEstimateFisher } from "./recipe-fisher.js";

/** What methods are made from. */
export interface MethodSetting {
  recipe: Recipe;
  model: CausalModel;
  /** A frozen copy of the model as it was before any training; its weights are mapped from the base model's file. */
  reference(): CausalModel;
  tokenizer: Tokenizer;
  hub: DatasetHub;
  device: Device;
  emit(event: TrainEvent): void;
  signal: AbortSignal | undefined;
  /** The run's processes. */
  ranks: FisherRanks;
}

/** The model as it was before training: an adapted model without its adapter, or a copy. */
interface Base {
  model: CausalModel;
  weights: ReadonlyMap<string, Tensor>;
  as<T>(body: () => T): T;
}

function baseOf({ recipe, model, reference }: MethodSetting): Base {
  const own = recipe.finetuning_type === "lora" && !recipe.pissa_init;
  const copy = own ? model : reference();
  return { model: copy, weights: baseWeights(copy), as: (body) => withoutAdapter(copy, body) };
}

/**
 * Makes the methods of a recipe, in the order in which they are asked.
 * @throws UserError where one does not fit the model, its files or its data
 */
export async function recipeMethods(setting: MethodSetting): Promise<TrainingMethod[]> {
  const { recipe } = setting;
  const methods: TrainingMethod[] = [];
  if (recipe.ewc_lambda === null && recipe.distill_weight === null) return methods;
  const base = baseOf(setting);
  if (recipe.ewc_lambda !== null) methods.push(await elasticWeights(setting, base, recipe.ewc_lambda));
  if (recipe.distill_weight !== null) methods.push(distillation(setting, base, recipe.distill_weight));
  return methods;
}

function distillation({ model, recipe }: MethodSetting, base: Base, share: number): Distillation {
  const decomposed = [...model.namedModules()].some(([, m]) => m instanceof LoraLinear && m.decomposed);
  if (decomposed && !recipe.pissa_init)
    throw new UserError(
      "distill_weight: the adapter that is trained on is PiSSA, under which the base model is not whole; leave distill_weight out",
    );
  return new Distillation({
    student: model,
    teacher: base.model,
    asTeacher: base.as,
    share,
    temperature: recipe.distill_temperature,
    compute: precisionOf(recipe).compute,
  });
}

async function elasticWeights(setting: MethodSetting, base: Base, lambda: number): Promise<ElasticWeights> {
  const { model, recipe } = setting;
  for (const [path, module] of model.namedModules())
    if (module instanceof LoraLinear && (module.lora_magnitude_vector !== undefined || module.decomposed))
      throw new UserError(
        `ewc_lambda: the adapter of ${path} is DoRA or PiSSA, whose change is no plain product; leave ewc_lambda out, or start a plain adapter with create_new_adapter: true`,
      );
  const names = elasticNames(model, base.weights);
  const fisher = await loadOrEstimateFisher({
    ...setting,
    model: base.model,
    asBase: base.as,
    fingerprint: fingerprint(base.weights),
    weights: new Map(names.map((name) => [name, base.weights.get(name) as Tensor])),
    compute: precisionOf(recipe).compute,
  });
  return new ElasticWeights(elasticTerms(model, base.weights, fisher), lambda);
}
