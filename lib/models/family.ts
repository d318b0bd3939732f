// What a family of models gives, so that everything else knows none: it reads its config.json, builds its model, and
// says a few sizes. The families are families/, a folder each; all-families.ts finds one by model_type.

import type { AttentionKernel, Layer, WeightedLayer } from "../nn/index.js";
import type { Device, DType, Tensor } from "../torch/index.js";
import type { CausalModel } from "./causal-model.js";
import type { Quantization } from "./files/quantization.js";
import type { KVCache } from "./parts/kv-cache.js";

/** What a configuration says whatever the family, by config.json's names; a family's own says more. */
export interface ModelConfig {
  /** Rows of the embedding and of the head; at least the tokenizer's tokens. */
  readonly vocab_size: number;
  /** Width of the hidden states. */
  readonly hidden_size: number;
  /** Blocks. */
  readonly num_hidden_layers: number;
  /** Whether the head is the embedding's table. */
  readonly tie_word_embeddings: boolean;
  /** Standard deviation of initial weights. */
  readonly initializer_range: number;
  /** The embedding's padding row; undefined for none. */
  readonly pad_token_id: number | undefined;
  /** Tokens that end a text; empty for none. */
  readonly eos_token_id: readonly number[];
  /** What the weights are stored in, by its own account. */
  readonly dtype: DType | undefined;
  /** What the linear layers are kept in; left out or undefined: in `dtype`. */
  readonly quantization?: Quantization | undefined;
  /** What linear layers that may train multiply in; left out: in their own numbers. A choice of the run. */
  readonly products?: "fp8" | undefined;
  /** What attends; left out: the flash kernel. A choice of the run, not of the checkpoint. */
  readonly attention?: AttentionKernel | undefined;
  /** The object that was read; its `model_type` names the family. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** What a model's `forward` takes. */
export interface ForwardInput {
  /** [batch, seq] token ids, int64 */
  inputIds: Tensor;
  /** [batch, seq] int64; left out: counted on from what the cache holds */
  positionIds?: Tensor;
  /** keys and values of earlier calls; extended by this one */
  cache?: KVCache;
  /** only the last position's logits: [batch, 1, vocab] */
  lastOnly?: boolean;
}

/**
 * A causal model as its family builds it. Its fields carry the checkpoint's names, of which adapters, groups and counts
 * of parameters know two: the embedding is called `embed_tokens` and the head `lm_head`, as in transformers' decoders.
 */
export interface FamilyModel extends CausalModel {
  /** What it was built by; replaced where its vocabulary grows or its head is untied. */
  readonly config: ModelConfig;
  /** The embedding's module, or what an adapter put in its place. */
  readonly inputEmbedding: WeightedLayer;
  /** The head's module, or what an adapter put in its place; a tied one holds the embedding's very tensor. */
  readonly outputHead: Layer;
  /** Logits [batch, seq, vocab] in the model's own dtype. */
  forward(input: ForwardInput): Tensor;
  /** The object for config.json of weights that are saved in `dtype`, with a tied head or its own. */
  configJson(dtype: DType, isTied: boolean): Record<string, unknown>;
}

/** The sizes of a block that its memory follows from: attention with groups of heads, and a gated feed-forward layer. */
export interface BlockShape {
  /** Width of the hidden states. */
  readonly hidden: number;
  /** Heads of the queries. */
  readonly heads: number;
  /** Heads of keys and values. */
  readonly kvHeads: number;
  /** Width of a head. */
  readonly headDim: number;
  /** Width inside the feed-forward layer. */
  readonly intermediate: number;
}

/** The sizes that decide where an attention head lies; config.json's names. */
export interface HeadSizes {
  /** Blocks. */
  readonly num_hidden_layers: number;
  /** Heads of the queries. */
  readonly num_attention_heads: number;
  /** Heads of keys and values; divides the queries'. */
  readonly num_key_value_heads: number;
  /** Width of a head. */
  readonly head_dim: number;
  /** Whether the projections have biases. */
  readonly attention_bias: boolean;
}

/** A recipe's `rope_scaling`. */
export type PositionScaling = "linear" | "dynamic" | "yarn" | "llama3";

/** A family of models; `C` is its configuration. */
export interface ModelFamily<C extends ModelConfig = ModelConfig> {
  /** Which models it has, in words that follow "supported are". */
  readonly models: string;
  /** Checks and reads the object of a config.json. Throws UserError naming the source and the key. */
  parseConfig(raw: unknown, source: string): C;
  /** The model without weights, on `meta` unless a device is given. `loadWeights` or `initializeWeights` fill it. */
  build(config: C, options?: { dtype?: DType; device?: Device }): FamilyModel;
  /** What the estimate of memory and time computes with. */
  blockShape(config: C): BlockShape;
  /** Names that LoRA wraps where a recipe says `all`; left out: every linear layer but the head. */
  readonly loraTargets?: readonly string[];
  /**
   * Where heads lie in `self_attn.{q,k,v,o}_proj` of `model.layers`; left out: single heads cannot be trained.
   */
  headSizes?(config: C): HeadSizes;
  /** A configuration for more positions, and lines for the user; left out: `rope_scaling` is refused. */
  scalePositions?(
    config: C,
    type: PositionScaling,
    cutoffLength: number | undefined,
  ): { config: C; notes: { level: "info" | "warning"; text: string }[] };
}
