// Resuming gives, bit for bit, the run that was never interrupted: weights and optimizer state as bytes, logs as text.
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import type { RecipeInput } from "../../lib/config/index.js";
import { datedData } from "./dated.js";
import { folder, history, logLines, only, plain, type Ran, run, state, stopIn, weightsFile } from "./runs.js";

// 6 steps an epoch, the last one short; 10 steps; dropout and shuffling
const KEYS: RecipeInput = {
  lora_dropout: 0.1,
  max_samples: 11,
  max_steps: 10,
  save_steps: 3,
  logging_steps: 2,
  gradient_checkpointing: true,
};
const DATED = datedData();
const METHODS: Record<string, RecipeInput> = {
  lora: KEYS,
  "lora, no gradient checkpointing": { ...KEYS, gradient_checkpointing: false },
  "lora, bf16": { ...KEYS, bf16: true, model_name_or_path: "model-bfloat16" },
  "lora, 8-bit integers": {
    ...KEYS,
    bf16: true,
    model_name_or_path: "model-bfloat16",
    quantization_compute: "int8",
    per_device_train_batch_size: 2,
  },
  "lora, saved modules": { ...KEYS, additional_target: "embed_tokens,lm_head" },
  "LoRA+ with DoRA": { ...KEYS, use_dora: true, loraplus_lr_ratio: 4, weight_decay: 0.1 },
  PiSSA: { ...KEYS, pissa_init: true },
  "adapters merged and trained on": { ...KEYS, adapter_name_or_path: "adapters/first,adapters/second" },
  "evaluations, early stopping at the end": {
    ...KEYS,
    eval_dataset: "two",
    eval_strategy: "steps",
    eval_steps: 2,
    metric_for_best_model: "loss",
    greater_is_better: true,
    early_stopping_steps: 4,
  },
  "a rate that follows the loss": {
    ...KEYS,
    eval_dataset: "two",
    eval_strategy: "epoch",
    eval_on_start: true,
    lr_scheduler_type: "greedy",
    lr_scheduler_kwargs: { patience: 0, min_lr: 1e-4, factor: 0.5 },
  },
  full: { ...KEYS, finetuning_type: "full", weight_decay: 0.1, neftune_noise_alpha: 5 },
  "sgd, which keeps nothing": { ...KEYS, optim: "sgd", finetuning_type: "full" },
  "sgd with momentum": { ...KEYS, optim: "sgd", optim_args: "momentum=0.9", weight_decay: 0.1 },
  adafactor: { ...KEYS, optim: "adafactor", loraplus_lr_ratio: 4, weight_decay: 0.1 },
  "lora, selective checkpointing on the disk": {
    ...KEYS,
    lora_dropout: 0,
    gradient_checkpointing: "selective",
    activation_offload: "disk",
  },
  "a stream": { ...KEYS, max_samples: null, streaming: true, buffer_size: 5, dataset: "one,two" },
  replay: {
    ...KEYS,
    replay_dataset: "two",
    replay_ratio: 0.3,
    per_device_train_batch_size: 2,
    gradient_accumulation_steps: 3,
  },
  "a mixture by token, with replay": {
    ...KEYS,
    dataset_dir: DATED,
    dataset: "one,three",
    replay_dataset: "two",
    replay_ratio: 0.2,
    mix_by: "tokens",
    mix_weights: { one: 2, three: 1 },
    neat_packing: true,
  },
  "time decay": {
    ...KEYS,
    dataset_dir: DATED,
    time_decay_half_life: "2y",
    time_decay_column: "day",
    time_decay_floor: 0.05,
    replay_dataset: "two",
    replay_ratio: 0.25,
    val_size: 3,
  },
  "a curriculum by loss": { ...KEYS, curriculum_by: "loss", replay_dataset: "two", replay_ratio: 0.2 },
  "a curriculum by a column in a mixture": {
    ...KEYS,
    dataset_dir: DATED,
    dataset: "one,three",
    mix_by: "tokens",
    curriculum_by: "column grade",
    finetuning_type: "full",
  },
  "a curriculum in stages": {
    ...KEYS,
    dataset: "one,two",
    finetuning_type: "freeze",
    freeze_trainable_layers: 1,
    curriculum: [{ until: 0.5, mix: { one: 1 } }, { mix: { one: 1, two: 2 } }],
  },
  "full, pure_bf16": {
    ...KEYS,
    finetuning_type: "full",
    pure_bf16: true,
    model_name_or_path: "model-bfloat16",
  },
  freeze: { ...KEYS, finetuning_type: "freeze", freeze_trainable_layers: 1, freeze_extra_modules: "norm" },
  "chosen heads and norms": {
    ...KEYS,
    finetuning_type: "freeze",
    freeze_trainable_heads: "0:2-3;1:0",
    freeze_trainable_patterns: "*.1.*norm.weight",
    weight_decay: 0.1,
  },
  "lora against forgetting": {
    ...KEYS,
    distill_weight: 0.3,
    ewc_lambda: 10,
    ewc_dataset: "two",
    ewc_samples: 3,
  },
  "full against forgetting, bf16": {
    ...KEYS,
    finetuning_type: "full",
    bf16: true,
    model_name_or_path: "model-bfloat16",
    ewc_lambda: 10,
    ewc_dataset: "two",
    ewc_samples: 3,
    distill_weight: 0.3,
    distill_temperature: 2,
  },
  "freeze, bf16": {
    ...KEYS,
    finetuning_type: "freeze",
    freeze_trainable_layers: -1,
    bf16: true,
    model_name_or_path: "model-bfloat16",
  },
};

const whole = new Map<string, Promise<Ran>>();
/** The run that nothing interrupted. */
function uninterrupted(method: string): Promise<Ran> {
  let found = whole.get(method);
  if (found === undefined) {
    found = run(METHODS[method]);
    whole.set(method, found);
  }
  return found;
}

const checkpoint = (dir: string, step: number) => path.join(dir, `checkpoint-${step}`);

const STATE_FILES = ["optimizer.safetensors", "rng_state.safetensors", "scheduler.json", "loop_state.json"];

/** Bytes of weights, optimizer, random state and logs at the end. */
function outcome({ dir, result }: Pick<Ran, "dir" | "result">): Record<string, unknown> {
  const last = checkpoint(dir, 10);
  return {
    weights: readFileSync(weightsFile(dir)).toString("base64"),
    checkpoint: readFileSync(weightsFile(last)).toString("base64"),
    ...Object.fromEntries(
      STATE_FILES.map((name) => [name, readFileSync(path.join(last, name)).toString("base64")]),
    ),
    history: history(dir).map(plain),
    lines: logLines(dir).map(plain),
    trainLoss: result.trainLoss,
    state: { ...state(last), log_history: undefined },
  };
}

describe("an interrupted and resumed run equals one that was not interrupted", () => {
  for (const method of Object.keys(METHODS)) {
    // 5: inside the first epoch, 6: at its end, 7: just after it
    for (const [stop, micro] of [
      [5, 3],
      [7, 1],
    ] as const) {
      it(`${method}: stopped in micro-step ${micro} of step ${stop}`, async () => {
        const first = await run(METHODS[method], stopIn(stop, micro));
        expect(first.result).toMatchObject({
          interrupted: true,
          steps: stop - 1,
          checkpoint: checkpoint(first.dir, stop - 1),
        });
        expect(existsSync(weightsFile(first.dir))).toBe(false);
        const second = await run({ ...METHODS[method], output_dir: first.dir, overwrite_output_dir: false });
        expect(only(second.events, "begin")[0]).toMatchObject({ startStep: stop - 1 });
        expect(second.result).toMatchObject({ interrupted: false, steps: 10 });
        expect(outcome(second)).toEqual(outcome(await uninterrupted(method)));
      });
    }
  }

  it("stopped in the middle of an evaluation", async () => {
    const method = "evaluations, early stopping at the end";
    const first = await run(METHODS[method], (events) => only(events, "evaluate").at(-1)?.step === 4);
    expect(first.result).toMatchObject({ interrupted: true, steps: 4 });
    expect(history(first.dir, "checkpoint-4").some(({ eval_loss, step }) => eval_loss && step === 4)).toBe(
      false,
    );
    const second = await run({ ...METHODS[method], output_dir: first.dir, overwrite_output_dir: false });
    expect(outcome(second)).toEqual(outcome(await uninterrupted(method)));
  });

  it("after its early end it stays ended", async () => {
    const keys: RecipeInput = {
      ...METHODS["evaluations, early stopping at the end"],
      early_stopping_steps: 2,
    };
    const first = await run({ ...keys, save_steps: 2 });
    expect(first.result).toMatchObject({ interrupted: false, steps: 6 });
    const again = await run({ ...keys, save_steps: 2, output_dir: first.dir, overwrite_output_dir: false });
    expect(again.result).toMatchObject({ interrupted: false, steps: 6 });
    expect(only(again.events, "message").map(({ text }) => text)).toContain(
      "stopped early at step 6: raise early_stopping_steps to train on",
    );
  });

  it("stopped in the backward pass, and twice over", async () => {
    const first = await run(KEYS, stopIn(2, 4, 4));
    const second = await run(
      { ...KEYS, output_dir: first.dir, resume_from_checkpoint: true },
      stopIn(8, 1, 3),
    );
    expect(second.result).toMatchObject({ interrupted: true, steps: 7 });
    const third = await run({ ...KEYS, output_dir: first.dir, resume_from_checkpoint: true });
    expect(outcome(third)).toEqual(outcome(await uninterrupted("lora")));
  });

  it.each([3, 6, 9])("from checkpoint-%i of a finished run, in another folder", async (step) => {
    const source = await uninterrupted("lora");
    const resumed = await run({ ...KEYS, resume_from_checkpoint: checkpoint(source.dir, step) });
    const [ours, theirs] = [outcome(resumed), outcome(source)];
    // a new folder's log begins where this run does
    expect({ ...ours, lines: undefined }).toEqual({ ...theirs, lines: undefined });
    const lines = theirs["lines"] as Record<string, number>[];
    expect(ours["lines"]).toEqual(lines.filter((line) => line.current_steps > step));
  });

  it("gradient checkpointing changes nothing, dropout included", async () => {
    const [on, off] = [await uninterrupted("lora"), await uninterrupted("lora, no gradient checkpointing")];
    expect(history(on.dir).map(plain)).toEqual(history(off.dir).map(plain));
    expect(readFileSync(weightsFile(on.dir)).equals(readFileSync(weightsFile(off.dir)))).toBe(true);
  });

  it("dropout matters: without it the losses differ", async () => {
    const { dir } = await run({ ...KEYS, lora_dropout: 0 });
    expect(history(dir)[1].loss).not.toBe(history((await uninterrupted("lora")).dir)[1].loss);
  });

  it("the same recipe twice gives the same bytes; another seed does not", async () => {
    expect(outcome(await run(KEYS))).toEqual(outcome(await uninterrupted("lora")));
    const other = await run({ ...KEYS, seed: 43 });
    expect(history(other.dir)[0].loss).not.toBe(history((await uninterrupted("lora")).dir)[0].loss);
  });
});

/** A folder with the uninterrupted run's checkpoints and log, and nothing of its end. */
async function copied(): Promise<string> {
  const { dir } = await uninterrupted("lora");
  const target = folder();
  for (const step of [3, 6, 9]) cpSync(checkpoint(dir, step), checkpoint(target, step), { recursive: true });
  cpSync(path.join(dir, "trainer_log.jsonl"), path.join(target, "trainer_log.jsonl"));
  return target;
}

const startStep = ({ events }: Ran) => only(events, "begin")[0]?.startStep;
const warnings = ({ events }: Ran) =>
  events.flatMap((event) => (event.type === "message" && event.level === "warning" ? [event.text] : []));

describe("which checkpoint is resumed", () => {
  it("the last one, by itself, where output_dir is not overwritten; lines logged after it are written again", async () => {
    const dir = await copied();
    const ran = await run({ ...KEYS, output_dir: dir, overwrite_output_dir: false });
    expect([startStep(ran), warnings(ran)]).toEqual([9, []]);
    expect(outcome(ran)).toEqual(outcome(await uninterrupted("lora")));
  });

  it("none where output_dir is overwritten", async () => {
    const dir = await copied();
    expect(startStep(await run({ ...KEYS, output_dir: dir, max_steps: 1 }))).toBe(0);
    expect(logLines(dir)).toHaveLength(1); // the closing line: nothing was logged at step 1
  });

  it.each([
    ["truncated", (file: string) => truncateSync(file, 1000)],
    ["missing", (file: string) => rmSync(file)],
    [
      "changed in one bit",
      (file: string) => {
        const bytes = readFileSync(file);
        bytes[bytes.length - 5] ^= 1;
        writeFileSync(file, bytes);
      },
    ],
  ])("a newest one with a file that is %s is skipped, and that is said", async (_, damage) => {
    const dir = await copied();
    damage(path.join(checkpoint(dir, 9), "optimizer.safetensors"));
    const ran = await run({ ...KEYS, output_dir: dir, overwrite_output_dir: false });
    expect(startStep(ran)).toBe(6);
    expect(warnings(ran)).toEqual([
      expect.stringContaining(path.join(checkpoint(dir, 9), "optimizer.safetensors")),
    ]);
    expect(outcome(ran)).toEqual(outcome(await uninterrupted("lora")));
  });

  it("one without its manifest, and temporary folders of a process that is gone, do not count", async () => {
    const dir = await copied();
    rmSync(path.join(checkpoint(dir, 9), "manifest.json"));
    const gone = 2 ** 22 - 3;
    cpSync(checkpoint(dir, 6), path.join(dir, `.checkpoint-8.${gone}.tmp`), { recursive: true });
    cpSync(checkpoint(dir, 6), path.join(dir, `.checkpoint-6.${gone}.old`), { recursive: true });
    for (const name of [`.trainer_state.json.${gone}.tmp`, `adapter_model.safetensors.tmp-${gone}-0`])
      writeFileSync(path.join(dir, name), "{");
    const ran = await run({ ...KEYS, output_dir: dir, resume_from_checkpoint: true, max_steps: 7 });
    expect(startStep(ran)).toBe(6);
    const { readdirSync } = await import("node:fs");
    expect(readdirSync(dir).filter((name) => /^\.|\.tmp/.test(name))).toEqual([]);
  });

  it("a checkpoint that was being replaced when the process died is put back", async () => {
    const dir = await copied();
    cpSync(checkpoint(dir, 9), path.join(dir, `.checkpoint-9.${2 ** 22 - 3}.old`), { recursive: true });
    rmSync(checkpoint(dir, 9), { recursive: true });
    expect(startStep(await run({ ...KEYS, output_dir: dir, overwrite_output_dir: false }))).toBe(9);
  });

  it("already at the last step: says so, trains nothing, finishes the output", async () => {
    const { dir: source } = await uninterrupted("lora");
    const dir = folder();
    cpSync(source, dir, { recursive: true });
    rmSync(weightsFile(dir));
    const ran = await run({ ...KEYS, output_dir: dir, overwrite_output_dir: false });
    const texts = ran.events.flatMap((event) => (event.type === "message" ? [event.text] : []));
    expect(texts).toContainEqual(expect.stringContaining("already at step 10 of 10"));
    expect(ran.events.some((event) => event.type === "step")).toBe(false);
    expect(readFileSync(weightsFile(dir)).equals(readFileSync(weightsFile(source)))).toBe(true);
    expect(logLines(dir).map(plain)).toEqual(logLines(source).map(plain));
  });

  it("more steps than before: goes on, and says that the goal has changed", async () => {
    const dir = await copied();
    const ran = await run({ ...KEYS, output_dir: dir, overwrite_output_dir: false, max_steps: 12 });
    expect([startStep(ran), ran.result.steps]).toEqual([9, 12]);
    expect(warnings(ran)).toEqual([expect.stringContaining("this run goes to 12")]);
  });
});

describe("refusals, each one line", () => {
  const refusal = async (keys: RecipeInput): Promise<string> => {
    const error = await run(keys).then(
      () => undefined,
      (thrown: unknown) => thrown as Error,
    );
    expect(error?.name).toBe("UserError");
    expect(error?.message).not.toContain("\n");
    return error?.message ?? "";
  };

  it("true, where there is no checkpoint", async () => {
    expect(await refusal({ ...KEYS, resume_from_checkpoint: true })).toContain(
      "there is no complete checkpoint in",
    );
  });

  it("a folder that is not there, and one that is no checkpoint", async () => {
    const dir = folder();
    expect(await refusal({ ...KEYS, resume_from_checkpoint: path.join(dir, "none") })).toContain(
      "there is no folder",
    );
    expect(await refusal({ ...KEYS, resume_from_checkpoint: dir })).toContain("not a complete checkpoint");
  });

  it("LLaMA-Factory's own, named as such", async () => {
    const dir = path.join(folder(), "checkpoint-3");
    mkdirSync(dir);
    writeFileSync(path.join(dir, "optimizer.pt"), "PK");
    expect(await refusal({ ...KEYS, resume_from_checkpoint: dir })).toContain("checkpoint of LLaMA-Factory");
  });

  it("one that was saved with save_only_model, however it is found", async () => {
    const { dir, result } = await run({ ...KEYS, save_only_model: true, max_steps: 1 });
    expect(existsSync(path.join(dir, "checkpoint-1", "optimizer.safetensors"))).toBe(false);
    for (const resume of [String(result.checkpoint), true as const]) {
      expect(await refusal({ ...KEYS, output_dir: dir, resume_from_checkpoint: resume })).toContain(
        "save_only_model",
      );
    }
    expect(await refusal({ ...KEYS, output_dir: dir, overwrite_output_dir: false })).toContain(
      "save_only_model",
    );
  });

  it("a signal under save_only_model still saves a full one", async () => {
    const keys: RecipeInput = { ...KEYS, save_only_model: true, save_steps: 2 };
    const first = await run(keys, stopIn(5, 1));
    const second = await run({ ...keys, output_dir: first.dir, resume_from_checkpoint: true });
    expect(startStep(second)).toBe(4);
    expect(
      readFileSync(weightsFile(second.dir)).equals(
        readFileSync(weightsFile((await uninterrupted("lora")).dir)),
      ),
    ).toBe(true);
  });

  it("a recipe of another shape", async () => {
    const { dir } = await uninterrupted("lora");
    const message = await refusal({ ...KEYS, lora_rank: 8, resume_from_checkpoint: checkpoint(dir, 3) });
    expect(message).toMatch(/adapter_model\.safetensors: .*shape/);
  });

  it("an output_dir with an earlier run's weights and no checkpoint", async () => {
    const dir = folder();
    writeFileSync(path.join(dir, "adapter_model.safetensors"), "kept");
    expect(await refusal({ ...KEYS, output_dir: dir, overwrite_output_dir: false })).toContain(
      "set overwrite_output_dir: true",
    );
    expect(readFileSync(path.join(dir, "adapter_model.safetensors"), "utf8")).toBe("kept");
  });
});
