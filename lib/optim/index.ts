// The optimizer, schedules and clipping; exports only.

export type { AdamWOptions, Scaling } from "./adamw.js";
export { AdamW } from "./adamw.js";
export { clipGradNorm, gradNorm } from "./clip.js";
export type { LoraPlusOptions, ParameterGroup } from "./groups.js";
export { decayGroups, decays, embeddingGroups, loraPlusGroups } from "./groups.js";
export type { PlateauSettings, PlateauState } from "./plateau.js";
export { PlateauSchedule } from "./plateau.js";
export type { GroupRates } from "./rates.js";
export { formulaRates, plateauRates } from "./rates.js";
export type { Schedule, ScheduleName, ScheduleSettings } from "./schedule.js";
export { SCHEDULES, scheduleFactor } from "./schedule.js";
