// Training: the public names. train() runs a recipe on a worker thread; Trainer and microStep are its parts.

export { availableMemory } from "./available-memory.js";
export { listCheckpoints, verifyCheckpoint } from "./checkpoint-folder.js";
export { chooseCheckpointing } from "./choose-checkpointing.js";
export type { DomainReport } from "./domains.js";
export { estimateMemory, type MemoryEstimate, shapesOf } from "./estimate.js";
export { estimateSteps } from "./estimate-steps.js";
export { estimateStep, type MeasuredParts, measureParts } from "./estimate-time.js";
export type * from "./events.js";
export { exportModel } from "./export.js";
export { type InferenceOptions, openModel } from "./inference.js";
export type { Block, CausalModel } from "./model.js";
export { countParameters } from "./model.js";
export { type Plan, planRun } from "./plan.js";
export { AbortError, type RunOptions, runRecipe } from "./run.js";
export { type DocumentScore, type Score, type ScoreOptions, scoreDocuments, totalScore } from "./score.js";
export { type ScoredDomain, scoreTable } from "./score-table.js";
export { chooseDevice, modelConfig, type Prepared, prepare } from "./setup.js";
export { evaluateBatch, idsOf, microStep, microStepLoss, type StepOptions } from "./step.js";
export { type TrainOptions, train } from "./train.js";
export { type Outcome, Trainer, type TrainerOptions } from "./trainer.js";
export { type Computing, computingOf, productsLine, slowness } from "./what-computes.js";
