// Training: the public names. train() runs a recipe on a worker thread; Trainer and microStep are its parts.

export {
  type DocumentScore,
  type Score,
  type ScoreOptions,
  scoreDocuments,
  totalScore,
} from "../evaluate/score.js";
export { type ScoredDomain, scoreTable } from "../evaluate/score-table.js";
export type * from "../events.js";
export { exportModel } from "../inference/export.js";
export { type InferenceOptions, openModel } from "../inference/open-model.js";
export type { Block, CausalModel } from "../models/causal-model.js";
export { countParameters } from "../models/causal-model.js";
export { evaluateBatch, idsOf, microStep, microStepLoss, type StepOptions } from "../step/micro-step.js";
export type { DomainReport } from "./before-after/domains.js";
export { listCheckpoints, verifyCheckpoint } from "./checkpoint/folder.js";
export { availableMemory } from "./estimate/available-memory.js";
export { chooseCheckpointing } from "./estimate/choose-checkpointing.js";
export { estimateMemory, type MemoryEstimate, shapesOf } from "./estimate/memory.js";
export { estimateSteps } from "./estimate/steps.js";
export { estimateStep, type MeasuredParts, measureParts } from "./estimate/time.js";
export { type Outcome, Trainer, type TrainerOptions } from "./loop/trainer.js";
export { type Plan, planRun } from "./plan/plan.js";
export { AbortError, type RunOptions, runRecipe } from "./run.js";
export { chooseDevice, modelConfig, type Prepared, prepare } from "./setup/prepare.js";
export { type Computing, computingOf, productsLine, slowness } from "./setup/what-computes.js";
export { type TrainOptions, train } from "./train.js";
