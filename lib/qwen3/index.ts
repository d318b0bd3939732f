// The dense Qwen3 models; exports only.

export { KVCache } from "./cache.js";
export { openCheckpoint } from "./checkpoint-files.js";
export type { Qwen3Config } from "./config.js";
export { parseConfig, readConfig, writeConfig } from "./config.js";
export type { GenerateOptions } from "./generate.js";
export { generate, generateTokens, processScores } from "./generate.js";
export type { ForwardInput } from "./model.js";
export { Qwen3Attention, Qwen3DecoderLayer, Qwen3ForCausalLM, Qwen3MLP, Qwen3Model } from "./model.js";
export type { Rope } from "./rope.js";
export { applyRope, inverseFrequencies, RotaryEmbedding } from "./rope.js";
export type { RopeConfig, RopeScaling, RopeType } from "./rope-config.js";
export { ROPE_TYPES, scaleRope } from "./rope-config.js";
export type { SaveOptions } from "./weights.js";
export { initializeWeights, loadModel, loadWeights, saveModel } from "./weights.js";
