// What keys mean together: contradictions, what a command cannot do without, and values that depend on others.
import { UserError } from "../../errors.js";
import type { Checked, Setting } from "../checked.js";
import { checkpointingRules } from "./checkpointing.js";
import { evaluationRules } from "./evaluation.js";
import { incrementalRules } from "./incremental.js";
import { adapter, variants } from "./method.js";
import { offloadRules, quantizationRules } from "./quantization.js";
import { samplingRules } from "./sampling.js";
import {
  blocks,
  data,
  device,
  precision,
  purpose,
  schedule,
  severalProcesses,
  trackers,
  warmUp,
} from "./train.js";

/** Checks the keys against each other and resolves the dependent ones in place. */
export function applyRules(checked: Checked, setting: Setting): void {
  modelRules(checked, setting);
  quantizationRules(checked, setting);
  if (setting.command === "train") {
    purpose(checked, setting);
    precision(checked, setting);
    data(checked, setting);
    blocks(checked, setting);
    adapter(checked, setting);
    variants(checked, setting);
    warmUp(checked, setting);
    schedule(checked, setting);
    offloadRules(checked, setting);
    checkpointingRules(checked, setting);
    evaluationRules(checked, setting);
    incrementalRules(checked, setting);
    samplingRules(checked, setting);
    device(checked);
    severalProcesses(checked, setting);
    trackers(checked, setting);
  }
  if (setting.command === "export" && checked.recipe.export_dir === "") {
    throw new UserError(
      `${setting.source}: export_dir is missing; set it to the folder for the merged model`,
    );
  }
  if (setting.command === "chat" && checked.recipe.temperature === 0) checked.recipe.do_sample = false;
  // Only the trainer needs LoRA's scale, but a resolved recipe has no half-resolved value.
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
