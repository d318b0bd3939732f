// Every schedule against transformers and torch, step by step (test/fixtures/optim/make.py).
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  PlateauSchedule,
  type PlateauSettings,
  SCHEDULES,
  type ScheduleName,
  type ScheduleSettings,
  scheduleFactor,
} from "../../lib/optim/index.js";

interface Reference {
  rate: number;
  metrics: number[];
  formulas: {
    name: ScheduleName;
    warmup: number;
    total: number;
    settings: ScheduleSettings;
    rates: number[];
  }[];
  watchers: { name: "reduce_lr_on_plateau" | "greedy"; settings: PlateauSettings; rates: number[][] }[];
}

const { rate, metrics, formulas, watchers } = JSON.parse(
  readFileSync(new URL("../fixtures/optim/schedules.json", import.meta.url), "utf8"),
) as Reference;

describe("formulas give transformers' rates to the last digit", () => {
  it.each(formulas)("$name, $warmup of $total, $settings", ({ name, warmup, total, settings, rates }) => {
    const schedule = { name, warmupSteps: warmup, totalSteps: total, baseRate: rate, settings };
    const ours = rates.map((_, step) => rate * scheduleFactor(schedule, step));
    // pow of a fraction differs in the last digit between V8 and the C library
    if (!Number.isInteger(settings.power ?? 1))
      for (const [step, value] of rates.entries())
        expect(Math.abs((ours[step] as number) - value)).toBeLessThan(1e-15 * value);
    else expect(ours).toEqual(rates);
  });

  it("covers them all", () => {
    expect(new Set(formulas.map(({ name }) => name))).toEqual(new Set(SCHEDULES));
  });
});

describe("schedules that watch a metric give torch's and transformers' rates", () => {
  const first = [rate, 4 * rate];
  it.each(watchers)("$name $settings", ({ name, settings, rates }) => {
    const schedule = new PlateauSchedule(name, first, settings);
    const ours = metrics.map((metric) => {
      schedule.observe(metric);
      return [...schedule.rates];
    });
    expect(ours).toEqual(rates);
    expect(new Set(rates.map(([one]) => one)).size).toBeGreaterThan(1);
  });

  it.each(watchers)("$name $settings goes on from a saved state", ({ name, settings, rates }) => {
    let schedule = new PlateauSchedule(name, first, settings);
    const ours = metrics.map((metric) => {
      const state = JSON.parse(JSON.stringify(schedule.state())) as ReturnType<typeof schedule.state>;
      schedule = new PlateauSchedule(name, first, settings);
      schedule.restore(state);
      schedule.observe(metric);
      return [...schedule.rates];
    });
    expect(ours).toEqual(rates);
  });
});
