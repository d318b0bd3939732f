// What is divided among processes, with its settings (fsdp_config, DeepSpeed's file), beside the other keys.
import { UserError } from "../../errors.js";
import type { Checked, Setting } from "../checked.js";
import { shardingOf } from "../values/sharding.js";
import {
  among,
  checkSettings,
  harmless,
  off,
  type SettingCheck,
  type Settings,
  settingsOf,
} from "./settings-file.js";

/** Reads the settings in place, and refuses what cannot be divided. */
export function shardingRules(checked: Checked, setting: Setting, processes: number): void {
  const { recipe, notes } = checked;
  const fail = (key: string, why: string): never => {
    throw new UserError(`${setting.where(key)}: ${key}: ${why}`);
  };
  if (recipe.fsdp !== null && recipe.deepspeed !== null)
    fail("deepspeed", "it and fsdp divide the same model; keep one of the two");
  if (recipe.fsdp_config !== null) fsdp(checked, setting);
  if (recipe.deepspeed !== null) deepspeed(checked, setting);
  const key = recipe.deepspeed === null ? "fsdp" : "deepspeed";
  if (shardingOf(recipe) === undefined) return;
  if (processes === 1) {
    notes.push(
      `${setting.where(key)}: ${key} has no effect with one process; start several with nproc_per_node`,
    );
    recipe.fsdp = null;
    recipe.deepspeed = null;
    return;
  }
  const beside = (other: string, why: string): never => fail(other, `${why}; remove it, or ${key}`);
  for (const full of ["bf16_full_eval", "fp16_full_eval"] as const)
    if (recipe[full]) beside(full, "weights that are divided are not cast");
}

const NOT_MOVED = "weights and state stay in memory in this version";

/** accelerate's settings of FSDP, with or without the prefix fsdp_. */
const FSDP: Readonly<Record<string, SettingCheck>> = {
  backward_prefetch: among("no_prefetch", "backward_pre", "backward_post"),
  forward_prefetch: among(true, false),
  reshard_after_forward: among(true, false),
  activation_checkpointing: among(true, false),
  min_num_params: harmless, // every block is a unit
  transformer_layer_cls_to_wrap: harmless,
  auto_wrap_policy: harmless,
  limit_all_gathers: harmless,
  use_orig_params: harmless,
  sync_module_states: harmless,
  cpu_ram_efficient_loading: harmless,
  state_dict_type: harmless, // any number of processes reads a checkpoint
  version: among(1, 2),
  offload_params: off(NOT_MOVED),
  cpu_offload: off(NOT_MOVED),
  xla: off("it is for TPUs"),
};

function fsdp({ recipe, notes }: Checked, setting: Setting): void {
  const given = settingsOf("fsdp_config", recipe.fsdp_config as string | Settings, setting);
  const settings = Object.fromEntries(
    Object.entries(given).map(([key, value]) => {
      const name = key.replace(/^fsdp_/, "");
      return [name, name === "backward_prefetch" ? String(value).toLowerCase() : value];
    }),
  );
  checkSettings(`${setting.where("fsdp_config")}: fsdp_config`, settings, FSDP);
  recipe.fsdp_config = settings;
  if (recipe.fsdp === null)
    notes.push(`${setting.where("fsdp_config")}: fsdp_config has no effect without fsdp`);
  else if (settings["activation_checkpointing"] === true) {
    if (recipe.gradient_checkpointing === false)
      throw new UserError(
        `${setting.where("fsdp_config")}: fsdp_config: activation_checkpointing: true contradicts gradient_checkpointing: false; keep one of the two`,
      );
    recipe.gradient_checkpointing ??= true;
  }
}

function offload(value: unknown): string | undefined {
  const { device: place = "none" } = Object(value) as { device?: unknown };
  return place === "none" ? undefined : NOT_MOVED;
}

/** What of DeepSpeed's zero_optimization is known: sizes and orders that change no result. */
const ZERO: Readonly<Record<string, SettingCheck>> = {
  stage: among(0, 1, 2, 3),
  overlap_comm: among(true, false, "auto"),
  offload_optimizer: offload,
  offload_param: offload,
  ...Object.fromEntries(
    [
      ...["allgather_partitions", "allgather_bucket_size", "reduce_scatter", "reduce_bucket_size"],
      ...["contiguous_gradients", "round_robin_gradients", "sub_group_size", "ignore_unused_parameters"],
      ...["stage3_prefetch_bucket_size", "stage3_param_persistence_threshold", "stage3_max_live_parameters"],
      ...["stage3_max_reuse_distance", "stage3_gather_16bit_weights_on_model_save"],
    ].map((key) => [key, harmless]),
  ),
};

function deepspeed({ recipe }: Checked, setting: Setting): void {
  const settings = settingsOf("deepspeed", recipe.deepspeed as string | Settings, setting);
  const name = `${setting.where("deepspeed")}: deepspeed`;
  const like =
    (key: string, value: unknown): SettingCheck =>
    (found) =>
      found === "auto" || found === value ? undefined : `the recipe's ${key} says ${value}; write "auto"`;
  const precision =
    (key: string, value: boolean): SettingCheck =>
    (found) => {
      const { enabled = false } = Object(found) as { enabled?: unknown };
      return enabled === "auto" || enabled === value
        ? undefined
        : `the recipe's ${key} says ${value}; write "auto"`;
    };
  const byRecipe =
    (keys: string): SettingCheck =>
    () =>
      `the recipe says it (${keys}); remove it`;
  checkSettings(name, settings, {
    train_batch_size: (found) =>
      found === "auto" ? undefined : 'it follows from the recipe and the number of processes; write "auto"',
    train_micro_batch_size_per_gpu: like("per_device_train_batch_size", recipe.per_device_train_batch_size),
    gradient_accumulation_steps: like("gradient_accumulation_steps", recipe.gradient_accumulation_steps),
    gradient_clipping: like("max_grad_norm", recipe.max_grad_norm),
    bf16: precision("bf16", recipe.bf16 || recipe.pure_bf16),
    fp16: precision("fp16", recipe.fp16),
    optimizer: byRecipe("optim, learning_rate, adam_beta1, weight_decay"),
    scheduler: byRecipe("lr_scheduler_type, warmup_steps"),
    zero_optimization: (found) => {
      checkSettings(`${name}: zero_optimization`, Object(found) as Settings, ZERO);
      return undefined;
    },
    zero_allow_untested_optimizer: harmless,
    zero_force_ds_cpu_optimizer: harmless,
    steps_per_print: harmless,
    wall_clock_breakdown: harmless,
  });
  recipe.deepspeed = settings;
}
