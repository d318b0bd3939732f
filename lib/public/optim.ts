// `qwen-pt/optim`: AdamW, parameter groups, schedules of the learning rate, clipping.

export {
  AdamW,
  type AdamWOptions,
  clipGradNorm,
  decayGroups,
  gradNorm,
  type LoraPlusOptions,
  loraPlusGroups,
  type ParameterGroup,
  PlateauSchedule,
  type PlateauSettings,
  SCHEDULES,
  type Scaling,
  type Schedule,
  type ScheduleName,
  type ScheduleSettings,
  scheduleFactor,
} from "../optim/index.js";
