// Models: what training asks of one (causal-model.ts), and the families, a folder each. parts/ has what families share,
// files/ reads checkpoints and their configuration. Which parameters are trained is not decided here.

export type { Block, CausalModel, EmbeddingTable } from "./causal-model.js";
export { countParameters } from "./causal-model.js";
export * from "./families/qwen3/index.js";
