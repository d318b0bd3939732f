// A toy method comes in through the Trainer's `methods`: it is asked at its points, in order, and what it does is done.
import { expect, it } from "vitest";
import type { TrainEvent } from "../../../lib/events.js";
import type { TrainingMethod } from "../../../lib/index.js";
import { prepare, Trainer } from "../../../lib/index.js";
import { folder, loaded, only } from "../runs.js";

it("a method of a program sees every window, holds what it wants still, and logs its figures", async () => {
  const keys = loaded({ finetuning_type: "full", max_steps: 3, logging_steps: 1, output_dir: folder() });
  const prepared = await prepare(keys, () => {});
  const { model } = prepared;
  const norm = model.stateDict().get("model.norm.weight");
  const before = norm?.detach().clone();
  const asked: string[] = [];
  const toy: TrainingMethod = {
    begin: () => void asked.push("begin"),
    startWindow: () => void asked.push("window"),
    maskGradients: () => void norm?.grad?.zero_(),
    figures: () => ({ toys: 7 }),
    afterStep: () => void asked.push("step"),
  };
  const events: TrainEvent[] = [];
  const trainer = new Trainer({
    ...prepared,
    padId: prepared.tokenizer.padId,
    methods: [toy],
    save: () => {},
    onEvent: (event) => events.push(event),
  });
  await trainer.run();
  expect(asked).toEqual(["begin", ...Array.from({ length: 3 }, () => ["window", "step"]).flat()]);
  expect(norm?.equal(before as NonNullable<typeof before>)).toBe(true);
  expect(model.stateDict().get("model.layers.0.mlp.up_proj.weight")?.grad).toBeUndefined();
  expect(only(events, "log").map(({ entry }) => entry["toys"])).toEqual([7, 7, 7]);
});
