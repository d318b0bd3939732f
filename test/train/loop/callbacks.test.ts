// Callbacks of a program in the training loop: what they are told, and what they may ask for.
import { existsSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import type { TrainerCallback } from "../../../lib/index.js";
import { only, run } from "../runs.js";

describe("callbacks", () => {
  it("see every point of a run in its order, with the model and the optimizer", async () => {
    const seen: string[] = [];
    const callback: TrainerCallback = {
      onBegin: ({ step, totalSteps, model }) => {
        seen.push(`begin ${step} of ${totalSteps}, ${model.layers.length} layers`);
      },
      onStep: async ({ step, optimizer }) => {
        await Promise.resolve();
        seen.push(`step ${step}, ${optimizer.stateDict().size > 0}`);
      },
      onLog: ({ loss, eval_loss }) =>
        void seen.push(loss === undefined ? `log ${eval_loss! > 0}` : `log ${loss > 0}`),
      onEvaluate: ({ eval_loss }) => void seen.push(`evaluate ${eval_loss! > 0}`),
      onCheckpoint: (dir) => void seen.push(path.basename(dir)),
      onEnd: ({ interrupted }) => void seen.push(`end ${interrupted}`),
    };
    const keys = {
      max_steps: 2,
      logging_steps: 1,
      val_size: 0.2,
      eval_strategy: "steps" as const,
      eval_steps: 2,
      save_steps: 2,
    };
    const { events } = await run(keys, undefined, [callback]);
    expect(seen).toEqual([
      expect.stringMatching(/^begin 0 of 2, \d+ layers$/),
      "step 1, true",
      "log true",
      "step 2, true",
      "log true",
      "log true",
      "evaluate true",
      "checkpoint-2",
      "end false",
    ]);
    expect(only(events, "step")).toHaveLength(2);
  });

  it("ask for an entry, an evaluation and a checkpoint that the recipe does not", async () => {
    const keys = {
      max_steps: 4,
      logging_steps: 100,
      val_size: 0.2,
      eval_strategy: "no" as const,
      save_strategy: "no" as const,
    };
    const { dir, events } = await run(keys, undefined, [
      {
        onStep({ step }, control) {
          if (step !== 2) return;
          control.log();
          control.evaluate();
          control.save();
        },
      },
    ]);
    const entries = only(events, "log").map(({ entry }) => Object.keys(entry));
    expect(entries.filter((names) => names.includes("loss"))).toHaveLength(1);
    expect(entries.filter((names) => names.includes("eval_loss"))).toHaveLength(1);
    expect(only(events, "checkpoint").map(({ step }) => step)).toEqual([2]);
    expect(existsSync(path.join(dir, "checkpoint-2"))).toBe(true);
  });

  it("end a run early, as whole as one that took all its steps", async () => {
    const { result, dir } = await run({ max_steps: 6, save_steps: 100 }, undefined, [
      { onStep: ({ step }, control) => (step === 3 ? control.stop() : undefined) },
    ]);
    expect(result).toMatchObject({ steps: 3, interrupted: false });
    expect(existsSync(path.join(dir, "train_results.json"))).toBe(true);
  });

  it("end the run with what they throw", async () => {
    const failing: TrainerCallback = {
      onStep() {
        throw new TypeError("my own mistake");
      },
    };
    await expect(run({ max_steps: 2 }, undefined, [failing])).rejects.toThrow("my own mistake");
  });
});
