// How a recipe's model is kept: as its checkpoint says, or in 4 or 8 bits by the recipe's keys. What the keys mean together:
// config/rules/quantization.ts.

import type { Recipe } from "../config/index.js";
import { UserError } from "../errors.js";
import { formatName, type ModelConfig, RUN, THRESHOLD } from "../models/index.js";
import { hasInt8Products } from "../nn/index.js";
import { accelerator, type DType } from "../torch/index.js";

/** The keys that are read here. */
export type QuantizingRecipe = Pick<
  Recipe,
  "quantization_bit" | "quantization_type" | "double_quantization" | "model_name_or_path"
>;

/**
 * The configuration with the recipe's quantization. A checkpoint that is quantized already stays as it is.
 * @param compute what plain weights are rounded to before they are quantized; undefined leaves them as stored
 * @throws UserError where the recipe contradicts the checkpoint
 */
export function quantizedConfig(
  recipe: QuantizingRecipe,
  config: ModelConfig,
  compute: DType | undefined,
  onNote: (text: string) => void = () => {},
): ModelConfig {
  const { quantization_bit: bits, quantization_type: type, double_quantization: nested } = recipe;
  const has = config.quantization;
  if (bits === null) return config;
  if (has === undefined) {
    const where = { skipped: [], from: compute };
    if (bits === 8) return { ...config, quantization: { type: "int8", threshold: THRESHOLD, ...where } };
    return { ...config, quantization: { type, nested, run: RUN, ...where } };
  }
  const hasBits = has.type === "int8" ? 8 : 4;
  if (bits !== hasBits)
    throw new UserError(
      `quantization_bit: ${bits}: ${recipe.model_name_or_path} is quantized already, to ${hasBits} bits; remove quantization_bit, or take the original weights`,
    );
  if (bits === 4 && has.type !== type && type !== "nf4")
    throw new UserError(
      `quantization_type: ${type}: ${recipe.model_name_or_path} is quantized already, to ${has.type}; remove quantization_type, or take the original weights`,
    );
  onNote(
    `quantization_bit has no effect: ${recipe.model_name_or_path} is quantized already (${formatName(has)})`,
  );
  return config;
}

/**
 * The configuration with the layers of `quantization_compute`: integers that are multiplied as such.
 * @throws UserError where the checkpoint is quantized already, or nothing here multiplies them
 */
export function integerConfig(
  recipe: Pick<Recipe, "quantization_compute" | "use_cpu" | "model_name_or_path">,
  config: ModelConfig,
  compute: DType | undefined,
): ModelConfig {
  if (recipe.quantization_compute === null) return config;
  const fail = (why: string): never => {
    throw new UserError(`quantization_compute: int8: ${why}`);
  };
  if (config.quantization !== undefined)
    fail(
      `${recipe.model_name_or_path} is quantized already (${formatName(config.quantization)}); remove it, or take the original weights`,
    );
  if (!recipe.use_cpu && accelerator() !== undefined)
    fail("its products are a processor's; remove it, or set use_cpu: true");
  if (!hasInt8Products()) fail("its products need a processor with AVX2; remove it");
  return { ...config, quantization: { type: "int8 products", skipped: [], from: compute } };
}

/**
 * Checks that weights which stay in their file (`layer_offload`) meet the processor.
 * @throws UserError where a device would take copies of them, or where they are in codes
 */
export function checkOffload(
  recipe: Pick<Recipe, "layer_offload" | "use_cpu" | "model_name_or_path">,
  config: ModelConfig,
): void {
  if (recipe.layer_offload === null) return;
  if (config.quantization !== undefined)
    throw new UserError(
      `layer_offload: ${recipe.model_name_or_path} is quantized already (${formatName(config.quantization)}): its weights stay in memory; remove it`,
    );
  if (!recipe.use_cpu && accelerator() !== undefined)
    throw new UserError(
      "layer_offload: disk: a processor reads the file as it computes, a GPU does not; remove it, or set use_cpu: true",
    );
}

/**
 * Checks that a recipe trains what its quantized checkpoint can be trained by; a recipe that quantizes itself was checked
 * before.
 * @throws UserError as LLaMA-Factory does
 */
export function checkTrainable(recipe: Recipe, config: ModelConfig): void {
  if (config.quantization === undefined) return;
  const fail = (key: string, why: string): never => {
    throw new UserError(
      `${key}: ${recipe.model_name_or_path} is quantized: ${why}, or take the original weights`,
    );
  };
  if (recipe.finetuning_type !== "lora")
    fail(
      "finetuning_type",
      `it is trained by lora alone, not ${recipe.finetuning_type}; set finetuning_type: lora`,
    );
  if (recipe.pissa_init) fail("pissa_init", "it has no singular vectors to give up; remove pissa_init");
  if (recipe.resize_vocab) fail("resize_vocab", "its tables are not resized; remove resize_vocab");
  if (recipe.extend_vocab) fail("extend_vocab", "its tables are not resized; remove extend_vocab");
  if (recipe.ewc_lambda !== null) fail("ewc_lambda", "it has no Fisher information; remove ewc_lambda");
  const adapters = recipe.adapter_name_or_path ?? [];
  if (adapters.length > 1 || (adapters.length > 0 && recipe.create_new_adapter))
    fail("adapter_name_or_path", "no adapter is merged into it; name the one to train on");
}
