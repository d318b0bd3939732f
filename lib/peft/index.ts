// Adapters and partial training on any tree of modules; exports only.

export { type Adapted, adapters, addLora, mergeAdapter } from "./adapt.js";
export type { AdapterConfig } from "./adapter-config.js";
export { adapterConfigJson, parseAdapterConfig } from "./adapter-config.js";
export {
  ADAPTER_CONFIG,
  ADAPTER_WEIGHTS,
  adapterRows,
  adapterState,
  loadAdapter,
  loadAdapterState,
  readAdapterConfig,
  type SaveAdapterOptions,
  saveAdapter,
  saveConverted,
  writeAdapter,
} from "./adapter-files.js";
export { baseWeights, withoutAdapter } from "./base-model.js";
export type { FreezeConfig } from "./freeze.js";
export { freeze, full } from "./freeze.js";
export type { LoraConfig } from "./lora.js";
export { LoraLinear, scalingOf } from "./lora.js";
export type { PissaInit } from "./pissa.js";
export { SavedModule } from "./saved-module.js";
export { findSavedModules, findTargets, RECIPE_WORDS, type TargetWords } from "./targets.js";
export { addTokenRows, type TokenIndices, TokenRows } from "./token-rows.js";
