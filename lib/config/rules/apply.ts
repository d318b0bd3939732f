// What keys mean together: contradictions, what a command cannot do without, and values that depend on others.
import { UserError } from "../../errors.js";
import type { Checked } from "../check.js";
import type { Command } from "../key.js";
import { SCHEMA } from "../schema.js";
import { checkpointingRules } from "../values/gradient-checkpointing.js";
import { checkSettings } from "../values/scheduler-settings.js";
import { dataFault } from "./data.js";
import { evaluationRules } from "./evaluation.js";
import { incrementalRules } from "./incremental.js";
import { samplingRules } from "./sampling.js";

/** The surroundings of the rules. */
export interface Setting {
  readonly command: Command;
  readonly env: NodeJS.ProcessEnv;
  /** Names the recipe in messages. */
  readonly source: string;
  /** Where a key was given, for messages. */
  where(key: string): string;
  /** A recipe from a file must say do_train; a call of train() says it by itself. */
  readonly fromFile: boolean;
}

/** Checks the keys against each other and resolves the dependent ones in place. */
export function applyRules(checked: Checked, setting: Setting): void {
  modelRules(checked, setting);
  if (setting.command === "train") {
    refuseSeveralProcesses(setting);
    purpose(checked, setting);
    precision(checked, setting);
    data(checked, setting);
    blocks(checked, setting);
    adapter(checked, setting);
    variants(checked, setting);
    warmUp(checked, setting);
    schedule(checked, setting);
    checkpointingRules(checked, setting);
    evaluationRules(checked, setting);
    incrementalRules(checked, setting);
    samplingRules(checked, setting);
    device(checked);
    trackers(checked, setting);
  }
  if (setting.command === "export" && checked.recipe.export_dir === "") {
    throw new UserError(
      `${setting.source}: export_dir is missing; set it to the folder for the merged model`,
    );
  }
  if (setting.command === "chat" && checked.recipe.temperature === 0) checked.recipe.do_sample = false;
  // LoRA's scale is needed by none but the trainer, but a resolved recipe has no half-resolved value.
  if (checked.recipe.lora_alpha === 0) checked.recipe.lora_alpha = 2 * checked.recipe.lora_rank;
}

function modelRules({ recipe, given }: Checked, setting: Setting): void {
  if (recipe.model_name_or_path === "") {
    throw new UserError(`${setting.source}: model_name_or_path is missing; set it to the model's folder`);
  }
  if (recipe.adapter_name_or_path !== null && recipe.finetuning_type !== "lora") {
    throw new UserError(
      `${setting.where("adapter_name_or_path")}: adapter_name_or_path needs finetuning_type: lora, not ${recipe.finetuning_type}`,
    );
  }
  if (given.has("rope_scaling") && recipe.rope_scaling !== null && recipe.rope_parameters !== null) {
    throw new UserError(
      `${setting.where("rope_parameters")}: rope_parameters and rope_scaling exclude each other; keep one`,
    );
  }
}

function refuseSeveralProcesses({ env }: Setting): void {
  const world = env.WORLD_SIZE?.trim();
  if (world === undefined || world === "" || world === "1") return;
  throw new UserError(
    `WORLD_SIZE=${world} in the environment: training runs in one process in this version; start it without torchrun, or unset WORLD_SIZE`,
  );
}

function purpose({ recipe, given, notes }: Checked, setting: Setting): void {
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

function precision({ recipe }: Checked, setting: Setting): void {
  const both =
    recipe.bf16 && recipe.fp16 ? "bf16" : recipe.pure_bf16 && recipe.fp16 ? "pure_bf16" : undefined;
  if (both !== undefined) {
    throw new UserError(`${setting.where("fp16")}: ${both} and fp16 exclude each other; keep one of them`);
  }
}

function data({ recipe }: Checked, setting: Setting): void {
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

function blocks({ recipe, given, notes }: Checked, setting: Setting): void {
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
function variants({ recipe, given, notes }: Checked, setting: Setting): void {
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

/** Keys of another method than the chosen one are named: LLaMA-Factory passes them over in silence. */
function adapter({ recipe, given, notes }: Checked, setting: Setting): void {
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

/** transformers 5: warmup_ratio, where it is given, takes the place of warmup_steps. */
function warmUp({ recipe, given, notes }: Checked, setting: Setting): void {
  if (recipe.warmup_ratio === null) return;
  if (given.has("warmup_steps") && recipe.warmup_steps !== 0) {
    notes.push(
      `${setting.where("warmup_ratio")}: warmup_ratio goes before warmup_steps, as in transformers 5; remove one of the two`,
    );
  }
  recipe.warmup_steps = recipe.warmup_ratio;
}

function schedule({ recipe, notes }: Checked, setting: Setting): void {
  const { lr_scheduler_type: name, lr_scheduler_kwargs: settings } = recipe;
  const where = setting.where("lr_scheduler_kwargs");
  const wrong = checkSettings(name, settings ?? {}, recipe.learning_rate);
  if (wrong !== undefined) throw new UserError(`${where}: lr_scheduler_kwargs: ${wrong}`);
  if (name.startsWith("constant") && settings !== null && Object.keys(settings).length > 0)
    notes.push(`${where}: lr_scheduler_kwargs has no effect with lr_scheduler_type: ${name}`);
}

function device({ recipe }: Checked): void {
  if (recipe.no_cuda) recipe.use_cpu = true;
}

function trackers({ given, recipe, notes }: Checked, setting: Setting): void {
  if (!given.has("report_to") || recipe.report_to.length === 0) return;
  recipe.report_to = [];
  notes.push(`${setting.where("report_to")}: report_to: all reports nowhere: no tracker is in this version`);
}
