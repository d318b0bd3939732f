// Learning rates that follow a metric: torch's ReduceLROnPlateau and transformers' GreedyLR. They hold the rate of
// every parameter group and change it when an evaluation is reported; they do not count steps.

/** Settings of both, by their names (`lr_scheduler_kwargs`). `warmup` and what follows are GreedyLR's alone. */
export interface PlateauSettings {
  /** Whether the metric should fall (`min`, the default) or rise. */
  mode?: "min" | "max";
  /** What a rate is multiplied by when it is lowered. Default 0.1; greedy 0.95, by which it also raises. */
  factor?: number;
  /**
   * Evaluations in a row that pass without improvement before a reduction; greedy: with it, before a raise. Default 10.
   */
  patience?: number;
  /** How much better counts as better. Default 1e-4; greedy 1e-6. */
  threshold?: number;
  /**
   * Whether the threshold is a share of the best metric (`rel`) or an amount (`abs`). Default rel; greedy
   * abs.
   */
  threshold_mode?: "rel" | "abs";
  /** Evaluations after a reduction in which nothing is counted. Default 0. */
  cooldown?: number;
  /** The lowest rate. Default 0; greedy 1e-3. */
  min_lr?: number;
  /** A change of the rate that is not above this is left out. Default 1e-8. */
  eps?: number;
  /** Evaluations after a raise in which nothing is counted. Default 0. */
  warmup?: number;
  /** The highest rate. Default 1. */
  max_lr?: number;
  /** Whether the mean of the last metrics counts in place of the last. Default false. */
  smooth?: boolean;
  /** Metrics in that mean. Default 50. */
  window_size?: number;
  /** Reductions at the lowest rate after which everything starts over. Default 500. */
  reset_start?: number;
}

/** What a checkpoint keeps. `best` is null before the first metric: JSON has no infinity. */
export interface PlateauState {
  /** The groups' rates now. */
  rates: number[];
  /** The best metric so far. */
  best: number | null;
  /** Evaluations in a row without improvement. */
  bad: number;
  /** Evaluations in a row with it. */
  good: number;
  /** Evaluations of the cooldown that are left. */
  cooldown: number;
  /** Evaluations of the warm-up that are left. */
  warmup: number;
  /** Reductions at the lowest rate that are left before a reset. */
  resetIn: number;
  /** The metrics that smoothing takes the mean of. */
  window: number[];
}

interface Resolved extends Required<PlateauSettings> {}

const REDUCE: Resolved = {
  mode: "min",
  factor: 0.1,
  patience: 10,
  threshold: 1e-4,
  threshold_mode: "rel",
  cooldown: 0,
  min_lr: 0,
  eps: 1e-8,
  warmup: 0,
  max_lr: 1,
  smooth: false,
  window_size: 50,
  reset_start: 500,
};
const GREEDY: Resolved = { ...REDUCE, factor: 0.95, threshold: 1e-6, threshold_mode: "abs", min_lr: 1e-3 };

/** Rates of the parameter groups, lowered (and by `greedy` raised) as a metric comes in. */
export class PlateauSchedule {
  readonly #settings: Resolved;
  readonly #first: readonly number[];
  #state: PlateauState;

  /** @param first the groups' rates at the start */
  constructor(
    readonly name: "reduce_lr_on_plateau" | "greedy",
    first: readonly number[],
    settings: PlateauSettings = {},
  ) {
    this.#settings = { ...(name === "greedy" ? GREEDY : REDUCE), ...settings };
    this.#first = [...first];
    this.#state = this.#fresh();
  }

  /** The groups' rates now, in their order. */
  get rates(): readonly number[] {
    return this.#state.rates;
  }

  #fresh(): PlateauState {
    const resetIn = this.#settings.reset_start;
    return {
      rates: [...this.#first],
      best: null,
      bad: 0,
      good: 0,
      cooldown: 0,
      warmup: 0,
      resetIn,
      window: [],
    };
  }

  /** Takes an evaluation's metric into account. */
  observe(metric: number): void {
    if (this.name === "greedy") this.#greedy(this.#smoothed(metric));
    else this.#reduceOnPlateau(metric);
  }

  #reduceOnPlateau(metric: number): void {
    const state = this.#state;
    this.#judge(metric);
    if (state.cooldown > 0) {
      state.cooldown--;
      state.bad = 0;
    }
    if (state.bad <= this.#settings.patience) return;
    this.#lower();
    state.cooldown = this.#settings.cooldown;
    state.bad = 0;
  }

  #greedy(metric: number): void {
    const { patience, cooldown, warmup } = this.#settings;
    const state = this.#state;
    if (state.cooldown > 0 || state.warmup > 0) {
      if (state.cooldown > 0) state.cooldown--;
      else state.warmup--;
      state.bad = 0;
      state.good = 0;
      return;
    }
    this.#judge(metric);
    if (state.good > patience) {
      this.#raise();
      state.warmup = warmup;
      state.good = 0;
    } else if (state.bad > patience) {
      // a reset starts over, but for the wait that this reduction asks for
      this.#lower();
      this.#state.cooldown = cooldown;
      this.#state.bad = 0;
    }
  }

  #judge(metric: number): void {
    const state = this.#state;
    if (this.#isBetter(metric)) {
      state.best = metric;
      state.bad = 0;
      state.good++;
    } else {
      state.bad++;
      state.good = 0;
    }
  }

  #isBetter(metric: number): boolean {
    const { mode, threshold, threshold_mode } = this.#settings;
    const sign = mode === "min" ? -1 : 1;
    const best = this.#state.best ?? -sign * Number.POSITIVE_INFINITY;
    const bar = threshold_mode === "rel" ? best * (1 + sign * threshold) : best + sign * threshold;
    return mode === "min" ? metric < bar : metric > bar;
  }

  #lower(): void {
    const { factor, min_lr, eps } = this.#settings;
    const state = this.#state;
    state.rates = state.rates.map((rate) => {
      const lower = Math.max(rate * factor, min_lr);
      return rate - lower > eps ? lower : rate;
    });
    if (this.name !== "greedy" || state.rates.some((rate) => rate > min_lr)) return;
    if (--state.resetIn <= 0) this.#state = this.#fresh();
  }

  #raise(): void {
    const { factor, max_lr, eps, reset_start } = this.#settings;
    const state = this.#state;
    state.rates = state.rates.map((rate) => {
      const higher = Math.min(rate / factor, max_lr);
      return higher - rate > eps ? higher : rate;
    });
    state.resetIn = reset_start;
  }

  /** The mean of the last metrics, where `smooth` asks for it. */
  #smoothed(metric: number): number {
    const { smooth, window_size } = this.#settings;
    if (!smooth) return metric;
    const { window } = this.#state;
    window.push(metric);
    if (window.length > window_size) window.shift();
    return window.reduce((sum, value) => sum + value, 0) / window.length;
  }

  /** A copy of what a checkpoint keeps. */
  state(): PlateauState {
    return structuredClone(this.#state);
  }

  /** Goes on from a copy of a saved state. */
  restore(state: PlateauState): void {
    this.#state = structuredClone(state);
  }
}
