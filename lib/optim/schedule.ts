// Learning rate schedules that are formulas: the factor on the base rate after `step` finished optimizer steps, as
// transformers 5 has them. Schedules that watch a metric are in plateau.ts.

/** The names of schedules that are formulas, as `lr_scheduler_type` takes them. */
export const SCHEDULES = [
  "linear",
  "cosine",
  "cosine_with_restarts",
  "polynomial",
  "constant",
  "constant_with_warmup",
  "inverse_sqrt",
  "cosine_with_min_lr",
  "cosine_warmup_with_min_lr",
  "warmup_stable_decay",
] as const;
/** One of {@link SCHEDULES}. */
export type ScheduleName = (typeof SCHEDULES)[number];

/** A schedule's own settings, by transformers' names (`lr_scheduler_kwargs`); what is left out has its default. */
export interface ScheduleSettings {
  /** Waves (cosine: half a wave by default), or restarts (cosine_with_restarts: 1). */
  num_cycles?: number;
  /** polynomial: the last rate. Default 1e-7. */
  lr_end?: number;
  /** polynomial: the exponent. Default 1. */
  power?: number;
  /** inverse_sqrt: steps after which the rate has fallen to 1 / sqrt(2). Default: the warm-up, or 10,000. */
  timescale?: number;
  /** cosine_with_min_lr, cosine_warmup_with_min_lr: the lowest rate. */
  min_lr?: number;
  /**
   * cosine_with_min_lr, cosine_warmup_with_min_lr: the lowest share of the base rate. Default 0; min_lr goes
   * before it.
   */
  min_lr_rate?: number;
  /** cosine_warmup_with_min_lr: the first rate's share of the base rate. */
  warmup_lr_rate?: number;
  /** warmup_stable_decay: steps at the full rate. Default: a third of what follows the warm-up. */
  num_stable_steps?: number;
  /** warmup_stable_decay: steps of the decay. Default: what follows the warm-up, less a third of it. */
  num_decay_steps?: number;
  /** warmup_stable_decay: the shape of the warm-up. Default linear. */
  warmup_type?: "linear" | "cosine" | "1-sqrt";
  /** warmup_stable_decay: the shape of the decay. Default cosine. */
  decay_type?: "linear" | "cosine" | "1-sqrt";
  /** warmup_stable_decay: the lowest share of the base rate. Default 0. */
  min_lr_ratio?: number;
}

/** A schedule of a run: its formula, its length and its settings. */
export interface Schedule {
  /** Which formula. */
  name: ScheduleName;
  /** Optimizer steps in which the rate rises. */
  warmupSteps: number;
  /** Optimizer steps of the whole run, warm-up included. */
  totalSteps: number;
  /** What the factor is multiplied with; `lr_end` and `min_lr` are compared with it. Default 1. */
  baseRate?: number;
  /** The formula's own settings. */
  settings?: ScheduleSettings;
}

/**
 * The rate for the step that follows `step` finished ones, as a fraction of the base rate.
 * With a warm-up the very first step's factor is 0, but for cosine_warmup_with_min_lr. `constant` has no warm-up.
 */
export function scheduleFactor(schedule: Schedule, step: number): number {
  const { name, warmupSteps } = schedule;
  if (name === "constant") return 1;
  if (name === "cosine_warmup_with_min_lr") return risingCosine(schedule, step);
  if (name === "warmup_stable_decay") return stableDecay(schedule, step);
  if (step < warmupSteps) return step / Math.max(1, warmupSteps);
  return AFTER_WARMUP[name](schedule, step);
}

type Plain = Exclude<ScheduleName, "constant" | "cosine_warmup_with_min_lr" | "warmup_stable_decay">;

const AFTER_WARMUP: Record<Plain, (schedule: Schedule, step: number) => number> = {
  constant_with_warmup: () => 1,
  linear: (schedule, step) => Math.max(0, (schedule.totalSteps - step) / left(schedule)),
  // half a wave; beyond the last step it rises again, as in transformers
  cosine: (schedule, step) => Math.max(0, wave(schedule, progressOf(schedule, step))),
  cosine_with_restarts(schedule, step) {
    const progress = progressOf(schedule, step);
    const cycles = schedule.settings?.num_cycles ?? 1;
    return progress >= 1 ? 0 : Math.max(0, 0.5 * (1 + exactCos(Math.PI * ((cycles * progress) % 1))));
  },
  polynomial({ totalSteps, warmupSteps, baseRate = 1, settings = {} }, step) {
    const { lr_end: end = 1e-7, power = 1 } = settings;
    if (step > totalSteps) return end / baseRate;
    const remaining = 1 - (step - warmupSteps) / (totalSteps - warmupSteps);
    return ((baseRate - end) * remaining ** power + end) / baseRate;
  },
  inverse_sqrt({ warmupSteps, settings = {} }, step) {
    const timescale = settings.timescale ?? (warmupSteps || 10_000);
    return 1 / Math.sqrt((step + timescale - warmupSteps) / timescale);
  },
  cosine_with_min_lr: (schedule, step) => raised(schedule, wave(schedule, progressOf(schedule, step))),
};

function left({ totalSteps, warmupSteps }: Schedule): number {
  return Math.max(1, totalSteps - warmupSteps);
}

function progressOf(schedule: Schedule, step: number): number {
  return (step - schedule.warmupSteps) / left(schedule);
}

function wave({ settings }: Schedule, progress: number): number {
  return 0.5 * (1 + exactCos(Math.PI * (settings?.num_cycles ?? 0.5) * 2 * progress));
}

/** A factor between the lowest share and 1. */
function raised({ baseRate = 1, settings = {} }: Schedule, factor: number): number {
  const least = settings.min_lr === undefined ? (settings.min_lr_rate ?? 0) : settings.min_lr / baseRate;
  return Math.max(0, factor * (1 - least) + least);
}

/** Its warm-up does not begin at 0, and the wave is one step ahead. */
function risingCosine(schedule: Schedule, step: number): number {
  const { warmupSteps, settings } = schedule;
  if (step < warmupSteps) {
    const first = settings?.warmup_lr_rate;
    if (first === undefined) return (step + 1) / Math.max(1, warmupSteps);
    return first + ((1 - first) * step) / Math.max(1, warmupSteps - 1);
  }
  return raised(schedule, wave(schedule, (step - warmupSteps + 1) / left(schedule)));
}

/** Warm-up, plateau, decay (Hu et al. 2024, arXiv:2404.06395). */
function stableDecay({ warmupSteps, totalSteps, settings = {} }: Schedule, step: number): number {
  const after = totalSteps - warmupSteps;
  const stable = settings.num_stable_steps ?? Math.floor(after / 3);
  const decay = settings.num_decay_steps ?? after - Math.floor(after / 3);
  const least = settings.min_lr_ratio ?? 0;
  const between = (factor: number): number => Math.max(0, factor * (1 - least) + least);
  if (step < warmupSteps) {
    const progress = step / Math.max(1, warmupSteps);
    const shape = settings.warmup_type ?? "linear";
    if (shape === "linear") return between(progress);
    if (shape === "cosine") return between(0.5 * (1 - exactCos(Math.PI * progress)));
    return between(1 - Math.sqrt(1 - progress));
  }
  if (step < warmupSteps + stable) return 1;
  if (step >= warmupSteps + stable + decay) return least;
  const progress = (step - warmupSteps - stable) / Math.max(1, decay);
  const shape = settings.decay_type ?? "cosine";
  if (shape === "linear") return between(1 - progress);
  if (shape === "1-sqrt") return between(1 - Math.sqrt(progress));
  return between(0.5 * (1 + exactCos(Math.PI * (settings.num_cycles ?? 0.5) * 2 * progress)));
}

const BITS = 256n;
const ONE = 1n << BITS;
/** Beyond it the series' terms would eat up the spare digits. */
const LARGEST = 64;

/**
 * The cosine of x to the last digit up to |x| = 64, by Taylor's series in fixed point, 256 binary digits: Math.cos and
 * glibc's cos differ in the last digit, which would change logged rates.
 */
function exactCos(x: number): number {
  if (!(Math.abs(x) <= LARGEST)) return Math.cos(x);
  const square = (BigInt(x * 2 ** 200) ** 2n) >> (400n - BITS);
  let sum = ONE;
  for (let term = ONE, n = 1n; term !== 0n; n += 2n) {
    term = (-term * square) / (ONE * n * (n + 1n));
    sum += term;
  }
  return Number(sum) / 2 ** Number(BITS);
}
