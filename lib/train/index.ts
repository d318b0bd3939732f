// A run from its recipe to its files, and its parts: the plan, the batches, the loop, checkpoints, output files,
// estimates. What computes a step is in step/, what builds the model in assembly/, what scores in evaluate/.

export { listCheckpoints, verifyCheckpoint } from "./checkpoint/folder.js";
export { availableMemory } from "./estimate/available-memory.js";
export { chooseCheckpointing } from "./estimate/choose-checkpointing.js";
export { estimateMemory, shapesOf, tokensOfRow } from "./estimate/memory.js";
export type { MemoryEstimate } from "./estimate/peak.js";
export { type SmallerWay, smallerWays } from "./estimate/smaller-ways.js";
export { estimateSteps } from "./estimate/steps.js";
export { estimateStep, type MeasuredParts, measureParts } from "./estimate/time.js";
export type { CallbackControl, CallbackRun, TrainerCallback } from "./loop/callbacks.js";
export type { Outcome } from "./loop/outcome.js";
export { Trainer } from "./loop/trainer.js";
export type { TrainerOptions } from "./loop/trainer-options.js";
export { type Plan, planRun } from "./plan/plan.js";
export { runRecipe } from "./run.js";
export type { Prepared } from "./setup/prepare.js";
export { prepare } from "./setup/prepare-recipe.js";
export { type Computing, computingOf, productsLine, slowness } from "./setup/what-computes.js";
export { type TrainOptions, train } from "./train.js";
export { AbortError, type RunOptions } from "./whole-run/options.js";
