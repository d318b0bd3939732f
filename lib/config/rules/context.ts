// How rows are divided among processes (parallelism_config), beside their number and the other keys.
import { UserError } from "../../errors.js";
import type { Checked, Setting } from "../checked.js";
import { contextParts } from "../values/context.js";
import {
  among,
  checkSettings,
  harmless,
  type SettingCheck,
  type Settings,
  settingsOf,
} from "./settings-file.js";

/** A number of processes that are not divided in this way. */
const only1 =
  (why: string): SettingCheck =>
  (value) =>
    value === 1 ? undefined : `${why}; remove it`;

/** accelerate's ParallelismConfig. */
const PARALLELISM: Readonly<Record<string, SettingCheck>> = {
  cp_size: (value) =>
    Number.isSafeInteger(value) && (value as number) >= 1 ? undefined : "expected a whole number from 1 on",
  cp_backend: among("torch"),
  cp_handler: harmless, // allgather or alltoall: how the parts travel
  dp_replicate_size: only1("it follows from the number of processes and cp_size"),
  dp_shard_size: only1("what of the model is divided, fsdp says"),
  tp_size: only1("single layers are not divided in this version"),
  sp_size: only1("heads are not divided in this version; cp_size divides rows"),
  sp_backend: harmless,
  sp_handler: harmless,
};

/** Reads the settings in place, and refuses what cannot be divided. */
export function contextRules({ recipe, notes }: Checked, setting: Setting, processes: number): void {
  if (recipe.parallelism_config === null) return;
  const key = "parallelism_config";
  const fail = (other: string, why: string): never => {
    throw new UserError(`${setting.where(other)}: ${other}: ${why}`);
  };
  const settings = settingsOf(key, recipe.parallelism_config as string | Settings, setting);
  checkSettings(`${setting.where(key)}: ${key}`, settings, PARALLELISM);
  recipe.parallelism_config = settings;
  const parts = contextParts(recipe);
  if (parts === 1) return;
  if (processes === 1) {
    notes.push(
      `${setting.where(key)}: ${key} has no effect with one process; start several with nproc_per_node`,
    );
    recipe.parallelism_config = null;
    return;
  }
  if (processes % parts !== 0)
    fail(key, `${processes} processes are no groups of cp_size ${parts}; start a multiple of it`);
  if (recipe.flash_attn === "disabled" || recipe.flash_attn === "sdpa")
    fail("flash_attn", `rows that are divided have a separate attention; remove it, or cp_size`);
}
