// Optimizers (optimizer.ts is what the loop asks of one, all-optimizers.ts the table), parameter groups, schedules and
// clipping; exports only.

export type { AdafactorOptions } from "./adafactor/adafactor.js";
export { Adafactor } from "./adafactor/adafactor.js";
export type { AdamWOptions, Scaling } from "./adamw.js";
export { AdamW } from "./adamw.js";
export type { BlockwiseAdamWOptions } from "./adamw-blockwise.js";
export { BlockwiseAdamW } from "./adamw-blockwise.js";
export { optimizerArguments, optimizerKind, optimizerNames, registerOptimizer } from "./all-optimizers.js";
export { clipGradNorm, gradNorm } from "./clip.js";
export type { LoraPlusOptions, ParameterGroup, Whole } from "./groups.js";
export { decayGroups, decays, embeddingGroups, loraPlusGroups } from "./groups.js";
export type {
  Divided,
  Optimizer,
  OptimizerArgument,
  OptimizerKind,
  OptimizerSettings,
  ParameterForm,
  StateForms,
  TensorForm,
} from "./optimizer.js";
export { optimizerBytes } from "./optimizer.js";
export type { GroupInput, TrainedParameters } from "./parameters.js";
export type { PlateauSettings, PlateauState } from "./plateau.js";
export { PlateauSchedule } from "./plateau.js";
export type { GroupRates } from "./rates.js";
export { formulaRates, plateauRates } from "./rates.js";
export type { Schedule, ScheduleName, ScheduleSettings } from "./schedule.js";
export { SCHEDULES, scheduleFactor } from "./schedule.js";
export type { PlateauChoice, SchedulerState } from "./scheduler.js";
export { LRScheduler } from "./scheduler.js";
export type { SGDOptions } from "./sgd.js";
export { SGD } from "./sgd.js";
export type { GroupSettings, UpdatedParameter } from "./stateful.js";
export { StatefulOptimizer } from "./stateful.js";
