// What the keys that decide what is trained on and when mean together, and with others. Part of apply.ts.
import { UserError } from "../../errors.js";
import type { Checked, Setting } from "../checked.js";
import type { Recipe } from "../schema.js";

/** The first key that asks for its own order of blocks, if any. */
function orderingKey(recipe: Recipe): keyof Recipe | undefined {
  if (recipe.replay_dataset !== null) return "replay_dataset";
  if (recipe.time_decay_half_life !== null) return "time_decay_half_life";
  if (recipe.curriculum !== null) return "curriculum";
  if (recipe.curriculum_by !== null) return "curriculum_by";
  if (recipe.mix_by === "tokens") return "mix_by";
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
  mixture(recipe, fail);
  stages(recipe, fail);
  freshness(checked, fail, setting);
  pacing(checked, fail, setting);
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
      `each dataset is packed separately, but mix_strategy: ${recipe.mix_strategy} mixes documents before packing; remove mix_strategy`,
    );
}

/** Datasets that weights name must be the recipe's, and the other way round. */
function mixture(recipe: Recipe, fail: Fail): void {
  const { dataset, mix_weights: weights, mix_temperature: temperature } = recipe;
  for (const key of ["mix_weights", "mix_temperature"] as const) {
    if (recipe[key] === null) continue;
    if (recipe.curriculum !== null)
      fail(key, "each stage of the curriculum has its own weights (mix); keep one of the two");
    if (recipe.mix_by !== "tokens") fail(key, "it is for mixtures by token; set mix_by: tokens");
  }
  if (weights !== null && temperature !== null)
    fail("mix_temperature", "mix_weights gives the shares already; keep one of the two");
  if (recipe.mix_by === "tokens" && recipe.interleave_probs !== null)
    fail("interleave_probs", "it is for mixtures by document; use mix_weights with mix_by: tokens");
  if (Array.isArray(weights) && weights.length !== dataset.length)
    fail("mix_weights", `${weights.length} for the ${dataset.length} of dataset; give one weight for each`);
  if (weights === null || Array.isArray(weights)) return;
  known(recipe, Object.keys(weights), "mix_weights", fail);
  const missing = dataset.find((name) => !Object.hasOwn(weights, name));
  if (missing !== undefined)
    fail("mix_weights", `${missing} has no weight; give it one, or take it out of dataset`);
}

function stages(recipe: Recipe, fail: Fail): void {
  const { dataset, curriculum } = recipe;
  if (curriculum === null) return;
  for (const [index, { until, mix }] of curriculum.entries()) {
    const before = curriculum[index - 1]?.until ?? 0;
    if (until <= before)
      fail(
        "curriculum",
        `stage ${index + 1} ends at ${until} of the steps, and stage ${index} at ${before}: stages overlap; let until rise`,
      );
    known(recipe, Object.keys(mix), "curriculum", fail);
  }
  const end = curriculum.at(-1)?.until;
  if (end !== 1)
    fail(
      "curriculum",
      `the last stage ends at ${end} of the steps, and nothing comes after; let it end at 1`,
    );
  const missing = dataset.find((name) => !curriculum.some(({ mix }) => Object.hasOwn(mix, name)));
  if (missing !== undefined)
    fail("curriculum", `${missing} is in no stage; name it in the mix of one, or take it out of dataset`);
}

const DECAY = [
  "time_decay_column",
  "time_decay_reference",
  "time_decay_floor",
  "time_decay_replacement",
  "time_decay_samples",
] as const;

function freshness({ recipe, given, notes }: Checked, fail: Fail, setting: Setting): void {
  if (recipe.time_decay_half_life === null) {
    const idle = DECAY.filter((key) => given.has(key));
    if (idle[0] !== undefined)
      notes.push(
        `${setting.where(idle[0])}: ${idle.join(", ")} ${idle.length > 1 ? "have" : "has"} no effect without time_decay_half_life`,
      );
    return;
  }
  const { time_decay_column: columns } = recipe;
  if (columns !== null && typeof columns !== "string")
    known(recipe, Object.keys(columns), "time_decay_column", fail);
}

function pacing({ recipe, given, notes }: Checked, fail: Fail, setting: Setting): void {
  if (recipe.curriculum_by === null) {
    const keys = ["curriculum_pacing", "curriculum_start", "curriculum_duration"] as const;
    const idle = keys.filter((key) => given.has(key));
    if (idle[0] !== undefined)
      notes.push(
        `${setting.where(idle[0])}: ${idle.join(", ")} ${idle.length > 1 ? "have" : "has"} no effect without curriculum_by`,
      );
    return;
  }
  if (
    recipe.curriculum_by !== "loss" &&
    recipe.time_decay_half_life !== null &&
    recipe.time_decay_replacement
  )
    fail(
      "curriculum_by",
      "sorting puts the copies side by side that time decay draws of a document; set time_decay_replacement: false, or curriculum_by: loss",
    );
}

function known({ dataset }: Recipe, names: readonly string[], key: string, fail: Fail): void {
  const stray = names.find((name) => !dataset.includes(name));
  if (stray !== undefined)
    fail(key, `${stray} is no dataset of this recipe, which has: ${dataset.join(", ")}; add it to dataset`);
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
