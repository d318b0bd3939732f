// How a checkpoint says that its linear layers are kept in fewer bits: config.json's `quantization_config`, as
// transformers and bitsandbytes write it. Not here: the layers (nn/quantized), their weights (quantized-weights.ts).

import { UserError } from "../../errors.js";
import type { FourBitFormat, FourBitType } from "../../nn/index.js";
import { FOUR_BIT_TYPES } from "../../nn/index.js";
import type { DType } from "../../torch/index.js";

/** What the linear layers of a model are kept in. */
export interface Quantization extends FourBitFormat {
  /** Layers that stay as they are, beside the head: `modules_to_not_convert`. */
  readonly skipped: readonly string[];
  /** Plain weights are rounded to this before they are quantized. Default: as stored. */
  readonly from?: DType | undefined;
}

/** Numbers that share a scale where a checkpoint does not say: bitsandbytes' default. */
export const RUN = 64;

const ORIGINAL = "take the model's original weights, with quantization_bit: 4";

/**
 * Reads `quantization_config`; undefined where there is none.
 * @throws UserError naming the kind of quantization where it is not read here
 */
export function parseQuantization(raw: unknown, source: string): Quantization | undefined {
  if (raw === undefined || raw === null) return undefined;
  const fail = (what: string): never => {
    throw new UserError(`${source}: quantization_config: ${what}; ${ORIGINAL}`);
  };
  if (typeof raw !== "object" || Array.isArray(raw)) return fail("is no object");
  const config = raw as Record<string, unknown>;
  const method = config["quant_method"] ?? (config["load_in_4bit"] === true ? "bitsandbytes" : undefined);
  if (method !== "bitsandbytes") return fail(`weights of ${nameOf(method)} are not read`);
  if (config["load_in_8bit"] === true) return fail("bitsandbytes' weights of 8 bits are not read");
  if (config["load_in_4bit"] !== true) return fail("load_in_4bit is not true");
  const type = (config["bnb_4bit_quant_type"] ?? "fp4") as FourBitType;
  if (!FOUR_BIT_TYPES.includes(type))
    return fail(`bnb_4bit_quant_type ${JSON.stringify(type)} is neither nf4 nor fp4`);
  const skipped = config["llm_int8_skip_modules"] ?? [];
  if (!Array.isArray(skipped)) return fail("llm_int8_skip_modules is no list");
  return {
    type,
    nested: config["bnb_4bit_use_double_quant"] === true,
    run: RUN,
    skipped: skipped.map(String),
  };
}

function nameOf(method: unknown): string {
  return typeof method === "string" ? method.toUpperCase() : "an unnamed method";
}

/** The object that transformers writes for a model in this format; its threshold of 8 bits, a float, is the default. */
export function quantizationConfig(quantization: Quantization, dtype: DType): Record<string, unknown> {
  const { type, nested, skipped } = quantization;
  return {
    _load_in_4bit: true,
    _load_in_8bit: false,
    bnb_4bit_compute_dtype: dtype,
    bnb_4bit_quant_storage: "uint8",
    bnb_4bit_quant_type: type,
    bnb_4bit_use_double_quant: nested,
    llm_int8_enable_fp32_cpu_offload: false,
    llm_int8_has_fp16_weight: false,
    llm_int8_skip_modules: skipped.length > 0 ? skipped : null,
    load_in_4bit: true,
    load_in_8bit: false,
    quant_method: "bitsandbytes",
  };
}
