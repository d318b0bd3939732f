// Models: what training asks of one (causal-model.ts), what a family gives (family.ts), and the families, a folder each.
// parts/ has what families share, files/ reads checkpoints and their configuration. Which parameters are trained is not
// decided here.

export type { Block, CausalModel, EmbeddingTable } from "./causal-model.js";
export { countParameters } from "./causal-model.js";
export {
  buildEmptyModel,
  familyOf,
  loadModel,
  parseModelConfig,
  readModelConfig,
  registerFamily,
} from "./families/all-families.js";
export * from "./families/qwen3/index.js";
export type {
  BlockShape,
  FamilyModel,
  ForwardInput,
  HeadSizes,
  ModelConfig,
  ModelFamily,
  PositionScaling,
} from "./family.js";
export { formatName, type Quantization, RUN, THRESHOLD } from "./files/quantization.js";
export { joinShards, type Shards, saveShard } from "./save-model.js";
export type { LoadOptions } from "./weights.js";
