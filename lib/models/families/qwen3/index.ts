// The dense Qwen3 models, with what their tests and users need of models in general; exports only.

export { openCheckpoint } from "../../files/checkpoint-files.js";
export { KVCache } from "../../parts/kv-cache.js";
export type { Rope } from "../../parts/rope.js";
export { applyRope, inverseFrequencies, RotaryEmbedding } from "../../parts/rope.js";
export type { RopeConfig, RopeScaling, RopeType } from "../../parts/rope-config.js";
export { ROPE_TYPES, scaleRope } from "../../parts/rope-config.js";
export type { SaveOptions } from "../../save-model.js";
export { saveModel } from "../../save-model.js";
export { initializeWeights, loadWeights } from "../../weights.js";
export type { Qwen3Config } from "./config.js";
export { parseConfig, readConfig, writeConfig } from "./config.js";
export { Qwen3Attention, Qwen3DecoderLayer, Qwen3ForCausalLM, Qwen3MLP, Qwen3Model } from "./model.js";
