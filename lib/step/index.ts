// One micro-step: forward, loss, backward, and what is computed twice or put away in between. It knows batches and a
// CausalModel; not the recipe, the optimizer or which model it is.

export { idsOf } from "./batch.js";
export { lastHidden } from "./last-hidden.js";
export { evaluateBatch, microStep, microStepLoss, type StepOptions } from "./micro-step.js";
export type { Objective, ObjectiveOf } from "./objective.js";
