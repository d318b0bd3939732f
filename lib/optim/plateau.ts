// Learning rates that follow a metric: torch's ReduceLROnPlateau and transformers' GreedyLR. They hold the rate of
// every parameter group and change it when an evaluation is reported; they do not count steps.

/** Settings of both, by their names (`lr_scheduler_kwargs`). `warmup` and what follows are GreedyLR's alone. */
export interface PlateauSettings {
  mode?: "min" | "max";
  factor?: number;
  patience?: number;
  threshold?: number;
  threshold_mode?: "rel" | "abs";
  cooldown?: number;
  min_lr?: number;
  eps?: number;
  warmup?: number;
  max_lr?: number;
  smooth?: boolean;
  window_size?: number;
  reset_start?: number;
}

/** What a checkpoint keeps. `best` is null before the first metric: JSON has no infinity. */
export interface PlateauState {
  rates: number[];
  best: number | null;
  bad: number;
  good: number;
  cooldown: number;
  warmup: number;
  resetIn: number;
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

  state(): PlateauState {
    return structuredClone(this.#state);
  }

  restore(state: PlateauState): void {
    this.#state = structuredClone(state);
  }
}
