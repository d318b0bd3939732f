// What the keys for chosen parts mean together, and with the older freeze_* keys. Part of incremental.ts.
import { UserError } from "../../errors.js";
import type { Checked, Setting } from "../checked.js";

const PARTS = ["freeze_trainable_layer_ids", "freeze_trainable_heads", "freeze_trainable_patterns"] as const;

/** Chosen parts take the place of the default layers; what belongs to another method is refused. */
export function partsRules({ recipe, given }: Checked, setting: Setting): void {
  const fail = (key: string, why: string): never => {
    throw new UserError(`${setting.where(key)}: ${key}: ${why}`);
  };
  const chosen = PARTS.filter((key) => recipe[key] !== null);
  const [first] = chosen;
  if (first !== undefined && recipe.finetuning_type !== "freeze")
    fail(first, `needs finetuning_type: freeze, not ${recipe.finetuning_type}`);
  if (recipe.freeze_trainable_layer_ids !== null && given.has("freeze_trainable_layers"))
    fail("freeze_trainable_layer_ids", "it excludes freeze_trainable_layers; keep one of the two");
  if (first !== undefined && !given.has("freeze_trainable_layers")) recipe.freeze_trainable_layers = 0;
  if (recipe.lora_layers === null) return;
  if (recipe.finetuning_type !== "lora")
    fail("lora_layers", `needs finetuning_type: lora, not ${recipe.finetuning_type}`);
  if (recipe.adapter_name_or_path !== null && !recipe.create_new_adapter)
    fail(
      "lora_layers",
      "the adapter that is trained on keeps its own layers; for a new one set create_new_adapter: true",
    );
}
