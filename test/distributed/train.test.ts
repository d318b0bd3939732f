// Training by several processes against one process with as many times the batch: the same blocks, losses, gradients and
// weights, step by step; and going on from a checkpoint with as many processes, or others.
import { readdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RecipeInput } from "../../lib/config/index.js";
import { trainRanks } from "./ranks.js";
import { FULL, TinyRuns } from "./tiny-runs.js";

describe.skipIf(process.platform !== "linux")("two processes", () => {
  let runs: TinyRuns;
  beforeAll(() => {
    runs = new TinyRuns();
  });
  afterAll(() => runs.remove());

  it("give what one with twice the batch gives: fp32 to 1e-5, fp64 to 1e-9, each step", async () => {
    const evaluated = {
      val_size: 0.2,
      eval_strategy: "steps",
      eval_steps: 10,
      per_device_eval_batch_size: 2,
    } as const;
    const steady: RecipeInput = { ...runs.wide, lr_scheduler_type: "constant" };
    const stream: RecipeInput = { ...steady, streaming: true, max_samples: null, buffer_size: 64 };
    await trainRanks(2, [
      runs.recipe("two-stream", stream),
      runs.recipe("stream-resumed", { ...stream, max_steps: 10 }),
      runs.recipe("stream-resumed", stream),
      runs.recipe("two", evaluated),
      runs.recipe("two-wide", runs.wide),
      runs.recipe("two-full", FULL),
    ]);
    await runs.alone("one", evaluated);
    await runs.alone("one-wide", runs.wide);
    await runs.alone("one-full", FULL);
    await runs.alone("one-stream", stream);
    expect(runs.weights("two-wide").values().next().value?.dtype).toBe("float64");
    expect(runs.apart("two-wide", "one-wide", "grad_norm")).toBeLessThan(1e-9);
    expect(runs.weightsApart("two-wide", "one-wide")).toBeLessThan(1e-9);
    for (const [two, one] of [
      ["two", "one"],
      ["two-full", "one-full"],
    ] as const) {
      expect(runs.apart(two, one, "loss")).toBeLessThan(1e-5);
      expect(runs.apart(two, one, "grad_norm")).toBeLessThan(1e-4);
    }
    expect(runs.apart("two-stream", "one-stream", "grad_norm")).toBeLessThan(1e-9);
    expect(runs.weightsApart("stream-resumed", "two-stream")).toBe(0);
    expect(runs.weightsApart("two-full", "one-full", "model")).toBeLessThan(1e-4);
    expect(runs.steps("two").map(({ epoch }) => epoch)).toEqual(runs.steps("one").map(({ epoch }) => epoch));
    expect(runs.evaluations("two")).toHaveLength(2);
    for (const [at, loss] of runs.evaluations("two").entries())
      expect(Math.abs(loss / runs.evaluations("one")[at]! - 1)).toBeLessThan(1e-5);
  });

  it("go on from a checkpoint bit for bit, and as one or three processes", async () => {
    const dropping = { lora_dropout: 0.1 };
    const half = { ...dropping, max_steps: 10, lr_scheduler_type: "constant" } as const;
    const whole = { ...dropping, lr_scheduler_type: "constant" } as const;
    await trainRanks(2, [
      runs.recipe("straight", whole),
      runs.recipe("resumed", half),
      runs.recipe("resumed", whole),
    ]);
    expect(readdirSync(runs.path("resumed/checkpoint-10"))).toContain("rng_state_1.safetensors");
    expect(runs.weightsApart("straight", "resumed")).toBe(0);
    expect(runs.steps("resumed").map(({ loss }) => loss)).toEqual(
      runs.steps("straight").map(({ loss }) => loss),
    );
    const from = { ...whole, resume_from_checkpoint: runs.path("straight/checkpoint-10") };
    await runs.alone("as-one", from);
    await trainRanks(3, [runs.recipe("as-three", from)]);
    expect(runs.steps("as-one")).toHaveLength(20);
    expect(runs.steps("as-three")).toHaveLength(20);
    expect(runs.weightsApart("as-one", "straight")).toBeLessThan(0.5);
  });
});
