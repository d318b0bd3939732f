// Schedules as objects on an optimizer, against torch's own: the rates of the recipe's formulas are schedules.test.ts's.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { LRScheduler, type PlateauSettings, SGD, scheduleFactor } from "../../lib/public/optim.js";
import { ones } from "../../lib/public/torch.js";

const { rate, metrics, watchers } = JSON.parse(
  readFileSync(new URL("../fixtures/optim/schedules.json", import.meta.url), "utf8"),
) as {
  rate: number;
  metrics: number[];
  watchers: { name: "reduce_lr_on_plateau" | "greedy"; settings: PlateauSettings; rates: number[][] }[];
};
const COSINE = { name: "cosine", warmupSteps: 2, totalSteps: 10 } as const;

const optimizer = () =>
  new SGD(
    [
      { parameters: [ones([1]).requiresGrad_()] },
      { parameters: [ones([1]).requiresGrad_()], learningRate: 4 * rate },
    ],
    {
      learningRate: rate,
    },
  );
const ratesOf = ({ groups }: SGD) => groups.map(({ learningRate }) => learningRate);

describe("a scheduler", () => {
  it("sets every group's rate, from before the first step on", () => {
    const made = optimizer();
    const scheduler = new LRScheduler(made, COSINE);
    for (let step = 0; step < 12; step++) {
      const factor = scheduleFactor(COSINE, step);
      expect(ratesOf(made)).toEqual([rate * factor, 4 * rate * factor]);
      expect(scheduler.learningRates).toEqual(ratesOf(made));
      scheduler.step();
    }
  });

  it("takes any function of the finished steps", () => {
    const made = optimizer();
    const scheduler = new LRScheduler(made, (finished) => 1 / (1 + finished));
    scheduler.step();
    expect(ratesOf(made)).toEqual([rate / 2, 2 * rate]);
  });

  it.each(watchers)(
    "$name $settings gives torch's rates, and goes on from its state",
    ({ name, settings, rates }) => {
      const made = optimizer();
      let scheduler = new LRScheduler(made, { name, settings });
      for (const [i, metric] of metrics.entries()) {
        scheduler.step(metric);
        expect(ratesOf(made)).toEqual(rates[i]);
        if (i !== 5) continue;
        const state = JSON.parse(JSON.stringify(scheduler.stateDict()));
        for (const [at, group] of made.groups.entries()) group.learningRate = [rate, 4 * rate][at] as number;
        scheduler = new LRScheduler(made, { name, settings });
        scheduler.loadStateDict(state);
      }
    },
  );

  it("refuses an unknown name, and a missing metric", () => {
    expect(() => new LRScheduler(optimizer(), { ...COSINE, name: "cosin" as never })).toThrow(
      'LRScheduler: there is no schedule "cosin"; choose from linear, cosine',
    );
    expect(() => new LRScheduler(optimizer(), { name: "greedy" }).step()).toThrow(
      "this schedule watches a metric; give it with step(evaluationLoss)",
    );
  });
});
