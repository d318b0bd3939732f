// The public API of qwen-pt. Exports only.
//
// import { train } from "qwen-pt";                        a recipe, on a worker thread
// import { tensor, ops, scope, backward } from "qwen-pt";  libtorch
// import { Qwen3ForCausalLM, addLora, AdamW } from "qwen-pt";  the parts, for loops of your own
export * from "./config/index.js";
export * from "./data/index.js";
export * from "./errors.js";
export { fetchAdapter, fetchModel, type HubEvent, type HubKeys } from "./hub/index.js";
export * from "./methods/index.js";
export * from "./models/qwen3/index.js";
export * from "./nn/index.js";
export * from "./optim/index.js";
export * from "./peft/index.js";
export { full as trainAll } from "./peft/index.js";
export * from "./torch/index.js";
export { full } from "./torch/index.js"; // the constant tensor; the training of everything is trainAll
export * from "./train/index.js";
export { packageVersion } from "./version.js";
