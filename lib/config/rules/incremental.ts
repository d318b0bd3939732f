// What the keys of incremental pre-training mean together, and with others. Part of apply.ts.
import { UserError } from "../../errors.js";
import type { Checked, Setting } from "../checked.js";
import { forgettingRules } from "./forgetting.js";
import { partsRules } from "./parts.js";

/** Resolves what depends on other keys, and refuses what contradicts itself. */
export function incrementalRules(checked: Checked, setting: Setting): void {
  languages(checked, setting);
  vocabulary(checked, setting);
  partsRules(checked, setting);
  forgettingRules(checked, setting);
}

function languages({ recipe }: Checked, setting: Setting): void {
  if (recipe.language_tag === null || typeof recipe.language_tag === "string") return;
  const known = [
    ...recipe.dataset,
    ...(recipe.eval_dataset ?? []),
    ...(recipe.extend_vocab_dataset ?? []),
    ...(recipe.replay_dataset ?? []),
    ...(recipe.eval_domains ?? []),
    ...(recipe.ewc_dataset ?? []),
    ...(recipe.forgetting_dataset ?? []),
  ];
  const stray = Object.keys(recipe.language_tag).find((name) => !known.includes(name));
  if (stray !== undefined)
    throw new UserError(
      `${setting.where("language_tag")}: language_tag: ${stray} is no dataset of this recipe, which has: ${known.join(", ")}`,
    );
}

function vocabulary({ recipe, given, notes }: Checked, setting: Setting): void {
  const fail = (key: string, why: string): never => {
    throw new UserError(`${setting.where(key)}: ${key}: ${why}`);
  };
  const extends_ = recipe.extend_vocab !== null;
  recipe.add_language_tags ??= extends_;
  for (const key of ["extend_vocab_dataset", "extend_vocab_min_count"] as const)
    if (given.has(key) && !extends_)
      notes.push(`${setting.where(key)}: ${key} has no effect without extend_vocab`);
  const owner = extends_ ? "extend_vocab" : recipe.add_language_tags ? "add_language_tags" : undefined;
  if (owner === undefined) {
    if (given.has("extend_vocab_init"))
      notes.push(
        `${setting.where("extend_vocab_init")}: extend_vocab_init has no effect without extend_vocab or add_language_tags`,
      );
    return;
  }
  if (recipe.new_special_tokens_config !== null)
    fail(owner, "it excludes new_special_tokens_config, whose rows begin otherwise; keep one of the two");
  if (recipe.adapter_name_or_path !== null)
    fail(
      owner,
      "an adapter is trained on with the vocabulary that it was made for; export the merged model first, and extend that",
    );
}
