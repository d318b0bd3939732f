// What the keys that decide what is trained on and when mean together, and with others. Part of rules.ts.
import { UserError } from "../errors.js";
import type { Checked } from "./check.js";
import type { Setting } from "./rules.js";
import type { Recipe } from "./schema.js";

/** The key that asks for an order of its own, if any: the first of them. */
function orderingKey(recipe: Recipe): keyof Recipe | undefined {
  if (recipe.replay_dataset !== null) return "replay_dataset";
  return undefined;
}

/** Whether each dataset is packed by itself, so that every block belongs to one. */
export function packsBySource(recipe: Recipe): boolean {
  return orderingKey(recipe) !== undefined || recipe.log_loss_by_source === true;
}

/** Resolves what depends on other keys, and refuses what contradicts itself. */
export function samplingRules(checked: Checked, setting: Setting): void {
  const { recipe } = checked;
  recipe.log_loss_by_source ??= orderingKey(recipe) !== undefined;
  const fail: Fail = (key, why) => {
    throw new UserError(`${setting.where(key)}: ${key}: ${why}`);
  };
  replay(checked, fail);
  const asking =
    orderingKey(recipe) ?? (recipe.log_loss_by_source ? ("log_loss_by_source" as const) : undefined);
  if (asking !== undefined) surroundings(recipe, asking, fail);
}

type Fail = (key: string, why: string) => never;

/** What cannot tell a block's dataset, or orders documents otherwise. */
function surroundings(recipe: Recipe, asking: string, fail: Fail): void {
  if (recipe.streaming)
    fail(asking, "a stream is read in its own order; remove streaming, or leave this key out");
  if (recipe.tokenized_path)
    fail(
      asking,
      "the blocks of a tokenized_path do not say of which dataset they are; remove tokenized_path, or leave this key out",
    );
  if (recipe.mix_strategy !== "concat")
    fail(
      asking,
      `each dataset is packed by itself, and mix_strategy: ${recipe.mix_strategy} mixes documents before; remove mix_strategy`,
    );
}

function replay({ recipe, given }: Checked, fail: Fail): void {
  if (recipe.replay_dataset === null) {
    if (given.has("replay_ratio"))
      fail("replay_ratio", "there is nothing to replay; set replay_dataset to a name in dataset_info.json");
    return;
  }
  if (recipe.replay_dataset.length === 0)
    fail("replay_dataset", "it names no dataset; name one of dataset_info.json, or remove it");
  const twice = recipe.replay_dataset.find((name) => recipe.dataset.includes(name));
  if (twice !== undefined)
    fail("replay_dataset", `${twice} is trained on already (dataset); name it in one of the two`);
}
