// Qwen3ForCausalLM as plain PyTorch operators. Field names are checkpoint keys.
// Not here: files (models/weights.ts), sampling (inference/generate.ts), adapters (peft wraps the projections by name).

import { UserError } from "../../../errors.js";
import type { Layer, SharedRows, WeightedLayer } from "../../../nn/index.js";
import {
  addNormed,
  causalAttention,
  Embedding,
  forwardAll,
  Linear,
  Module,
  RMSNorm,
  recomputeAll,
  ringAttention,
  shapeOnly,
  swiglu,
} from "../../../nn/index.js";
import type { Device, DType, Tensor } from "../../../torch/index.js";
import { arange, op, tensor } from "../../../torch/index.js";
import type { FamilyModel, ForwardInput } from "../../family.js";
import { multiplyInFloat8, quantizeLayers } from "../../files/quantized-weights.js";
import { checkIds } from "../../parts/check-ids.js";
import type { KVCache } from "../../parts/kv-cache.js";
import type { Rope } from "../../parts/rope.js";
import { normRope, RotaryEmbedding } from "../../parts/rope.js";
import { type Qwen3Config, writeConfig } from "./config.js";

interface Placement {
  dtype: DType;
  device: Device;
}

const attend = op<
  (
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attnMask: Tensor | undefined,
    dropoutP: number,
    isCausal: boolean,
    options: { scale: number; enable_gqa: boolean },
  ) => Tensor
>("aten::scaled_dot_product_attention");

/** Grouped-query attention with normed queries and keys and rotary positions. */
export class Qwen3Attention extends Module {
  /** [.., hidden] -> [.., heads * headDim]. */
  q_proj: Layer;
  /** [.., hidden] -> [.., kvHeads * headDim]. */
  k_proj: Layer;
  /** [.., hidden] -> [.., kvHeads * headDim]. */
  v_proj: Layer;
  /** [.., heads * headDim] -> [.., hidden]. */
  o_proj: Layer;
  /** RMSNorm of each query head, [.., headDim]. */
  q_norm: Layer;
  /** RMSNorm of each key head, [.., headDim]. */
  k_norm: Layer;

  constructor(
    readonly config: Qwen3Config,
    readonly index: number,
    at: Placement,
  ) {
    super();
    const { hidden_size, head_dim, attention_bias: bias, rms_norm_eps } = config;
    const width = config.num_attention_heads * head_dim; // not hidden_size in every size of Qwen3
    const kvWidth = config.num_key_value_heads * head_dim;
    this.q_proj = new Linear(hidden_size, width, { ...at, bias });
    this.k_proj = new Linear(hidden_size, kvWidth, { ...at, bias });
    this.v_proj = new Linear(hidden_size, kvWidth, { ...at, bias });
    this.o_proj = new Linear(width, hidden_size, { ...at, bias });
    this.q_norm = new RMSNorm(head_dim, rms_norm_eps, at);
    this.k_norm = new RMSNorm(head_dim, rms_norm_eps, at);
  }

  /**
   * x [batch, seq, hidden] -> [batch, seq, hidden]; each position sees itself and those before it.
   *
   * There is no padding mask, and none is needed where padding is on the right: a causal mask already hides every
   * pad from every real token, so what the pads compute reaches no real position; their labels are -100, so it
   * reaches no loss and sends back no gradient. Without a mask tensor the flash kernels apply.
   */
  forward(x: Tensor, rope: Rope, cache?: KVCache): Tensor {
    const [batch, seq] = x.shape as [number, number];
    const heads = [batch, seq, -1, this.config.head_dim];
    // [batch, seq, heads * headDim] -> [batch, seq, heads, headDim]
    // the cheapest products for what they hold: a second pass computes them again, all others are saved by the first
    const projected = recomputeAll(() => forwardAll([this.q_proj, this.k_proj, this.v_proj], x));
    const projections = projected.map((y) => y.view(heads));
    const [plainQ, plainK, v] = projections as [Tensor, Tensor, Tensor];
    const q = normRope(this.q_norm, plainQ, rope);
    const k = normRope(this.k_norm, plainK, rope);
    return this.o_proj.forward(this.attend(q, k, v, rope, cache).flatten(2, 3));
  }

  /** q, k, v [batch, seq, heads, headDim], which the cache extends with what it holds -> q's shape. */
  private attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    { documents, longest, shared }: Rope,
    cache?: KVCache,
  ): Tensor {
    const dropout = this.training ? this.config.attention_dropout : 0;
    const scale = this.config.head_dim ** -0.5;
    const seq = q.size(1);
    let [keys, values] = [k.transpose(1, 2), v.transpose(1, 2)]; // [batch, kvHeads, seq, headDim]
    if (cache !== undefined) [keys, values] = cache.extend(this.index, keys, values);
    const past = keys.size(2) - seq;
    if (shared !== undefined) {
      if (past === 0 && dropout === 0) return ringAttention(q, k, v, shared, { scale });
      throw new UserError(
        "parallelism_config: attention_dropout and a cache leave no way to share rows; set attention_dropout to 0 in config.json, or cp_size to 1",
      );
    }
    const { attention: kernel = "flash" } = this.config;
    if (past === 0 && dropout === 0) return causalAttention(q, k, v, documents, { scale, longest, kernel });
    if (documents !== undefined) {
      throw new UserError("neat_packing: attention_dropout and a cache leave no way to keep documents apart");
    }
    const mask = past > 0 && seq > 1 ? causalMask(seq, past, q.device) : undefined;
    const out = attend(q.transpose(1, 2), keys, values, mask, dropout, past === 0 && seq > 1, {
      scale,
      enable_gqa: this.config.num_key_value_heads !== this.config.num_attention_heads,
    });
    return out.transpose(1, 2);
  }
}

/** True where query i, at position past + i, may see key j: [seq, past + seq]. */
function causalMask(seq: number, past: number, device: Device): Tensor {
  const keys = arange(0, past + seq, 1, { device }).unsqueeze(0);
  const queries = arange(past, past + seq, 1, { device }).unsqueeze(1);
  return keys.le(queries);
}

/** SwiGLU (Shazeer 2020, arXiv:2002.05202): down(silu(gate(x)) * up(x)). */
export class Qwen3MLP extends Module {
  /** [.., hidden] -> [.., intermediate], which silu gates. */
  gate_proj: Layer;
  /** [.., hidden] -> [.., intermediate]. */
  up_proj: Layer;
  /** [.., intermediate] -> [.., hidden]. */
  down_proj: Layer;

  constructor(config: Qwen3Config, at: Placement) {
    super();
    const { hidden_size, intermediate_size } = config;
    this.gate_proj = new Linear(hidden_size, intermediate_size, at);
    this.up_proj = new Linear(hidden_size, intermediate_size, at);
    this.down_proj = new Linear(intermediate_size, hidden_size, at);
  }

  /** x [..., hidden] -> [..., hidden] */
  forward(x: Tensor): Tensor {
    const [gate, up] = forwardAll([this.gate_proj, this.up_proj], x) as [Tensor, Tensor];
    const product = swiglu(gate, up);
    // its result is only added to: a second pass over the block asks for its shape alone
    return shapeOnly(() => this.down_proj.forward(product));
  }
}

/** One block: a function of (hidden states, rope) alone, so that a trainer may recompute it. */
export class Qwen3DecoderLayer extends Module {
  /** Attention, added to its input. */
  self_attn: Qwen3Attention;
  /** The feed-forward layer, added to its input. */
  mlp: Layer;
  /** RMSNorm before attention. */
  input_layernorm: Layer;
  /** RMSNorm before the feed-forward layer. */
  post_attention_layernorm: Layer;

  constructor(config: Qwen3Config, index: number, at: Placement) {
    super();
    this.self_attn = new Qwen3Attention(config, index, at);
    this.mlp = new Qwen3MLP(config, at);
    this.input_layernorm = new RMSNorm(config.hidden_size, config.rms_norm_eps, at);
    this.post_attention_layernorm = new RMSNorm(config.hidden_size, config.rms_norm_eps, at);
  }

  /** hidden [batch, seq, hidden] -> the same shape */
  forward(hidden: Tensor, rope: Rope, cache?: KVCache): Tensor {
    const attention = this.self_attn.forward(this.input_layernorm.forward(hidden), rope, cache);
    const [attended, normed] = addNormed(this.post_attention_layernorm, hidden, attention);
    return attended.add(this.mlp.forward(normed));
  }
}

/** What stands below the head, by the checkpoint's names; {@link Qwen3ForCausalLM} runs it. */
export class Qwen3Model extends Module {
  /** ids [batch, seq] -> [batch, seq, hidden]. */
  embed_tokens: WeightedLayer;
  /** The blocks, in order. */
  layers: Qwen3DecoderLayer[];
  /** The final RMSNorm. */
  norm: Layer;

  constructor(config: Qwen3Config, at: Placement) {
    super();
    const { vocab_size, hidden_size, pad_token_id: paddingIdx, num_hidden_layers } = config;
    this.embed_tokens = new Embedding(vocab_size, hidden_size, { ...at, paddingIdx });
    this.layers = Array.from(
      { length: num_hidden_layers },
      (_, index) => new Qwen3DecoderLayer(config, index, at),
    );
    this.norm = new RMSNorm(hidden_size, config.rms_norm_eps, at);
  }
}

/**
 * Qwen3 for causal language modelling. `new` allocates nothing (the `meta` device) unless a device is given;
 * `loadWeights` or `initializeWeights` (weights.ts) then fill it.
 */
export class Qwen3ForCausalLM extends Module implements FamilyModel {
  /** All but the head. */
  model: Qwen3Model;
  /** Tied models: a Linear that holds the very tensor of `embed_tokens`. */
  lm_head: Layer;
  private readonly rotary: RotaryEmbedding;

  constructor(
    readonly config: Qwen3Config,
    options: { dtype?: DType; device?: Device } = {},
  ) {
    super();
    const at: Placement = { dtype: options.dtype ?? "float32", device: options.device ?? "meta" };
    this.model = new Qwen3Model(config, at);
    const head = new Linear(config.hidden_size, config.vocab_size, at);
    this.lm_head = head;
    if (config.tie_word_embeddings) {
      head.weight.dispose();
      head.weight = this.model.embed_tokens.weight;
    }
    this.rotary = new RotaryEmbedding(config);
    if (config.quantization !== undefined) quantizeLayers(this, config.quantization);
    if (config.products === "fp8") multiplyInFloat8(this);
  }

  /** The embedding, or the adapter in its place. */
  get inputEmbedding(): WeightedLayer {
    return this.model.embed_tokens;
  }

  /** The head, or the adapter in its place. */
  get outputHead(): Layer {
    return this.lm_head;
  }

  /** The blocks, in order. */
  get layers(): Qwen3DecoderLayer[] {
    return this.model.layers;
  }

  /** inputIds [batch, seq] -> [batch, seq, hidden] */
  embed(inputIds: Tensor): Tensor {
    return this.model.embed_tokens.forward(inputIds);
  }

  /** cos and sin for `length` positions from `start`, in the dtype and on the device of `hidden`. */
  rope(length: number, hidden: Tensor, start = 0): Rope {
    return this.rotary.range(start, length, hidden.dtype, hidden.device);
  }

  /**
   * For documents packed into rows, each counted from its own beginning and masked from the others. `starts`: where each
   * begins among the batch * length tokens, then their number.
   */
  packed(starts: Int32Array, batch: number, length: number, hidden: Tensor): Rope {
    const positions = new BigInt64Array(batch * length);
    let longest = 0;
    for (let i = 0; i + 1 < starts.length; i++) {
      const [from, to] = [starts[i] as number, starts[i + 1] as number];
      for (let at = from; at < to; at++) positions[at] = BigInt(at - from);
      longest = Math.max(longest, to - from);
    }
    const { dtype, device } = hidden;
    const at = tensor(positions, { shape: [batch, length], device });
    const documents = tensor(starts, { device });
    // a row's length, where none is longer: the same for every batch
    return { ...this.rotary.at(at, longest, dtype, device), documents, longest: Math.max(length, longest) };
  }

  /** For a part of every row: attention goes around the processes that have the others. */
  shared(positions: Int32Array, longest: number, rows: SharedRows, hidden: Tensor): Rope {
    const { dtype, device, shape } = hidden;
    const at = tensor(positions, { shape: [...shape].slice(0, 2), dtype: "int64", device });
    return { ...this.rotary.at(at, longest, dtype, device), shared: rows };
  }

  /** The final norm: [batch, seq, hidden] -> the same shape. */
  norm(hidden: Tensor): Tensor {
    return this.model.norm.forward(hidden);
  }

  /** Normed hidden states [..., hidden] -> logits [..., vocab]. */
  head(normed: Tensor): Tensor {
    return this.lm_head.forward(normed);
  }

  /** [vocab, hidden] where the head is nothing but that product (no adapter on it, no bias); else undefined. */
  get headWeight(): Tensor | undefined {
    const { weight, bias } = this.lm_head as Layer & { weight?: Tensor; bias?: Tensor };
    return bias === undefined ? weight : undefined;
  }

  /** The embedding's table, unless an adapter is in its place. */
  get embeddingTable(): Embedding | undefined {
    const { embed_tokens } = this.model;
    return embed_tokens instanceof Embedding ? embed_tokens : undefined;
  }

  /** Logits [batch, seq, vocab] in the model's own dtype. @throws ArgumentError for ids of another shape or dtype */
  forward(input: ForwardInput): Tensor {
    checkIds(input);
    const { inputIds, positionIds, cache, lastOnly = false } = input;
    let hidden = this.embed(inputIds);
    const seq = inputIds.shape[1] as number;
    const past = cache?.length ?? 0;
    const rope =
      positionIds === undefined
        ? this.rope(seq, hidden, past)
        : this.rotary.at(positionIds, Number(positionIds.max().item()) + 1, hidden.dtype, hidden.device);
    for (const layer of this.layers) hidden = layer.forward(hidden, rope, cache);
    if (lastOnly) hidden = hidden.narrow(1, seq - 1, 1);
    return this.head(this.norm(hidden));
  }
  /** config.json for weights in `dtype`, whose head is the embedding or its own. */
  configJson(dtype: DType, isTied: boolean): Record<string, unknown> {
    return writeConfig({ ...this.config, tie_word_embeddings: isTied }, dtype);
  }
}
