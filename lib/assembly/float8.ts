// `fp8: true`: which layers of a recipe's model multiply in 8-bit floats, and whether its device can. What the key goes
// with: config/rules/quantization.ts.

import type { Recipe } from "../config/index.js";
import { UserError } from "../errors.js";
import type { Emit } from "../events.js";
import { formatName, type ModelConfig } from "../models/index.js";
import { FLOAT8_CAPABILITY } from "../nn/index.js";
import { accelerator, type DType, defaultDevice, fusedKernels } from "../torch/index.js";

/**
 * The configuration with products in 8-bit floats, where the recipe asks for them: weights that an adapter is trained
 * beside are kept in them too, others stay as they are.
 * @param compute what frozen weights are rounded to before that; undefined: nothing
 * @throws UserError where the checkpoint is quantized, or the card has no such products
 */
export function float8Config(
  recipe: Pick<Recipe, "fp8" | "use_cpu" | "finetuning_type" | "model_name_or_path">,
  config: ModelConfig,
  compute: DType | undefined,
  emit: Emit,
): ModelConfig {
  if (!recipe.fp8) return config;
  if (config.quantization !== undefined)
    throw new UserError(
      `fp8: ${recipe.model_name_or_path} is quantized already (${formatName(config.quantization)}); remove fp8, or take the original weights`,
    );
  const isOnCpu = recipe.use_cpu || accelerator() === undefined;
  const problem = isOnCpu ? undefined : cardProblem(fusedKernels(defaultDevice())?.capability ?? 0);
  if (problem !== undefined) throw new UserError(problem);
  if (isOnCpu)
    emit({
      type: "message",
      level: "warning",
      text: "fp8: a processor multiplies what the 8-bit floats stand for: a card's numbers, and slower than without; remove fp8 to be faster",
    });
  if (recipe.finetuning_type !== "lora") return { ...config, products: "fp8" };
  return { ...config, quantization: { type: "fp8 products", skipped: [], from: compute } };
}

/**
 * Why a card has no products of 8-bit floats, in a line.
 * @param capability its compute capability times ten; 0 where it is not known
 */
export function cardProblem(capability: number): string | undefined {
  if (capability === 0 || capability >= FLOAT8_CAPABILITY) return undefined;
  return `fp8: this card's compute capability is ${Math.floor(capability / 10)}.${capability % 10}, and products of 8-bit floats need 8.9 or more: remove fp8 (bf16: true is next), or train on another card`;
}
