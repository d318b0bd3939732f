// Learning rate schedules: the factor on the base rate after `step` finished optimizer steps, as transformers has them.

export const SCHEDULES = ["linear", "cosine", "constant", "constant_with_warmup"] as const;
export type ScheduleName = (typeof SCHEDULES)[number];

export interface Schedule {
  name: ScheduleName;
  warmupSteps: number;
  totalSteps: number;
}

/**
 * The rate for the step that follows `step` finished ones, as a fraction of the base rate.
 * With a warm-up the very first step's factor is 0. `constant` knows no warm-up.
 */
export function scheduleFactor({ name, warmupSteps, totalSteps }: Schedule, step: number): number {
  if (name === "constant") return 1;
  if (step < warmupSteps) return step / Math.max(1, warmupSteps);
  if (name === "constant_with_warmup") return 1;
  const left = Math.max(1, totalSteps - warmupSteps);
  if (name === "linear") return Math.max(0, (totalSteps - step) / left);
  // half a wave; beyond the last step it rises again, as in transformers
  const progress = (step - warmupSteps) / left;
  return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
}
