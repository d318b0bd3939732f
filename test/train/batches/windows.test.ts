// The windows of a run: the batches that the order of blocks gives, prepared one step ahead, and how long they were waited
// for.
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { Recipe } from "../../../lib/config/index.js";
import { type BlockStream, batchOf, type Sampler, type TokenBlocks } from "../../../lib/data/index.js";
import { TrainingWindows } from "../../../lib/train/batches/windows.js";
import { planRun } from "../../../lib/train/plan/plan.js";
import { oneProcess } from "../../../lib/train/strategy/strategy.js";

const BLOCKS = 11;
const block = (index: number) => Int32Array.of(10 * index, 10 * index + 1, 10 * index + 2);
/** Another order each epoch. */
const order: Sampler = {
  length: BLOCKS,
  order: (epoch) => Int32Array.from({ length: BLOCKS }, (_, i) => (i * 3 + epoch) % BLOCKS),
};
const recipe = {
  per_device_train_batch_size: 2,
  gradient_accumulation_steps: 2,
  max_steps: -1,
  num_train_epochs: 2.5,
  dataloader_drop_last: false,
  warmup_steps: 0,
  logging_steps: 1,
  save_steps: 1,
  eval_steps: null,
  lr_scheduler_type: "linear",
  lr_scheduler_kwargs: null,
  learning_rate: 1,
} as unknown as Recipe;
const plan = planRun(recipe, BLOCKS);

function windows(blocks: Partial<TokenBlocks>, stream?: BlockStream): TrainingWindows {
  const all: TokenBlocks = { length: BLOCKS, tokens: 3 * BLOCKS, get: block, ...blocks };
  return new TrainingWindows({ recipe, plan, blocks: all, order, strategy: oneProcess, stream, padId: -1 });
}

describe("windows", () => {
  for (const [where, load] of Object.entries({
    memory: undefined,
    "a file": async (i: number) => block(i),
  })) {
    it(`of blocks in ${where} are those of the order, epoch after epoch, also from the middle on`, async () => {
      const taken = windows(load === undefined ? {} : { load });
      const late = windows(load === undefined ? {} : { load });
      expect([plan.stepsPerEpoch, plan.totalSteps]).toEqual([3, 8]);
      for (let step = 0; step < plan.totalSteps; step++) {
        const at = 4 * (step % 3);
        const chosen = order.order(Math.floor(step / 3)).slice(at, at + 4);
        const corpus = { length: BLOCKS, tokens: 0, get: block };
        const expected = [chosen.slice(0, 2), chosen.slice(2)].filter(({ length }) => length > 0);
        const { batches, streamed } = await taken.take(step);
        expect(batches).toEqual(expected.map((ids) => batchOf(corpus, ids, -1)));
        expect(streamed).toBeUndefined();
        if (step >= 4) expect((await late.take(step)).batches).toEqual(batches);
      }
    });
  }

  it("are prepared one step ahead, and never beyond the last", async () => {
    const asked: number[] = [];
    const load = async (index: number) => {
      asked.push(index);
      return block(index);
    };
    const taken = windows({ load });
    await taken.take(0);
    expect(asked).toEqual(Array.from(order.order(0).slice(0, 8)));
    for (let step = 1; step < plan.totalSteps; step++) await taken.take(step);
    expect(asked.length).toBe(11 + 11 + 8);
  });

  it("are waited for only as long as they are not there", async () => {
    const load = async (index: number) => {
      await sleep(100);
      return block(index);
    };
    const taken = windows({ load });
    expect((await taken.take(0)).waited).toBeGreaterThan(0.09);
    await sleep(200); // the model computes
    expect((await taken.take(1)).waited).toBeLessThan(0.05);
    expect((await taken.take(2)).waited).toBeGreaterThan(0.05);
  });

  it("of a stream fail at the step whose data has the defect, and not before", async () => {
    const steps: number[] = [];
    const stream: BlockStream = {
      window: async (step) => {
        steps.push(step);
        if (step === 2) throw new Error("line 7 is malformed");
        return { batches: [[block(step)]], pass: 0, before: step };
      },
    };
    const taken = windows({}, stream);
    for (const step of [0, 1]) {
      const { batches, streamed } = await taken.take(step);
      expect([Array.from(batches[0]!.inputIds), streamed?.before]).toEqual([Array.from(block(step)), step]);
    }
    await sleep(5);
    expect(steps).toEqual([0, 1, 2]);
    await expect(taken.take(2)).rejects.toThrow("line 7 is malformed");
  });
});
