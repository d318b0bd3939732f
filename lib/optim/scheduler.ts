// A schedule at work on an optimizer, for loops that a program writes itself: after each step it sets the groups' rates.

import { ArgumentError } from "../torch/index.js";
import type { Optimizer } from "./optimizer.js";
import type { PlateauSettings, PlateauState } from "./plateau.js";
import { formulaRates, type GroupRates, plateauRates } from "./rates.js";
import { SCHEDULES, type Schedule } from "./schedule.js";

/** A schedule that watches a metric, by its name in a recipe. */
export interface PlateauChoice {
  /** torch's ReduceLROnPlateau, or transformers' GreedyLR. */
  readonly name: "reduce_lr_on_plateau" | "greedy";
  /** Its settings. */
  readonly settings?: PlateauSettings;
}

/** What {@link LRScheduler} keeps: plain data, to be saved beside the optimizer's state. */
export interface SchedulerState {
  /** Finished steps. */
  readonly finished: number;
  /** Of a schedule that watches a metric; else null. */
  readonly plateau: PlateauState | null;
}

/**
 * Sets the rate of every group of an optimizer: the group's own first rate (or the optimizer's) times the schedule's factor
 * after the finished steps. As in PyTorch, the first rates are set when it is made, and `step()` follows the optimizer's.
 * A function gives the factor itself; a schedule that watches a metric is told with `step(metric)` after each evaluation.
 * @example
 * const scheduler = new LRScheduler(optimizer, { name: "cosine", warmupSteps: 10, totalSteps: 100 });
 * for (...) { ...; optimizer.step(); scheduler.step(); optimizer.zeroGrad(); }
 * @throws ArgumentError for a schedule that there is not
 */
export class LRScheduler {
  readonly #optimizer: Optimizer;
  readonly #rates: GroupRates;
  readonly #watches: boolean;
  #finished = 0;

  constructor(
    optimizer: Optimizer & { readonly learningRate: number },
    schedule: Schedule | PlateauChoice | ((finished: number) => number),
  ) {
    this.#optimizer = optimizer;
    const { groups, learningRate } = optimizer;
    this.#watches = typeof schedule !== "function" && isPlateau(schedule);
    if (typeof schedule === "function") this.#rates = formulaRates(groups, learningRate, schedule);
    else if (isPlateau(schedule))
      this.#rates = plateauRates(groups, learningRate, schedule.name, schedule.settings ?? {});
    else {
      checkName(schedule.name);
      this.#rates = formulaRates(groups, learningRate, { baseRate: learningRate, ...schedule });
    }
    this.#apply();
  }

  /** The groups' rates for the next step, in their order. */
  get learningRates(): readonly number[] {
    return this.#rates.at(this.#finished);
  }

  /**
   * After an optimizer's step; of a schedule that watches a metric, after each evaluation.
   * @throws ArgumentError where the metric is missing
   */
  step(metric?: number): void {
    this.#finished++;
    if (this.#watches && !(typeof metric === "number" && !Number.isNaN(metric)))
      throw new ArgumentError(
        "LRScheduler: this schedule watches a metric; give it with step(evaluationLoss)",
        "ERR_ARGUMENT",
      );
    if (metric !== undefined) this.#rates.observe(metric);
    this.#apply();
  }

  #apply(): void {
    const rates = this.learningRates;
    for (const [index, group] of this.#optimizer.groups.entries())
      group.learningRate = rates[index] as number;
  }

  /** What {@link LRScheduler.loadStateDict} goes on from. */
  stateDict(): SchedulerState {
    return { finished: this.#finished, plateau: this.#rates.state() };
  }

  /** Goes on from a saved state; the scheduler was made with the same schedule, over groups with their first rates. */
  loadStateDict({ finished, plateau }: SchedulerState): void {
    this.#finished = finished;
    this.#rates.restore(plateau);
    this.#apply();
  }
}

const isPlateau = (schedule: Schedule | PlateauChoice): schedule is PlateauChoice =>
  schedule.name === "reduce_lr_on_plateau" || schedule.name === "greedy";

function checkName(name: string): void {
  if ((SCHEDULES as readonly string[]).includes(name)) return;
  const known = [...SCHEDULES, "reduce_lr_on_plateau", "greedy"].join(", ");
  throw new ArgumentError(
    `LRScheduler: there is no schedule "${name}"; choose from ${known}`,
    "ERR_ARGUMENT",
  );
}
