// Which parameters are trained: keys of another method than the chosen one, variants of LoRA, adapters trained on.

import { UserError } from "../../errors.js";
import type { Checked, Setting } from "../checked.js";
import { SCHEMA } from "../schema.js";

const ONLY_FOR = {
  lora: ["lora_rank", "lora_alpha", "lora_dropout", "lora_target", "additional_target"],
  freeze: ["freeze_trainable_layers", "freeze_trainable_modules", "freeze_extra_modules"],
} as const;

const LORA_ONLY = [
  "use_rslora",
  "use_dora",
  "pissa_init",
  "loraplus_lr_ratio",
  "create_new_adapter",
] as const;
/** What a finished adapter brings along, whatever the recipe says. */
const OF_THE_ADAPTER = [
  "lora_rank",
  "lora_alpha",
  "lora_dropout",
  "lora_target",
  "additional_target",
  "use_rslora",
  "use_dora",
  "pissa_init",
] as const;
/** Variants of LoRA, and adapters that are trained on. */
export function variants({ recipe, given, notes }: Checked, setting: Setting): void {
  const fail = (key: string, why: string): never => {
    throw new UserError(`${setting.where(key)}: ${key}${why}`);
  };
  for (const key of LORA_ONLY)
    if (recipe[key] && recipe.finetuning_type !== "lora")
      fail(key, ` needs finetuning_type: lora, not ${recipe.finetuning_type}`);
  const continued = recipe.adapter_name_or_path !== null && !recipe.create_new_adapter;
  if (recipe.pissa_convert && !recipe.pissa_init)
    notes.push(`${setting.where("pissa_convert")}: pissa_convert has no effect without pissa_init: true`);
  if (recipe.pissa_convert && recipe.use_dora)
    fail(
      "pissa_convert",
      " and use_dora exclude each other: a DoRA adapter is no difference of two products; keep one",
    );
  if (recipe.create_new_adapter && recipe.adapter_name_or_path === null)
    notes.push(
      `${setting.where("create_new_adapter")}: create_new_adapter has no effect without adapter_name_or_path`,
    );
  const idle = OF_THE_ADAPTER.filter((key) => given.has(key) && !isDefault(key, recipe[key]));
  if (continued && idle[0] !== undefined)
    notes.push(
      `${setting.where(idle[0])}: ${idle.join(", ")}: the adapter that is trained on keeps its own; for a new one set create_new_adapter: true`,
    );
}

/** Keys of another method than the chosen one are named: LLaMA-Factory silently ignores them. */
export function adapter({ recipe, given, notes }: Checked, setting: Setting): void {
  for (const [method, names] of Object.entries(ONLY_FOR)) {
    if (method === recipe.finetuning_type) continue;
    const idle = names.filter((name) => given.has(name) && !isDefault(name, recipe[name]));
    const [first] = idle;
    if (first === undefined) continue;
    notes.push(
      `${setting.where(first)}: ${idle.join(", ")} ${idle.length > 1 ? "have" : "has"} no effect with finetuning_type: ${recipe.finetuning_type}`,
    );
  }
  const parts =
    recipe.freeze_trainable_layer_ids ?? recipe.freeze_trainable_heads ?? recipe.freeze_trainable_patterns;
  if (recipe.finetuning_type === "freeze" && recipe.freeze_trainable_layers === 0 && parts === null) {
    throw new UserError(
      `${setting.where("freeze_trainable_layers")}: freeze_trainable_layers: expected an integer other than 0, received 0`,
    );
  }
}

function isDefault(name: string, value: unknown): boolean {
  return JSON.stringify(SCHEMA.get(name)?.default) === JSON.stringify(value);
}
