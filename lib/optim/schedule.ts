// Learning rate schedules: the factor on the base rate after `step` finished optimizer steps, as transformers has them.

export const SCHEDULES = ["linear", "cosine", "constant", "constant_with_warmup"] as const;
export type ScheduleName = (typeof SCHEDULES)[number];

export interface Schedule {
  name: ScheduleName;
  warmupSteps: number;
  totalSteps: number;
}

/**
 * cos to the last digit, for x in [0, 4]: Math.cos differs by one there from the C library that Python asks, and so
 * the logged rates would. Taylor's series in fixed point, 200 binary digits.
 */
function exactCos(x: number): number {
  const one = 1n << 200n;
  const square = BigInt(x * 2 ** 200) ** 2n / one;
  let sum = one;
  for (let term = one, n = 1n; term !== 0n; n += 2n) {
    term = (-term * square) / (one * n * (n + 1n));
    sum += term;
  }
  return Number(sum) / 2 ** 200;
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
  return Math.max(0, 0.5 * (1 + exactCos(Math.PI * progress)));
}
