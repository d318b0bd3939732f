// The optimizer, schedules and clipping; exports only.

export type { AdamWOptions, Scaling } from "./adamw.js";
export { AdamW } from "./adamw.js";
export { clipGradNorm, gradNorm } from "./clip.js";
export type { ParameterGroup } from "./groups.js";
export { decayGroups, decays } from "./groups.js";
export type { Schedule, ScheduleName } from "./schedule.js";
export { SCHEDULES, scheduleFactor } from "./schedule.js";
