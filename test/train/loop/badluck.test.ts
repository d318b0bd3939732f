// What goes wrong while training: values that are not finite, float16's overflows, disks that refuse.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RecipeInput } from "../../../lib/config/index.js";
import type { StepEvent, TrainEvent } from "../../../lib/events.js";
import type { Block, CausalModel } from "../../../lib/models/index.js";
import { liveTensors, type Tensor } from "../../../lib/torch/index.js";
import { addonPath } from "../../../lib/torch/native.js";
import { Trainer } from "../../../lib/train/loop/trainer.js";
import { prepare } from "../../../lib/train/setup/prepare.js";
import { buildProgram } from "../../cli/program.js";
import { filesOf, folder, history, loaded, only, recipe, run, weightsFile } from "../runs.js";

interface Bench {
  trainer: Trainer;
  model: CausalModel;
  events: TrainEvent[];
  steps(): StepEvent[];
  trained(): Map<string, Float32Array>;
  dir: string;
}

/** A trainer over the tiny model whose first block is under the test's control. */
async function bench(
  keys: RecipeInput,
  disturb: (hidden: Tensor, call: number, model: CausalModel) => Tensor,
): Promise<Bench> {
  const dir = folder();
  const events: TrainEvent[] = [];
  const prepared = await prepare(
    loaded({ disable_gradient_checkpointing: true, ...keys, output_dir: dir }),
    () => {},
  );
  const { model } = prepared;
  const block = model.layers[0] as Block;
  const forward = block.forward.bind(block) as (hidden: Tensor, positions: never) => Tensor;
  let calls = 0;
  block.forward = (hidden, positions) => disturb(forward(hidden, positions), ++calls, model);
  const trainer = new Trainer({
    ...prepared,
    padId: prepared.tokenizer.padId,
    save: (to) => prepared.weights.save(to),
    onEvent: (event) => events.push(event),
  });
  return {
    trainer,
    model,
    events,
    dir,
    steps: () => only(events, "step"),
    trained: () => {
      const all = [...model.namedParameters()].filter(([, parameter]) => parameter.requiresGrad);
      return new Map(
        all.map(([name, parameter]) => [
          name,
          Float32Array.from(parameter.detach().float().toArray() as Float32Array),
        ]),
      );
    },
  };
}

const KEYS: RecipeInput = { max_steps: 6, save_strategy: "no", warmup_ratio: 0, learning_rate: 1e-2 };

const rounded = (value: number) => Number(value.toPrecision(12));
/** The rates that the steps used, and the cosine's after this many finished steps of six. */
const rates = (it: Bench) => it.steps().map(({ learningRate }) => rounded(learningRate));
const rateAfter = (steps: number) => rounded(1e-2 * 0.5 * (1 + Math.cos((Math.PI * steps) / 6)));

describe("a step whose loss or gradient is not finite", () => {
  it("is skipped, counted and named; weights, moments and step counts stay as they were", async () => {
    // calls are micro-steps, four a step: the second of step 3
    const snapshots: Map<string, Float32Array>[] = [];
    const it = await bench(KEYS, (hidden, call) => (call === 10 ? hidden.mul(Number.NaN) : hidden));
    const optimizer: string[] = [];
    it.events.push = (event: TrainEvent): number => {
      if (event.type === "step") {
        snapshots.push(it.trained());
        optimizer.push(
          [...it.trainer.optimizer.stateDict()].map(([key, value]) => `${key} ${value.sum().item()}`).join(),
        );
      }
      return Array.prototype.push.call(it.events, event);
    };
    await it.trainer.run();
    expect(it.steps().map(({ skipped }) => skipped)).toEqual([
      undefined,
      undefined,
      "the loss of micro-step 2 is NaN",
      undefined,
      undefined,
      undefined,
    ]);
    expect(snapshots[2]).toEqual(snapshots[1]);
    expect(optimizer[2]).toBe(optimizer[1]);
    expect(snapshots[3]).not.toEqual(snapshots[2]);
    expect(it.trainer.progress.skippedSteps).toBe(1);
    expect(it.events).toContainEqual({
      type: "message",
      level: "warning",
      text: "step 3 was not applied: the loss of micro-step 2 is NaN",
    });
    for (const values of it.trained().values()) expect(values.every(Number.isFinite)).toBe(true);
    // never hidden: the log names it, and means are of the steps that were applied
    const entries = it.trainer.history.entries;
    expect([entries[2].loss, entries[2].skipped_steps, entries[3].skipped_steps]).toEqual([
      Number.NaN,
      1,
      undefined,
    ]);
    expect(Number.isFinite(it.trainer.progress.meanLoss)).toBe(true);
    // the schedule goes on: it counts steps, as does transformers'
    expect(rates(it)).toEqual([0, 1, 2, 3, 4, 5].map(rateAfter));
  });

  it("an infinite gradient under a finite loss is found as well", async () => {
    const it = await bench(KEYS, (hidden, call) => {
      // the square root's slope at 0 is infinite, its value is not
      return call === 6 ? hidden.add(hidden.detach().sub(hidden).abs().sqrt()) : hidden;
    });
    await it.trainer.run();
    expect(it.steps()[1].skipped).toMatch(/the gradient's norm is (NaN|Infinity)/);
    expect(it.steps().filter(({ skipped }) => skipped !== undefined)).toHaveLength(1);
  });

  it("logged means over an interval leave the skipped step out", async () => {
    const clean = await bench({ ...KEYS, logging_steps: 3, learning_rate: 0 }, (hidden) => hidden);
    await clean.trainer.run();
    const it = await bench({ ...KEYS, logging_steps: 3, learning_rate: 0 }, (hidden, call) =>
      call === 5 ? hidden.mul(Number.NaN) : hidden,
    );
    await it.trainer.run();
    const [first, , third] = clean.steps();
    expect(it.trainer.history.entries[0].loss).toBeCloseTo((first.loss + third.loss) / 2, 6);
    expect(it.trainer.history.entries[0].skipped_steps).toBe(1);
  });

  it.each([{}, { fp16: true }])("ten in a row end the run with one line (%o)", async (keys) => {
    const it = await bench({ ...KEYS, ...keys, max_steps: 100 }, (hidden, call) =>
      call > 4 ? hidden.mul(Number.NaN) : hidden,
    );
    await expect(it.trainer.run()).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringMatching(
        /^10 steps in a row had no finite loss or gradient \(the last: the loss of micro-step 1 is NaN\)[^\n]*$/,
      ),
    });
    for (const values of it.trained().values()) expect(values.every(Number.isFinite)).toBe(true);
  });

  it("poisoned weights end a recipe's run, and leave no tensors", async () => {
    const before = liveTensors();
    await expect(
      run({ ...KEYS, max_steps: 30, learning_rate: 1e30, lr_scheduler_type: "constant" }),
    ).rejects.toThrow(/steps in a row/);
    expect(liveTensors() - before).toBeLessThan(500); // the model is the collector's, what steps made is not there
  });
});

describe("fp16's loss scale", () => {
  it("halves at an overflow, which moves neither the weights nor the schedule", async () => {
    const snapshots: Map<string, Float32Array>[] = [];
    const it = await bench({ ...KEYS, fp16: true }, (hidden, call) =>
      call === 9 ? hidden.add(hidden.detach().sub(hidden).abs().sqrt()) : hidden,
    );
    it.events.push = (event: TrainEvent): number => {
      if (event.type === "step") snapshots.push(it.trained());
      return Array.prototype.push.call(it.events, event);
    };
    await it.trainer.run();
    const skipped = it.steps().map((step) => step.skipped !== undefined);
    expect(skipped).toEqual([false, false, true, false, false, false]);
    expect(snapshots[2]).toEqual(snapshots[1]);
    // step 4 uses the rate that step 3 did not
    expect(rates(it)).toEqual([0, 1, 2, 2, 3, 4].map(rateAfter));
    expect(it.trainer.progress.scheduleSteps).toBe(5);
  });

  it("a resumed run has the scale and the schedule that it had", async () => {
    const keys: RecipeInput = { ...KEYS, fp16: true, save_strategy: "steps", save_steps: 3 };
    const whole = await run(keys);
    const loop = JSON.parse(readFileSync(path.join(whole.dir, "checkpoint-3", "loop_state.json"), "utf8"));
    expect(loop).toMatchObject({ scheduleSteps: 3, lossScale: { scale: 65536, goodSteps: 3 } });
    const resumed = await run({ ...keys, resume_from_checkpoint: path.join(whole.dir, "checkpoint-3") });
    expect(readFileSync(weightsFile(resumed.dir)).equals(readFileSync(weightsFile(whole.dir)))).toBe(true);
  });

  it("is near fp32, and the logged loss and norm are not scaled", async () => {
    const [wide, half] = [await run({ ...KEYS }), await run({ ...KEYS, fp16: true })];
    for (const [i, entry] of history(wide.dir).entries()) {
      if (entry.loss === undefined) continue;
      expect(Math.abs(history(half.dir)[i].loss - entry.loss) / entry.loss).toBeLessThan(5e-3);
      expect(Math.abs(history(half.dir)[i].grad_norm - entry.grad_norm) / entry.grad_norm).toBeLessThan(5e-2);
    }
  });
});

describe("a disk that refuses", () => {
  let program: string;
  beforeAll(async () => {
    program = await buildProgram();
  });
  afterAll(() => rmSync(program, { recursive: true, force: true }));

  /** The command line with a limit on the size of files, in blocks of 512 bytes. */
  function train(keys: RecipeInput, limit?: number): { code: number | null; lines: string[]; out: string } {
    const file = path.join(folder(), "recipe.yaml");
    const lines = Object.entries(recipe(keys)).map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`);
    writeFileSync(file, lines.join(""));
    const command = `${limit === undefined ? "" : `ulimit -f ${limit}; trap '' XFSZ; `}exec "$0" "$@"`;
    const { status, stdout, stderr } = spawnSync(
      "sh",
      ["-c", command, process.execPath, path.join(program, "dist/cli/main.js"), "train", file],
      {
        encoding: "utf8",
        timeout: 60_000,
        env: { ...process.env, QWEN_PT_ADDON: addonPath(), OMP_NUM_THREADS: "1" },
      },
    );
    return { code: status, lines: stderr.trimEnd().split("\n"), out: stdout };
  }

  it("full while a checkpoint is written: one line, exit code 1, the earlier run intact, nothing half-written", () => {
    const dir = folder();
    const keys: RecipeInput = {
      ...KEYS,
      save_strategy: "steps",
      save_steps: 2,
      output_dir: dir,
      plot_loss: false,
    };
    expect(train({ ...keys, max_steps: 2 }).code).toBe(0);
    const before = new Map(filesOf(dir).map((name) => [name, readFileSync(path.join(dir, name), "base64")]));
    // 10 kB: enough for the log, not for the adapter
    const { code, lines, out } = train({ ...keys, overwrite_output_dir: false, max_steps: 6 }, 20);
    expect([code, lines.length], lines.join("\n") + out).toEqual([1, 1]);
    expect(lines[0]).toMatch(/checkpoint-4/);
    const after = new Map(filesOf(dir).map((name) => [name, readFileSync(path.join(dir, name), "base64")]));
    // the log has gone on; all else is as it was
    after.delete("trainer_log.jsonl");
    before.delete("trainer_log.jsonl");
    expect([...after.keys()]).toEqual([...before.keys()]);
    expect(after).toEqual(before);
    expect(train({ ...keys, overwrite_output_dir: false, max_steps: 6 }).code).toBe(0);
  });

  it("full at the very end", () => {
    const dir = folder();
    const { code, lines } = train({ ...KEYS, output_dir: dir, plot_loss: false }, 20);
    expect([code, lines.length], lines.join("\n")).toEqual([1, 1]);
    expect(lines[0]).toMatch(/adapter_model\.safetensors/);
    expect(filesOf(dir)).toEqual(["trainer_log.jsonl"]);
  });

  it("an output_dir that cannot be: said before any work", async () => {
    const dir = folder();
    writeFileSync(path.join(dir, "file"), "");
    const events: TrainEvent[] = [];
    const output = path.join(dir, "file", "below", "out");
    const failed = prepare(loaded({ ...KEYS, output_dir: output }), (event) => events.push(event));
    await expect(failed).rejects.toMatchObject({
      name: "UserError",
      message: `cannot write ${output}: a file is in the way of a folder: choose another output_dir`,
    });
    expect(events.filter(({ type }) => type !== "message")).toEqual([]);
  });

  it("a folder where the log should be", async () => {
    const dir = folder();
    mkdirSync(path.join(dir, "trainer_log.jsonl"));
    await expect(run({ ...KEYS, output_dir: dir })).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringContaining("trainer_log.jsonl"),
    });
    expect(existsSync(path.join(dir, "adapter_model.safetensors"))).toBe(false);
  });
});
