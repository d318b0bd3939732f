// train(): a recipe on a separate thread. Its events, its abort, the lease, and the caller's event loop meanwhile.
import { writeFileSync } from "node:fs";
import path from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { describe, expect, it } from "vitest";
import type { RecipeInput } from "../../lib/config/index.js";
import type { TrainEvent } from "../../lib/events.js";
import { LeaseError, liveTensors, ones, releaseLease, scope } from "../../lib/torch/index.js";
import { listCheckpoints } from "../../lib/train/checkpoint/folder.js";
import { train } from "../../lib/train/index.js";
import { Trainer } from "../../lib/train/loop/trainer.js";
import { prepare } from "../../lib/train/setup/prepare.js";
import { collect } from "../fixtures/collect.js";
import { folder, history, loaded, only, plain, recipe, run } from "./runs.js";

const KEYS: RecipeInput = {
  max_steps: 6,
  save_steps: 4,
  logging_steps: 2,
  plot_loss: false,
  lora_dropout: 0.1,
};
const inFolder = (keys: RecipeInput = {}): RecipeInput => recipe({ ...KEYS, ...keys, output_dir: folder() });

describe("events", () => {
  it("come in order, as plain data, and say what happened", async () => {
    const events: TrainEvent[] = [];
    const steps: number[] = [];
    const result = await train(inFolder(), {
      onEvent: (event) => events.push(event),
      onStep: ({ step }) => steps.push(step),
    });
    const kinds = events.filter(({ type }) => type !== "message").map(({ type }) => type);
    const step = ["microStep", "microStep", "microStep", "microStep", "step"];
    expect(kinds).toEqual([
      ...["data", "model", "begin"],
      ...[
        ...step,
        ...step,
        "log",
        ...step,
        ...step,
        "log",
        "checkpoint",
        ...step,
        ...step,
        "log",
        "checkpoint",
      ],
      "log",
      ...["file", "file", "file", "file"],
      "end",
    ]);
    expect(structuredClone(events)).toEqual(events);
    expect(steps).toEqual([1, 2, 3, 4, 5, 6]);
    expect(events.at(-1)).toEqual({ type: "end", result });
    expect(result).toMatchObject({ steps: 6, interrupted: false, skippedSteps: 0 });
    const begin = only(events, "begin")[0];
    expect(begin).toMatchObject({
      totalSteps: 6,
      startStep: 0,
      accumulation: 4,
      perDeviceBatch: 1,
      totalBatch: 4,
    });
    const micro = only(events, "microStep");
    expect(
      micro.slice(0, 5).map((event) => [event.step, event.micro, event.accumulation, event.tokens]),
    ).toEqual([
      [1, 1, 4, 48],
      [1, 2, 4, 48],
      [1, 3, 4, 48],
      [1, 4, 4, 48],
      [2, 1, 4, 48],
    ]);
    const logged = events.flatMap((event) => (event.type === "log" ? [plain(event.entry)] : []));
    expect(logged).toEqual(history(result.outputDir).map(plain));
    // a logged loss is the mean of the steps since the last one
    const losses = events.flatMap((event) => (event.type === "step" ? [event.loss] : []));
    expect(logged[1].loss).toBeCloseTo((losses[2] + losses[3]) / 2, 6);
  });

  it("are the same numbers as in this thread, from a file with overrides too", async () => {
    const here = await run(KEYS);
    const file = path.join(folder(), "recipe.yaml");
    const output = folder();
    writeFileSync(
      file,
      Object.entries(recipe(KEYS))
        .map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`)
        .join(""),
    );
    await train(file, { overrides: [`output_dir=${output}`] });
    expect(history(output).map(plain)).toEqual(history(here.dir).map(plain));
  });

  it("what a callback throws ends the run and reaches the caller", async () => {
    const thrown = new Error("mine");
    const failed = train(inFolder({ max_steps: 500 }), {
      onStep: () => {
        throw thrown;
      },
    });
    await expect(failed).rejects.toBe(thrown);
    expect(scope(() => ones([2]).sum().item())).toBe(2); // and the thread is gone
    releaseLease();
  });
});

describe("abort", () => {
  it("saves the last finished step; resuming gives the run that was never aborted", async () => {
    releaseLease();
    const keys: RecipeInput = { max_steps: 40, save_steps: 500 };
    const whole = inFolder(keys);
    await train(whole);
    const recipeHere = inFolder({ ...keys, overwrite_output_dir: false });
    const controller = new AbortController();
    const first = await train(recipeHere, {
      signal: controller.signal,
      onEvent: (event) => {
        if (event.type === "microStep" && event.step === 5 && event.micro === 2) controller.abort();
      },
    });
    expect(first.interrupted).toBe(true);
    expect(first.steps).toBeGreaterThanOrEqual(4);
    expect(first.steps).toBeLessThan(40);
    expect(listCheckpoints(first.outputDir).map(({ step }) => step)).toEqual([first.steps]);
    const second = await train(recipeHere);
    expect(second).toMatchObject({ interrupted: false, steps: 40 });
    expect(history(second.outputDir).map(plain)).toEqual(history(String(whole.output_dir)).map(plain));
  });

  it("before the start, or before the first step: AbortError, and nothing written", async () => {
    releaseLease();
    await expect(train(inFolder(), { signal: AbortSignal.abort() })).rejects.toMatchObject({
      name: "AbortError",
    });
    const controller = new AbortController();
    const keys = inFolder();
    const failed = train(keys, {
      signal: controller.signal,
      onEvent: (event) => {
        if (event.type === "data") controller.abort();
      },
    });
    await expect(failed).rejects.toMatchObject({ name: "AbortError" });
    expect(listCheckpoints(String(keys.output_dir))).toEqual([]);
  });

  it("bad input arrives as the UserError that it is", async () => {
    await expect(train(inFolder({ dataset: "none" }))).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringContaining("none"),
    });
  });
});

describe("threads", () => {
  it("while it runs no other thread may compute; afterwards the caller may", async () => {
    releaseLease();
    const errors: unknown[] = [];
    let tried = 0;
    await train(inFolder({ max_steps: 20 }), {
      onStep: () => {
        tried++;
        try {
          scope(() => ones([2]).add(1));
        } catch (error) {
          errors.push(error);
        }
      },
    });
    expect(tried).toBe(20);
    // the last events may be read when the thread has already let go
    expect(errors.length).toBeGreaterThan(0);
    for (const error of errors) {
      expect(error).toBeInstanceOf(LeaseError);
      expect((error as Error).message).not.toContain("\n");
    }
    expect(scope(() => ones([2]).add(1).sum().item())).toBe(4);
    releaseLease();
  });

  it("a second train() meanwhile is refused, and the first is not disturbed", async () => {
    releaseLease();
    let second: Promise<unknown> | undefined;
    const first = await train(inFolder({ max_steps: 150, logging_steps: 50 }), {
      onStep: () => {
        second ??= train(inFolder()).then(
          () => "trained",
          (error: unknown) => error,
        );
      },
    });
    expect(first.steps).toBe(150);
    expect(await second).toBeInstanceOf(LeaseError);
  });

  it("the caller's event loop stays free", async () => {
    releaseLease();
    const delay = monitorEventLoopDelay({ resolution: 5 });
    const running = train(inFolder({ max_steps: 60, finetuning_type: "full" }), {
      onEvent: ({ type }) => {
        if (type === "begin") delay.enable();
      },
    });
    await running;
    delay.disable();
    expect(delay.count).toBeGreaterThan(20);
    expect(delay.percentile(99) / 1e6).toBeLessThan(100);
  });
});

describe("lifetime", () => {
  it.each([
    {},
    { finetuning_type: "full" },
    { disable_gradient_checkpointing: true, bf16: true },
    { finetuning_type: "freeze", additional_target: null },
  ] as RecipeInput[])("steps leave no tensors behind (%o)", async (keys) => {
    releaseLease();
    const prepared = await prepare(
      loaded({ ...KEYS, max_steps: 30, save_steps: 10, ...keys, output_dir: folder() }),
      () => {},
    );
    const counts: number[] = [];
    const forgotten: number[] = [];
    const trainer = new Trainer({
      ...prepared,
      padId: prepared.tokenizer.padId,
      save: (dir) => prepared.weights.save(dir),
      onEvent: (event) => {
        if (event.type !== "step" && event.type !== "checkpoint") return;
        const before = liveTensors();
        collect(); // or what the collector finds, of earlier tests too, makes counts fall and rise
        counts.push(liveTensors());
        forgotten.push(before - liveTensors());
      },
    });
    await trainer.run();
    // the optimizer's state appears in the first step and stays
    expect(new Set(counts.slice(1)).size, String(counts)).toBe(1);
    expect(Math.max(...forgotten.slice(1)), `left to the collector: ${forgotten}`).toBeLessThanOrEqual(1);
    releaseLease();
  });
});
