// What training cannot do without or cannot have together: purpose, precision, blocks, scheduler, device, trackers.

import { UserError } from "../../errors.js";
import type { Checked, Setting } from "../checked.js";
import { checkSettings } from "../values/scheduler-settings.js";
import { contextRules } from "./context.js";
import { dataFault } from "./data.js";
import { shardingRules } from "./sharding.js";

/** What several processes cannot do yet, by nproc_per_node or torchrun's environment. */
export function severalProcesses(checked: Checked, setting: Setting): void {
  const { recipe } = checked;
  const size = Number(setting.env.WORLD_SIZE?.trim() || (recipe.nproc_per_node ?? 1));
  shardingRules(checked, setting, size);
  contextRules(checked, setting, size);
  if (size === 1) return;
  const refuse = (key: string, why: string): UserError =>
    new UserError(`${setting.where(key)}: ${key}: ${why}; remove it, or train with one process`);
  if (recipe.ddp_backend !== null && !["gloo", "nccl"].includes(recipe.ddp_backend))
    throw refuse(
      "ddp_backend",
      `${recipe.ddp_backend} is not built; processes talk by nccl on GPUs and by gloo on the processor`,
    );
  if (!recipe.average_tokens_across_devices)
    throw refuse(
      "average_tokens_across_devices",
      "the loss of several processes is divided by the tokens of all",
    );
}

export function purpose({ recipe, given, notes }: Checked, setting: Setting): void {
  if (!given.has("do_train") && !setting.fromFile) recipe.do_train = true;
  if (!recipe.do_train) {
    throw new UserError(
      `${given.has("do_train") ? setting.where("do_train") : setting.source}: nothing to do: set do_train: true`,
    );
  }
  if (recipe.dataset.length === 0) {
    throw new UserError(`${setting.source}: dataset is missing; set it to a name in dataset_info.json`);
  }
  if (!given.has("stage") && setting.fromFile) {
    notes.push(`${setting.source}: stage is not given; taken as pt (LLaMA-Factory would take sft)`);
  }
}

export function precision({ recipe }: Checked, setting: Setting): void {
  const both =
    recipe.bf16 && recipe.fp16 ? "bf16" : recipe.pure_bf16 && recipe.fp16 ? "pure_bf16" : undefined;
  if (both !== undefined) {
    throw new UserError(`${setting.where("fp16")}: ${both} and fp16 exclude each other; keep one of them`);
  }
}

export function data({ recipe }: Checked, setting: Setting): void {
  const fault = dataFault({
    ...recipe,
    eval_dataset: recipe.eval_dataset ?? [],
    interleave_probs: recipe.interleave_probs ?? undefined,
    max_samples: recipe.max_samples ?? undefined,
    tokenized_path: recipe.tokenized_path ?? undefined,
  });
  if (fault === undefined) return;
  throw new UserError(`${setting.where(fault.key)}: ${fault.key}: ${fault.what}`);
}

export function blocks({ recipe, given, notes }: Checked, setting: Setting): void {
  if (recipe.neat_packing && !recipe.packing) {
    throw new UserError(
      `${setting.where("neat_packing")}: neat_packing: it keeps packed documents apart, and packing: false packs none; remove one of the two`,
    );
  }
  const silent = recipe.tokenized_path ? "a tokenized_path" : recipe.streaming ? "a stream" : undefined;
  if (recipe.neat_packing && silent !== undefined) {
    throw new UserError(
      `${setting.where("neat_packing")}: neat_packing: the blocks of ${silent} do not say where documents begin; remove one of the two`,
    );
  }
  if (!given.has("packing") || !recipe.packing) return;
  recipe.cutoff_len -= 1;
  if (recipe.cutoff_len < 2) {
    throw new UserError(
      `${setting.where("cutoff_len")}: cutoff_len: expected at least 3 with packing: true, received 2`,
    );
  }
  notes.push(
    `${setting.where("packing")}: packing: true written out makes blocks of ${recipe.cutoff_len} tokens, one less than cutoff_len, as in LLaMA-Factory; leave packing out for ${recipe.cutoff_len + 1}`,
  );
}

/** transformers 5: warmup_ratio, where it is given, takes the place of warmup_steps. */
export function warmUp({ recipe, given, notes }: Checked, setting: Setting): void {
  if (recipe.warmup_ratio === null) return;
  if (given.has("warmup_steps") && recipe.warmup_steps !== 0) {
    notes.push(
      `${setting.where("warmup_ratio")}: warmup_ratio takes precedence over warmup_steps, as in transformers 5; remove one of the two`,
    );
  }
  recipe.warmup_steps = recipe.warmup_ratio;
}

export function schedule({ recipe, notes }: Checked, setting: Setting): void {
  const { lr_scheduler_type: name, lr_scheduler_kwargs: settings } = recipe;
  const where = setting.where("lr_scheduler_kwargs");
  const wrong = checkSettings(name, settings ?? {}, recipe.learning_rate);
  if (wrong !== undefined) throw new UserError(`${where}: lr_scheduler_kwargs: ${wrong}`);
  if (name.startsWith("constant") && settings !== null && Object.keys(settings).length > 0)
    notes.push(`${where}: lr_scheduler_kwargs has no effect with lr_scheduler_type: ${name}`);
}

export function device({ recipe }: Checked): void {
  if (recipe.no_cuda) recipe.use_cpu = true;
}

const SWANLAB_KEY = /^swanlab_/;

/** use_swanlab names SwanLab, too; keys of a tracker that is not used are mentioned. */
export function trackers({ given, recipe, notes }: Checked, setting: Setting): void {
  if (recipe.use_swanlab && !recipe.report_to.includes("swanlab"))
    recipe.report_to = [...recipe.report_to, "swanlab"];
  const uses = (name: string) => recipe.report_to.includes(name) || recipe.report_to.includes("all");
  for (const key of given) {
    if (SWANLAB_KEY.test(key) && !recipe.use_swanlab)
      notes.push(`${setting.where(key)}: ${key} has no effect without use_swanlab: true`);
    if (key === "logging_dir" && recipe.logging_dir !== null && !uses("tensorboard"))
      notes.push(`${setting.where(key)}: logging_dir has no effect without report_to: tensorboard`);
  }
}
