// The parameters of the rotary embedding: from config.json (both spellings) and from a recipe's `rope_scaling`.
// Not here: frequencies (rope.ts).

import { Fields } from "../files/fields.js";

/** The types of rotary scaling that are computed here, by transformers' names. */
export const ROPE_TYPES = ["default", "linear", "dynamic", "yarn", "llama3"] as const;
/** One of {@link ROPE_TYPES}. */
export type RopeType = (typeof ROPE_TYPES)[number];

/** As `rope_parameters` of transformers 5; which keys matter depends on the type. */
export interface RopeConfig {
  /** Which formula; `default` scales nothing. */
  rope_type: RopeType;
  /** The base of the wavelengths (Su et al. 2021, arXiv:2104.09864). */
  rope_theta: number;
  /** By how much the context grows; every type but `default` has one. */
  factor?: number;
  /** yarn, llama3: positions that the model was trained for. */
  original_max_position_embeddings?: number;
  /** yarn: what cos and sin are multiplied by, in place of what follows from the factor. */
  attention_factor?: number;
  /** yarn: rotations above which a dimension is not scaled. Default 32. */
  beta_fast?: number;
  /** yarn: rotations below which a dimension is scaled whole. Default 1. */
  beta_slow?: number;
  /** yarn: weight of the factor in the attention factor, with `mscale_all_dim`. */
  mscale?: number;
  /** yarn: the same for what the attention factor is divided by. */
  mscale_all_dim?: number;
  /** yarn: whether the bounds of the ramp are whole dimensions. Default true. */
  truncate?: boolean;
  /** llama3: wavelengths above original positions / this are scaled whole. */
  low_freq_factor?: number;
  /** llama3: wavelengths below original positions / this are not scaled. */
  high_freq_factor?: number;
}

const OPTIONAL = ["attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim"] as const;

/**
 * Reads `rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling` (transformers 4).
 * `rope_scaling`, where both are present, wins, as it does in transformers.
 */
export function parseRope(config: Fields, maxPositions: number): RopeConfig {
  const key = config.has("rope_scaling") ? "rope_scaling" : "rope_parameters";
  const fields = new Fields(config.has(key) ? config.raw[key] : {}, `${config.source}: ${key}`);
  const rope_type = fields.string("rope_type", fields.string("type", "default")) as RopeType;
  if (!ROPE_TYPES.includes(rope_type)) {
    fields.fail("rope_type", `"${rope_type}" is not supported; choose from ${ROPE_TYPES.join(", ")}`);
  }
  if (fields.has("partial_rotary_factor") && fields.number("partial_rotary_factor") !== 1) {
    fields.fail("partial_rotary_factor", "is not supported for Qwen3, which rotates the whole head");
  }
  const rope: RopeConfig = {
    rope_type,
    rope_theta: fields.positive("rope_theta", config.positive("rope_theta", 10000)),
  };
  if (rope_type === "default") return rope;
  if (rope_type === "yarn" || rope_type === "llama3") {
    rope.original_max_position_embeddings = fields.count("original_max_position_embeddings", maxPositions);
  }
  if (rope_type === "yarn") {
    for (const name of OPTIONAL) if (fields.has(name)) rope[name] = fields.number(name);
    rope.truncate = fields.boolean("truncate", true);
    const implied = maxPositions / (rope.original_max_position_embeddings as number);
    rope.factor = fields.positive("factor", implied);
  } else {
    rope.factor = fields.positive("factor");
  }
  if (rope_type === "llama3") {
    rope.low_freq_factor = fields.positive("low_freq_factor");
    rope.high_freq_factor = fields.positive("high_freq_factor");
    if (rope.high_freq_factor <= rope.low_freq_factor) {
      fields.fail(
        "high_freq_factor",
        `${rope.high_freq_factor} must be above low_freq_factor ${rope.low_freq_factor}`,
      );
    }
  }
  return rope;
}

/** What a recipe's `rope_scaling` does to a model: its new parameters, or the reason for leaving it alone. */
export interface RopeScaling {
  /** The parameters to compute with. */
  rope: RopeConfig;
  /** Positions that they reach. */
  maxPositions: number;
  /** Lines for the user about it. */
  notes: { level: "info" | "warning"; text: string }[];
}

/**
 * LLaMA-Factory's rule: scaling only where `cutoffLength` exceeds what the model was trained for, by the whole
 * factor that covers it. Without a cutoff (inference) the factor is 2. The base wavelength is kept.
 */
export function scaleRope(
  current: { rope: RopeConfig; max_position_embeddings: number },
  type: Exclude<RopeType, "default">,
  cutoffLength: number | undefined,
): RopeScaling {
  const trained = current.rope.original_max_position_embeddings ?? current.max_position_embeddings;
  if (cutoffLength !== undefined && cutoffLength <= trained) {
    const text = `rope_scaling has no effect: cutoff_len ${cutoffLength} is within the model's ${trained} positions`;
    return {
      rope: current.rope,
      maxPositions: current.max_position_embeddings,
      notes: [{ level: "warning", text }],
    };
  }
  const factor = cutoffLength === undefined ? 2 : Math.ceil(cutoffLength / trained);
  const rope: RopeConfig = { rope_type: type, rope_theta: current.rope.rope_theta, factor };
  if (type !== "linear") rope.original_max_position_embeddings = trained;
  if (type === "yarn") rope.truncate = true;
  if (type === "llama3") Object.assign(rope, { low_freq_factor: 1, high_freq_factor: 4 });
  const maxPositions = trained * factor;
  const notes: RopeScaling["notes"] = [
    {
      level: "info",
      text: `rope_scaling ${type} with factor ${factor}: from ${trained} to ${maxPositions} positions`,
    },
  ];
  if (type === "dynamic")
    notes.push({ level: "warning", text: "rope_scaling dynamic is made for inference, not for training" });
  return { rope, maxPositions, notes };
}
