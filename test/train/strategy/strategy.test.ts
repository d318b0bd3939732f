// The strategy as a door: a toy that plays a second process with the same data as the first, passed to the Trainer,
// which then computes what it computes alone; and what the trainer asks a strategy.
import { afterEach, expect, it } from "vitest";
import { releaseLease } from "../../../lib/torch/index.js";
import { Trainer } from "../../../lib/train/index.js";
import { prepare } from "../../../lib/train/setup/prepare.js";
import { oneProcess, type Strategy } from "../../../lib/train/strategy/strategy.js";
import { distance, folder, history, loaded, weightsFile } from "../runs.js";

afterEach(() => releaseLease());

/** Rank 0 of two, of which the other computes the same: what is summed is doubled. */
function echo(asked: string[]): Strategy {
  const double = (values: readonly number[]) => values.map((value) => 2 * value);
  const note = <T>(what: string, value: T): T => {
    asked.push(what);
    return value;
  };
  return {
    ...oneProcess,
    size: 2,
    share: (order) => note("share", order),
    sum: async (values) => note("sum", double(values)),
    gather: async (values) => note("gather", [[...values], [...values]]),
    reduceGradients: async (parameters) => {
      for (const { grad } of parameters) grad?.mul_(2);
      note("reduceGradients", undefined);
    },
    clip: (parameters, most) => note("clip", oneProcess.clip(parameters, most)),
  };
}

async function train(strategy: Strategy): Promise<string> {
  const dir = folder();
  const recipe = loaded({
    max_steps: 4,
    save_steps: 4,
    val_size: 0.2,
    eval_strategy: "steps",
    eval_steps: 2,
    output_dir: dir,
  });
  const prepared = await prepare(recipe, () => {});
  const trainer = new Trainer({
    ...prepared,
    padId: prepared.tokenizer.padId,
    strategy,
    save: (to) => prepared.weights.save(to),
  });
  await trainer.run();
  return `${dir}/checkpoint-4`;
}

it("a toy that is passed to the Trainer decides what several processes change", async () => {
  const asked: string[] = [];
  const [two, one] = [await train(echo(asked)), await train(oneProcess)];
  expect(distance(weightsFile(two), weightsFile(one))).toBeLessThan(1e-6);
  const figures = (dir: string) =>
    history(dir).map(({ loss, eval_loss, grad_norm }) => [loss, eval_loss, grad_norm]);
  for (const [at, entry] of figures(two).entries())
    for (const [column, value] of entry.entries())
      if (value !== undefined) expect(value / (figures(one)[at]![column] as number)).toBeCloseTo(1, 5);
  expect(new Set(asked)).toEqual(new Set(["share", "sum", "gather", "reduceGradients", "clip"]));
  expect(asked.filter((what) => what === "reduceGradients")).toHaveLength(4);
});

it("one process is its trivial case", async () => {
  expect(await oneProcess.sum([1, 2])).toEqual([1, 2]);
  expect(await oneProcess.gather([3])).toEqual([[3]]);
  expect([...oneProcess.share(Int32Array.of(4, 5), 1, false)]).toEqual([4, 5]);
  expect(await oneProcess.inTurn("data", async () => 7)).toBe(7);
  expect(oneProcess.stopAsked).toBe(false);
});
