// Which evaluation was the best one, and for how long there has been no better: `metric_for_best_model`,
// `greater_is_better`, `early_stopping_steps`, as transformers counts them.
import type { Recipe } from "../../config/index.js";
import { UserError } from "../../errors.js";

/** What is kept of earlier evaluations. */
export interface BestState {
  metric: number | null;
  step: number | null;
  /** Evaluations in a row without a better metric. */
  waited: number;
}

/** The metric's name as it is logged: `eval_loss` for `loss`. */
export function metricName(recipe: Pick<Recipe, "metric_for_best_model">): string | undefined {
  const name = recipe.metric_for_best_model;
  return name === null || name.startsWith("eval_") ? (name ?? undefined) : `eval_${name}`;
}

/** Follows one metric over a run's evaluations. */
export class BestMetric {
  /** The metric that is followed, such as `eval_loss`; undefined for none. */
  readonly key: string | undefined;
  readonly #recipe: Recipe;
  #state: BestState = { metric: null, step: null, waited: 0 };

  constructor(recipe: Recipe) {
    this.#recipe = recipe;
    this.key = metricName(recipe);
  }

  /** What a checkpoint keeps. */
  get state(): Readonly<BestState> {
    return this.#state;
  }

  /** Goes on from a saved state. */
  restore(state: BestState): void {
    this.#state = { ...state };
  }

  /** Whether `early_stopping_steps` evaluations have passed without a better one. */
  get isOver(): boolean {
    const patience = this.#recipe.early_stopping_steps;
    return patience !== null && this.#state.waited >= patience;
  }

  /**
   * Takes an evaluation into account; `value` is what a learning rate may follow.
   * @throws UserError where the metric is none of those that an evaluation gives
   */
  observe(metrics: Readonly<Record<string, number>>, step: number): { isBest: boolean; value?: number } {
    if (this.key === undefined) return { isBest: false };
    const value = metrics[this.key];
    if (value === undefined) {
      const names = Object.keys(metrics).filter((name) => name.endsWith("_loss"));
      throw new UserError(
        `metric_for_best_model: an evaluation gives no ${this.key}; choose ${names.join(" or ")}`,
      );
    }
    const { metric } = this.#state;
    const isBetter = metric === null || (this.#recipe.greater_is_better ? value > metric : value < metric);
    // a first value that is no number is no best one either
    const isBest = isBetter && !Number.isNaN(value);
    this.#state.waited = isBetter ? 0 : this.#state.waited + 1;
    if (isBest) {
      this.#state.metric = value;
      if (this.#recipe.save_strategy !== "no") this.#state.step = step;
    }
    return { isBest, value };
  }
}
