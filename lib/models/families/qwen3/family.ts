// The family of dense Qwen3 models, as the table asks for it.

import type { ModelFamily } from "../../family.js";
import { scaleRope } from "../../parts/rope-config.js";
import { parseConfig, type Qwen3Config } from "./config.js";
import { Qwen3ForCausalLM } from "./model.js";

/** model_type `qwen3`. */
export const qwen3: ModelFamily<Qwen3Config> = {
  models: "dense Qwen3 models (Qwen3ForCausalLM), such as Qwen3-0.6B or Qwen3-8B",
  parseConfig,
  build: (config, options) => new Qwen3ForCausalLM(config, options),
  blockShape: (config) => ({
    hidden: config.hidden_size,
    heads: config.num_attention_heads,
    kvHeads: config.num_key_value_heads,
    headDim: config.head_dim,
    intermediate: config.intermediate_size,
  }),
  headSizes: (config) => config,
  scalePositions(config, type, cutoffLength) {
    const { rope, maxPositions, notes } = scaleRope(config, type, cutoffLength);
    return { config: { ...config, rope, max_position_embeddings: maxPositions }, notes };
  },
};
