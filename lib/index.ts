// The public API of qwen-pt. Exports only.
//
// import { train } from "qwen-pt";                        a recipe, on a worker thread
// import { tensor, ops, scope, backward } from "qwen-pt";  libtorch
// import { Qwen3ForCausalLM, addLora, AdamW } from "qwen-pt";  the parts, for loops of your own

export * from "./assembly/index.js";
export * from "./config/index.js";
export * from "./data/index.js";
export * from "./errors.js";
export * from "./evaluate/index.js";
export type * from "./events.js";
export { fetchAdapter, fetchModel, type HubEvent, type HubKeys } from "./hub/index.js";
export * from "./inference/index.js";
export * from "./methods/index.js";
export * from "./models/index.js";
export * from "./nn/index.js";
export * from "./optim/index.js";
export * from "./peft/index.js";
export { full as trainAll } from "./peft/index.js";
export * from "./step/index.js";
export * from "./torch/index.js";
export { full } from "./torch/index.js"; // the constant tensor; the training of everything is trainAll
export * from "./train/index.js";
export { packageVersion } from "./version.js";
