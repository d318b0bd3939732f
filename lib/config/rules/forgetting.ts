// What the keys against forgetting mean together, and with others. Part of incremental.ts.
import { UserError } from "../../errors.js";
import type { Checked, Setting } from "../checked.js";

/** Resolves what depends on other keys, and refuses what contradicts itself. */
export function forgettingRules(checked: Checked, setting: Setting): void {
  const fail: Fail = (key, why) => {
    throw new UserError(`${setting.where(key)}: ${key}: ${why}`);
  };
  elastic(checked, setting, fail);
  distillation(checked, setting, fail);
  report(checked, setting, fail);
}

type Fail = (key: string, why: string) => never;

function elastic({ recipe, given, notes }: Checked, setting: Setting, fail: Fail): void {
  if (recipe.ewc_lambda === null) {
    for (const key of ["ewc_dataset", "ewc_samples", "ewc_fisher"] as const)
      if (given.has(key)) notes.push(`${setting.where(key)}: ${key} has no effect without ewc_lambda`);
    return;
  }
  recipe.ewc_dataset ??= recipe.replay_dataset;
  if (recipe.ewc_dataset === null && recipe.ewc_fisher === null)
    fail("ewc_lambda", "it needs a general corpus; set ewc_dataset to a name in dataset_info.json");
  if (recipe.ewc_dataset?.length === 0)
    fail("ewc_dataset", "it names no dataset; name one of dataset_info.json, or remove it");
  if (recipe.ewc_dataset !== null) recipe.ewc_samples ??= 256;
  if (recipe.train_from_scratch)
    fail("ewc_lambda", "a model that is trained from scratch has nothing to forget; remove one of the two");
  if (recipe.use_dora || recipe.pissa_init)
    fail(
      "ewc_lambda",
      `the change of a weight is no plain product with ${recipe.use_dora ? "use_dora" : "pissa_init"}; remove one of the two`,
    );
}

function distillation({ recipe, given, notes }: Checked, setting: Setting, fail: Fail): void {
  if (recipe.distill_weight === null) {
    if (given.has("distill_temperature"))
      notes.push(
        `${setting.where("distill_temperature")}: distill_temperature has no effect without distill_weight`,
      );
    return;
  }
  if (recipe.train_from_scratch)
    fail("distill_weight", "a model that is trained from scratch has no teacher; remove one of the two");
  if (recipe.pissa_init && recipe.adapter_name_or_path !== null)
    fail(
      "distill_weight",
      "pissa_init takes the base model apart after adapters were merged; remove one of the two",
    );
}

function report({ recipe, given, notes }: Checked, setting: Setting, fail: Fail): void {
  recipe.forgetting_report ??= recipe.forgetting_dataset !== null;
  if (!recipe.forgetting_report) {
    for (const key of ["forgetting_dataset", "forgetting_samples"] as const)
      if (given.has(key)) notes.push(`${setting.where(key)}: ${key} has no effect without forgetting_report`);
    return;
  }
  recipe.forgetting_dataset ??= recipe.ewc_dataset ?? recipe.replay_dataset;
  if (recipe.forgetting_dataset === null)
    fail("forgetting_report", "it needs general text; set forgetting_dataset to a name in dataset_info.json");
  if (recipe.forgetting_dataset?.length === 0)
    fail("forgetting_dataset", "it names no dataset; name one of dataset_info.json, or remove it");
}
