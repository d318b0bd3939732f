// What goes with a quantized base model: LLaMA-Factory's refusals, and what has no meaning beside it.

import { UserError } from "../../errors.js";
import type { Checked, Setting } from "../checked.js";
import type { Recipe } from "../schema.js";
import { shardingOf } from "../values/sharding.js";

/** Keys that keep the frozen layers in few bits. */
type Quantizing = "quantization_bit" | "quantization_compute" | "fp8";
type Fail = (key: string, why: string) => never;

const OF_FOUR = ["quantization_type", "double_quantization"] as const;
const BESIDE = ["quantization_method", "quantization_type", "double_quantization"] as const;

/** Checks the keys of quantization against each other and against what is trained. */
export function quantizationRules({ recipe, given, notes }: Checked, setting: Setting): void {
  const fail: Fail = (key, why) => {
    throw new UserError(`${setting.where(key)}: ${key}: ${why}`);
  };
  const bits = recipe.quantization_bit;
  if (setting.command === "train") {
    if (recipe.quantization_compute !== null) integers(recipe, fail);
    if (recipe.fp8) float8(recipe, fail);
    else if (given.has("fp8_backend"))
      notes.push(`${setting.where("fp8_backend")}: fp8_backend has no effect without fp8: true`);
  }
  if (bits === null) {
    const idle = BESIDE.filter((key) => given.has(key));
    if (idle[0] !== undefined)
      notes.push(
        `${setting.where(idle[0])}: ${idle.join(", ")} ${idle.length > 1 ? "have" : "has"} no effect without quantization_bit: 4`,
      );
    return;
  }
  if (bits !== 4 && bits !== 8)
    fail("quantization_bit", `${bits} bits are not a format of bitsandbytes'; set quantization_bit: 4 or 8`);
  if (recipe.quantization_method !== "bnb")
    fail(
      "quantization_method",
      `${recipe.quantization_method} is not built in; set quantization_method: bnb, which needs no package`,
    );
  const idle = bits === 8 ? OF_FOUR.filter((key) => given.has(key)) : [];
  if (idle[0] !== undefined)
    notes.push(
      `${setting.where(idle[0])}: ${idle.join(", ")} ${idle.length > 1 ? "have" : "has"} no effect with quantization_bit: 8`,
    );
  if (setting.command === "train") trained(recipe, "quantization_bit", fail);
  if (setting.command === "train" && !recipe.upcast_layernorm)
    notes.push(
      `${setting.where("quantization_bit")}: upcast_layernorm: true is usual with a quantized model: its norms are then float32`,
    );
  const adapters = recipe.adapter_name_or_path ?? [];
  if (setting.command === "export" && adapters.length > 0)
    fail(
      "quantization_bit",
      "an adapter cannot be merged into a quantized model; remove quantization_bit to merge it into the original weights",
    );
  if (adapters.length > 1)
    fail(
      "adapter_name_or_path",
      "a quantized model takes one adapter; merge the others first (qwen-pt export)",
    );
}

/** What a weight that is kept in few bits by `key` refuses. */
function trained(recipe: Recipe, key: Quantizing, fail: Fail): void {
  if (recipe.finetuning_type !== "lora")
    fail(
      key,
      `needs finetuning_type: lora, not ${recipe.finetuning_type}: a quantized weight is not trained`,
    );
  if (recipe.pissa_init)
    fail("pissa_init", `a quantized weight has no singular vectors to give up; remove pissa_init or ${key}`);
  if (recipe.train_from_scratch)
    fail(
      "train_from_scratch",
      `weights that nobody has trained are not worth freezing in so few bits; remove ${key}`,
    );
  for (const resizing of ["resize_vocab", "extend_vocab"] as const)
    if (recipe[resizing])
      fail(resizing, `the tables of a quantized model are not resized; remove it, or train without ${key}`);
  if (recipe.create_new_adapter && recipe.adapter_name_or_path !== null)
    fail(
      "create_new_adapter",
      "the adapter before it cannot be merged into a quantized model; merge it first (qwen-pt export)",
    );
  if (recipe.ewc_lambda !== null)
    fail(
      "ewc_lambda",
      `a quantized weight has no gradient to take its Fisher information from; remove ${key}`,
    );
}

/** Checks `layer_offload`: weights that lie in a file as they are computed with, in one process. */
export function offloadRules({ recipe }: Checked, setting: Setting): void {
  if (recipe.layer_offload === null) return;
  const fail: Fail = (key, why) => {
    throw new UserError(`${setting.where(key)}: ${key}: ${why}`);
  };
  const key = "layer_offload";
  if (recipe.finetuning_type !== "lora")
    fail(
      key,
      `needs finetuning_type: lora, not ${recipe.finetuning_type}: weights that train stay in memory`,
    );
  for (const other of ["quantization_bit", "quantization_compute", "fp8"] as const)
    if (recipe[other] !== null && recipe[other] !== false)
      fail(key, `quantized weights are not in the model's file; remove it or ${other}`);
  if (recipe.pissa_init || recipe.train_from_scratch)
    fail(key, `remove ${recipe.pissa_init ? "pissa_init" : "train_from_scratch"}: its weights are no file's`);
  if (shardingOf(recipe) !== undefined)
    fail(key, "sharded weights are in no file; remove it, or train in one process");
}

/** Checks `fp8`: products of the blocks' layers, whose weights beside an adapter are kept so. */
function float8(recipe: Recipe, fail: Fail): void {
  for (const other of ["quantization_bit", "quantization_compute"] as const)
    if (recipe[other] !== null) fail("fp8", `the frozen layers have a format already; remove it or ${other}`);
  if (recipe.finetuning_type !== "lora") return;
  trained(recipe, "fp8", fail);
  if ((recipe.adapter_name_or_path ?? []).length > 1)
    fail("adapter_name_or_path", "a model of fp8 takes one adapter; merge the others first (qwen-pt export)");
}

/** Checks `quantization_compute`: our own, beside no other format. */
function integers(recipe: Recipe, fail: Fail): void {
  const key = "quantization_compute";
  if (recipe.quantization_bit !== null)
    fail(key, "has a format for the weights already; remove it or quantization_bit");
  trained(recipe, key, fail);
  if ((recipe.adapter_name_or_path ?? []).length > 1)
    fail(
      "adapter_name_or_path",
      `a model of ${key} takes one adapter; merge the others first (qwen-pt export)`,
    );
}
