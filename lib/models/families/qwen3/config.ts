// config.json of a dense Qwen3 model: read, checked, written. Both spellings of transformers 4 and 5.
// Not here: what the rotary embedding makes of its parameters (rope.ts).

import type { DType } from "../../../torch/index.js";
import type { ModelConfig } from "../../family.js";
import { readConfigFile } from "../../files/config-file.js";
import { Fields } from "../../files/fields.js";
import { parseQuantization, type Quantization, quantizationConfig } from "../../files/quantization.js";
import type { RopeConfig } from "../../parts/rope-config.js";
import { parseRope } from "../../parts/rope-config.js";

/** A dense Qwen3 model, by the names of its config.json. */
export interface Qwen3Config extends ModelConfig {
  /** Rows of the embedding and of the head; at least the tokenizer's tokens. */
  vocab_size: number;
  /** Width of the hidden states. */
  hidden_size: number;
  /** Width inside the feed-forward layers. */
  intermediate_size: number;
  /** Blocks. */
  num_hidden_layers: number;
  /** Heads of the queries. */
  num_attention_heads: number;
  /** Heads of keys and values, which groups of query heads share; divides the queries'. */
  num_key_value_heads: number;
  /** Width of a head; even. Default 128. */
  head_dim: number;
  /** Positions that the model was trained for. Default 32768. */
  max_position_embeddings: number;
  /** The norms' epsilon. Default 1e-6. */
  rms_norm_eps: number;
  /** Standard deviation of initial weights. Default 0.02. */
  initializer_range: number;
  /** Whether the head is the embedding's table. Default false. */
  tie_word_embeddings: boolean;
  /** Whether the attention's projections have biases. Default false. */
  attention_bias: boolean;
  /** Dropout of attention probabilities in training, in [0, 1). Default 0. */
  attention_dropout: number;
  /** The embedding's padding row; undefined for none. */
  pad_token_id: number | undefined;
  /** The token that begins a text; undefined for none. */
  bos_token_id: number | undefined;
  /** Tokens that end a text; empty for none. */
  eos_token_id: number[];
  /** Parameters of the rotary embedding. */
  rope: RopeConfig;
  /** `torch_dtype` or `dtype`: what the weights are stored in, by its own account. */
  dtype: DType | undefined;
  /** What the linear layers are kept in; undefined: in `dtype`. */
  quantization: Quantization | undefined;
  /** The object that was read, for keys that only other programs know. */
  raw: Record<string, unknown>;
}

const DTYPES: readonly DType[] = ["float32", "bfloat16", "float16", "float64"];

/**
 * Reads `config.json` of a model folder.
 * Throws UserError, one line with the file and the key, where the file is missing or is no dense Qwen3.
 */
export function readConfig(dir: string): Qwen3Config {
  const { raw, file } = readConfigFile(dir);
  return parseConfig(raw, file);
}

/** The same for an object; `source` is what errors call it. Absent optional keys take transformers' defaults. */
export function parseConfig(raw: unknown, source = "config.json"): Qwen3Config {
  const fields = new Fields(raw, source);
  checkArchitecture(fields);
  const max_position_embeddings = fields.count("max_position_embeddings", 32768);
  const num_attention_heads = fields.count("num_attention_heads");
  const config: Qwen3Config = {
    vocab_size: fields.count("vocab_size"),
    hidden_size: fields.count("hidden_size"),
    intermediate_size: fields.count("intermediate_size"),
    num_hidden_layers: fields.count("num_hidden_layers"),
    num_attention_heads,
    num_key_value_heads: fields.count("num_key_value_heads", num_attention_heads),
    head_dim: fields.count("head_dim", 128),
    max_position_embeddings,
    rms_norm_eps: fields.positive("rms_norm_eps", 1e-6),
    initializer_range: fields.positive("initializer_range", 0.02),
    tie_word_embeddings: fields.boolean("tie_word_embeddings", false),
    attention_bias: fields.boolean("attention_bias", false),
    attention_dropout: fields.number("attention_dropout", 0),
    pad_token_id: fields.tokenId("pad_token_id"),
    bos_token_id: fields.tokenId("bos_token_id"),
    eos_token_id: fields.tokenIds("eos_token_id"),
    rope: parseRope(fields, max_position_embeddings),
    dtype: parseDtype(fields),
    quantization: parseQuantization(fields.raw["quantization_config"], source),
    raw: { ...(raw as Record<string, unknown>) },
  };
  checkShapes(config, fields);
  checkAttention(config, fields);
  return config;
}

function checkArchitecture(fields: Fields): void {
  const type = fields.raw["model_type"];
  const named = fields.raw["architectures"];
  const architectures = Array.isArray(named) ? named.map(String) : [];
  const what = architectures[0] ?? (type === undefined ? "nothing" : String(type));
  if (/moe/i.test(what) || type === "qwen3_moe") {
    fields.fail(
      "architectures",
      `${what} is a mixture of experts; only dense Qwen3 models (Qwen3ForCausalLM) are supported, such as Qwen3-0.6B or Qwen3-8B`,
    );
  }
  if (type !== "qwen3" || (architectures.length > 0 && !architectures.includes("Qwen3ForCausalLM"))) {
    fields.fail(
      type === "qwen3" ? "architectures" : "model_type",
      `${what} is not supported; a dense Qwen3 model is needed (model_type "qwen3", architectures ["Qwen3ForCausalLM"])`,
    );
  }
}

function checkShapes(config: Qwen3Config, fields: Fields): void {
  const { num_attention_heads: heads, num_key_value_heads: kvHeads } = config;
  if (heads % kvHeads !== 0) {
    fields.fail("num_key_value_heads", `${kvHeads} does not divide num_attention_heads ${heads}`);
  }
  if (config.head_dim % 2 !== 0)
    fields.fail("head_dim", `${config.head_dim} is odd; rotary embedding needs pairs`);
  for (const key of ["pad_token_id", "bos_token_id"] as const) {
    const id = config[key];
    if (id !== undefined && id >= config.vocab_size)
      fields.fail(key, `${id} is outside vocab_size ${config.vocab_size}`);
  }
}

function checkAttention(config: Qwen3Config, fields: Fields): void {
  const act = fields.raw["hidden_act"] ?? "silu";
  if (act !== "silu") fields.fail("hidden_act", `${JSON.stringify(act)} is not supported; Qwen3 uses "silu"`);
  if (config.attention_dropout < 0 || config.attention_dropout >= 1) {
    fields.fail("attention_dropout", `${config.attention_dropout} is outside [0, 1)`);
  }
  const types = fields.raw["layer_types"];
  if (types !== undefined && types !== null) {
    if (!Array.isArray(types) || types.length !== config.num_hidden_layers) {
      fields.fail("layer_types", `a list of num_hidden_layers ${config.num_hidden_layers} names is needed`);
    }
  }
  const sliding =
    fields.boolean("use_sliding_window", false) && typeof fields.raw["sliding_window"] === "number";
  const slides = Array.isArray(types)
    ? types.some((type) => type !== "full_attention")
    : fields.count("max_window_layers", 28) < config.num_hidden_layers;
  if (sliding && slides) {
    fields.fail(
      "use_sliding_window",
      "sliding window attention is not supported; every layer must attend to the full context",
    );
  }
}

function parseDtype(fields: Fields): DType | undefined {
  const key = fields.raw["dtype"] === undefined ? "torch_dtype" : "dtype";
  const value = fields.raw[key];
  if (value === undefined || value === null || value === "auto") return undefined;
  const name = String(value).replace(/^torch\./, "") as DType;
  if (!DTYPES.includes(name)) fields.fail(key, `${JSON.stringify(value)} is not one of ${DTYPES.join(", ")}`);
  return name;
}

/**
 * The object for `config.json` of saved weights: what was read, with the dtype, tie and rotary parameters that now
 * hold, each in the spelling (transformers 4 or 5) that was read.
 */
export function writeConfig(config: Qwen3Config, dtype: DType): Record<string, unknown> {
  const raw: Record<string, unknown> = { ...config.raw };
  raw["architectures"] = ["Qwen3ForCausalLM"];
  raw["model_type"] = "qwen3";
  raw["dtype" in raw ? "dtype" : "torch_dtype"] = dtype;
  if (config.quantization === undefined) delete raw["quantization_config"];
  else raw["quantization_config"] = quantizationConfig(config.quantization, dtype);
  raw["tie_word_embeddings"] = config.tie_word_embeddings;
  raw["vocab_size"] = config.vocab_size;
  raw["max_position_embeddings"] = config.max_position_embeddings;
  const { rope_theta, ...scaling } = config.rope;
  if ("rope_parameters" in raw) raw["rope_parameters"] = { ...config.rope };
  else {
    raw["rope_theta"] = rope_theta;
    raw["rope_scaling"] = scaling.rope_type === "default" ? null : scaling;
  }
  return raw;
}
