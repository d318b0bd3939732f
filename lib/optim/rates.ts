// The rate of each parameter group at each step, from a formula or from a metric: what a training loop asks for.
import type { ParameterGroup } from "./groups.js";
import { PlateauSchedule, type PlateauSettings, type PlateauState } from "./plateau.js";
import { type Schedule, scheduleFactor } from "./schedule.js";

/** Rates by group. */
export interface GroupRates {
  /** The groups' rates for the step that follows `finished` ones. */
  at(finished: number): readonly number[];
  /** Takes an evaluation's metric into account; nothing where the rates are a formula's. */
  observe(metric: number): void;
  /** What a checkpoint keeps beside the number of steps. */
  state(): PlateauState | null;
  /** Goes on from a saved state; null leaves all as it is. */
  restore(state: PlateauState | null): void;
}

function firstRates(groups: readonly ParameterGroup[], baseRate: number): number[] {
  return groups.map((group) => group.learningRate ?? baseRate);
}

/** Every group's own rate times the schedule's factor after the finished steps: a formula by name, or any function. */
export function formulaRates(
  groups: readonly ParameterGroup[],
  baseRate: number,
  schedule: Schedule | ((finished: number) => number),
): GroupRates {
  const first = firstRates(groups, baseRate);
  const factorAfter =
    typeof schedule === "function" ? schedule : (finished: number) => scheduleFactor(schedule, finished);
  return {
    at(finished) {
      const factor = factorAfter(finished);
      return first.map((rate) => rate * factor);
    },
    observe() {},
    state: () => null,
    restore() {},
  };
}

/** Rates that a metric lowers, and with `greedy` raises. */
export function plateauRates(
  groups: readonly ParameterGroup[],
  baseRate: number,
  name: "reduce_lr_on_plateau" | "greedy",
  settings: PlateauSettings,
): GroupRates {
  const schedule = new PlateauSchedule(name, firstRates(groups, baseRate), settings);
  return {
    at: () => schedule.rates,
    observe: (metric) => schedule.observe(metric),
    state: () => schedule.state(),
    restore(state) {
      if (state !== null) schedule.restore(state);
    },
  };
}
