// How a checkpoint says that its linear layers are kept in fewer bits: config.json's `quantization_config`, as
// transformers and bitsandbytes write it. Not here: the layers (nn/quantized), their weights (quantized-weights.ts).

import { UserError } from "../../errors.js";
import type {
  EightBitFormat,
  Float8Format,
  FourBitFormat,
  FourBitType,
  IntegerFormat,
} from "../../nn/index.js";
import { FOUR_BIT_TYPES } from "../../nn/index.js";
import type { DType } from "../../torch/index.js";

/** What the linear layers of a model are kept in. */
export type Quantization = (FourBitFormat | EightBitFormat | IntegerFormat | Float8Format) & QuantizedWhere;

/** Which layers, and from what. */
export interface QuantizedWhere {
  /** Layers that stay as they are, beside the head: `modules_to_not_convert`. */
  readonly skipped: readonly string[];
  /** Plain weights are rounded to this before they are quantized. Default: as stored. */
  readonly from?: DType | undefined;
}

/** Numbers that share a scale where a checkpoint does not say: bitsandbytes' default. */
export const RUN = 64;

/** From this size on an element of a layer's input is an outlier, where a checkpoint does not say: bitsandbytes' default. */
export const THRESHOLD = 6;

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
  const isBitsandbytes = config["load_in_4bit"] === true || config["load_in_8bit"] === true;
  const method = config["quant_method"] ?? (isBitsandbytes ? "bitsandbytes" : undefined);
  if (method !== "bitsandbytes") return fail(`weights of ${nameOf(method)} are not read`);
  const skips = config["llm_int8_skip_modules"] ?? [];
  if (!Array.isArray(skips)) return fail("llm_int8_skip_modules is no list");
  const skipped = skips.map(String);
  if (config["load_in_8bit"] === true) {
    const threshold = config["llm_int8_threshold"] ?? THRESHOLD;
    if (typeof threshold !== "number" || !(threshold >= 0))
      return fail("llm_int8_threshold is no number from 0");
    if (config["llm_int8_has_fp16_weight"] === true)
      return fail("llm_int8_has_fp16_weight: weights that stay in 16 bits are not read");
    return { type: "int8", threshold, skipped };
  }
  if (config["load_in_4bit"] !== true) return fail("neither load_in_4bit nor load_in_8bit is true");
  const type = (config["bnb_4bit_quant_type"] ?? "fp4") as FourBitType;
  if (!FOUR_BIT_TYPES.includes(type))
    return fail(`bnb_4bit_quant_type ${JSON.stringify(type)} is neither nf4 nor fp4`);
  return { type, nested: config["bnb_4bit_use_double_quant"] === true, run: RUN, skipped };
}

function nameOf(method: unknown): string {
  return typeof method === "string" ? method.toUpperCase() : "an unnamed method";
}

/**
 * The object that transformers writes for a model in this format.
 * @throws UserError for what is multiplied as it is, integers or 8-bit floats: no checkpoint keeps them
 */
export function quantizationConfig(quantization: Quantization, dtype: DType): Record<string, unknown> {
  const { skipped } = quantization;
  if (quantization.type === "int8 products")
    throw new UserError("a model in integers (quantization_compute) is not saved: save the original weights");
  if (quantization.type === "fp8 products")
    throw new UserError("a frozen model in fp8 is not saved: save the original weights");
  const inEight = quantization.type === "int8";
  // the threshold of a model of 4 bits, a float, is the default
  return {
    _load_in_4bit: !inEight,
    _load_in_8bit: inEight,
    bnb_4bit_compute_dtype: inEight ? "float32" : dtype,
    bnb_4bit_quant_storage: "uint8",
    bnb_4bit_quant_type: inEight ? "fp4" : quantization.type,
    bnb_4bit_use_double_quant: !inEight && quantization.nested,
    llm_int8_enable_fp32_cpu_offload: false,
    llm_int8_has_fp16_weight: false,
    llm_int8_skip_modules: skipped.length > 0 ? skipped : null,
    ...(inEight && { llm_int8_threshold: quantization.threshold }),
    load_in_4bit: !inEight,
    load_in_8bit: inEight,
    quant_method: "bitsandbytes",
  };
}

/** What a sentence calls the format. */
export function formatName(quantization: Quantization): string {
  if (!("nested" in quantization)) return quantization.type;
  return quantization.nested ? `${quantization.type}, double quantization` : quantization.type;
}
