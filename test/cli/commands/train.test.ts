// The train command around a run that the test plays: output, exit codes, how to resume.
import { describe, expect, it } from "vitest";
import { runTraining, type Training } from "../../../lib/cli/commands/train.js";
import { describe as describeError } from "../../../lib/cli/dispatch.js";
import { UserError } from "../../../lib/errors.js";
import type { TrainEvent, TrainResult } from "../../../lib/events.js";
import { FakeHost } from "../program.js";

const RESULT: TrainResult = {
  outputDir: "saves/run",
  steps: 2,
  epoch: 1,
  trainLoss: 3,
  runtimeSeconds: 10,
  interrupted: false,
  skippedSteps: 0,
  dataWaitShare: 0.0123,
  metrics: { train_loss: 3, epoch: 1 },
};
const EVENTS: TrainEvent[] = [
  { type: "message", level: "info", text: "a note" },
  { type: "message", level: "warning", text: "of 2 GPUs one is used" },
  {
    type: "data",
    summary: {
      datasets: [{ name: "data1", documents: 3 }],
      documents: 3,
      tokens: 1300,
      blocks: 12,
      droppedTokens: 20,
      separator: "<|endoftext|>",
      blockLength: 1024,
      packing: true,
    },
    example: { ids: [1, 2, 3], text: "first\u001b[2J\nsecond" },
  },
  { type: "model", trainable: 100, total: 1000, device: "cpu", dtype: "bfloat16" },
  {
    type: "begin",
    examples: 12,
    epochs: 1,
    totalSteps: 2,
    stepsPerEpoch: 2,
    perDeviceBatch: 1,
    totalBatch: 8,
    accumulation: 8,
    startStep: 0,
  },
  { type: "microStep", step: 1, micro: 1, accumulation: 8, tokens: 1024, seconds: 1 },
  {
    type: "step",
    step: 1,
    totalSteps: 2,
    epoch: 0.5,
    loss: 3,
    gradNorm: 1,
    learningRate: 1e-4,
    tokens: 8192,
    tokensPerSecond: 100,
    dataWaitSeconds: 0.5,
    memoryBytes: 1e9,
  },
  { type: "log", entry: { loss: 3, grad_norm: 1, learning_rate: 1e-4, epoch: 0.5, step: 1 }, line: {} },
  { type: "checkpoint", step: 2, path: "saves/run/checkpoint-2" },
  { type: "file", path: "saves/run/training_loss.png", what: "loss curve" },
];

/** A run that plays its events, then waits for the abort where it is told to. */
function played(
  result: Partial<TrainResult>,
  options: { abort?: boolean; overwrites?: boolean; fail?: Error } = {},
): Training {
  return {
    overwrites: () => options.overwrites ?? false,
    async train(_recipe, { signal, onEvent }) {
      for (const event of EVENTS) onEvent(event);
      if (options.abort)
        await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      if (options.fail) throw options.fail;
      const whole = { ...RESULT, ...result };
      onEvent({ type: "end", result: whole });
      return whole;
    },
  };
}

describe("a run to its end", () => {
  it("exits 0 and shows data, parameters, banner, log, files and metrics in order", async () => {
    const host = new FakeHost();
    expect(await runTraining("recipe.yaml", [], host, played({}))).toBe(0);
    const wanted = [
      "a note",
      "warning: of 2 GPUs one is used",
      "3 documents, 1,300 tokens -> 12 blocks of 1,024",
      "first block (3 tokens): first·[2J\\nsecond",
      "trainable params: 100 || all params: 1,000 || trainable%: 10.0000",
      "device: cpu, weights: bfloat16",
      "***** Running training *****",
      "  Number of trainable parameters = 100",
      "step 1/2 (50%)  loss 3.000",
      "checkpoint of step 2 saved in saves/run/checkpoint-2",
      "loss curve saved in saves/run/training_loss.png",
      "***** train metrics *****",
      "  train_loss = 3.0",
      "waited for data 1.2 % of the time",
      "finished after 2 steps: saves/run",
      "next: qwen-pt chat recipe.yaml model_name_or_path=saves/run --prompt ...",
    ];
    let at = 0;
    for (const text of wanted) {
      const found = host.text.indexOf(text, at);
      expect(found, text).toBeGreaterThanOrEqual(at);
      at = found;
    }
    expect(host.handlers).toBe(0);
  });

  it("started through npx, says what to type with npx", async () => {
    const host = new FakeHost({ env: { npm_command: "exec" } });
    await runTraining("recipe.yaml", ["model_name_or_path=a b", "lora_rank=4"], host, played({}));
    expect(host.text).toContain("next: npx qwen-pt chat recipe.yaml model_name_or_path=saves/run");
    const stopped = new FakeHost({ env: { npm_command: "run-script" } });
    const running = runTraining(
      "r.yaml",
      [],
      stopped,
      played({ interrupted: true, checkpoint: "c", steps: 1 }, { abort: true }),
    );
    stopped.raise("SIGINT");
    await running;
    expect(stopped.text).toContain("resume with: npx qwen-pt train r.yaml\n");
  });

  it("skipped steps are not hidden", async () => {
    const host = new FakeHost();
    await runTraining("recipe.yaml", [], host, played({ skippedSteps: 2 }));
    expect(host.text).toContain(
      "warning: 2 steps were not applied because the loss or a gradient was not finite",
    );
  });
});

describe("an interrupted run", () => {
  const interrupted = { interrupted: true, checkpoint: "saves/run/checkpoint-1", steps: 1 };
  async function interrupt(
    name: "SIGINT" | "SIGTERM" | "SIGHUP",
    training: Training,
    overrides: string[] = [],
  ) {
    const host = new FakeHost();
    const running = runTraining("my recipe.yaml", overrides, host, training);
    host.raise(name);
    return { code: await running, host };
  }

  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("%s exits %i and says how to resume", async (name, exit) => {
    const { code, host } = await interrupt(name, played(interrupted, { abort: true }));
    expect(code).toBe(exit);
    expect(host.text).toContain("finishing the running micro-step, then saving");
    expect(host.text).toContain("interrupted after 1 step: saves/run");
    expect(host.text.trimEnd().split("\n").at(-1)).toBe("resume with: qwen-pt train 'my recipe.yaml'");
    expect(host.text).not.toContain("train metrics");
    expect([host.exits, host.handlers]).toEqual([[], 0]);
  });

  it("a folder that is overwritten needs the checkpoint named", async () => {
    const { host } = await interrupt("SIGINT", played(interrupted, { abort: true, overwrites: true }), [
      "lora_rank=16",
    ]);
    expect(host.text).toContain(
      "resume with: qwen-pt train 'my recipe.yaml' lora_rank=16 resume_from_checkpoint=saves/run/checkpoint-1\n",
    );
  });

  it("a token among the overrides is not printed again", async () => {
    const { host } = await interrupt("SIGINT", played(interrupted, { abort: true }), [
      "hf_hub_token=hf_secret",
    ]);
    expect(host.text).toContain("resume with: qwen-pt train 'my recipe.yaml' hf_hub_token=...\n");
    expect(host.text).not.toContain("hf_secret");
  });

  it("an earlier resume_from_checkpoint is replaced", async () => {
    const training = played(interrupted, { abort: true });
    const { host } = await interrupt("SIGINT", training, ["resume_from_checkpoint=saves/old/checkpoint-9"]);
    expect(host.text).toContain("'my recipe.yaml' resume_from_checkpoint=saves/run/checkpoint-1\n");
    expect(host.text).not.toContain("checkpoint-9");
  });

  it("without a finished step there is nothing to resume from", async () => {
    const { code, host } = await interrupt(
      "SIGINT",
      played({ interrupted: true, steps: 0 }, { abort: true }),
    );
    expect(code).toBe(130);
    expect(host.text).toContain("nothing to resume from");
  });

  it("an abort before training is an interruption too", async () => {
    const fail = Object.assign(new Error("aborted"), { name: "AbortError" });
    const { code, host } = await interrupt("SIGTERM", played({}, { abort: true, fail }));
    expect([code, host.handlers]).toEqual([143, 0]);
    expect(host.text).toContain("nothing was saved");
  });

  it("a run that finished anyway is finished", async () => {
    const { code } = await interrupt("SIGINT", played({}, { abort: true }));
    expect(code).toBe(0);
  });
});

describe("a failing run", () => {
  it("passes the error on and takes its handlers off", async () => {
    const host = new FakeHost({ tty: true, columns: 80 });
    const failing = runTraining(
      "r.yaml",
      [],
      host,
      played({}, { fail: new UserError("data.jsonl:3: no JSON") }),
    );
    await expect(failing).rejects.toThrow("data.jsonl:3: no JSON");
    expect(host.handlers).toBe(0);
    expect(host.text.endsWith("\r\u001b[K")).toBe(true);
  });

  it("errors are one line", () => {
    expect(describeError(new UserError("a\n  b"), {})).toBe("error: a\\n  b"); // what it quotes stays visible
    expect(describeError(new TypeError("a\n  b"), {})).toMatch(/^error: a b \(unexpected/);
    const crossed = Object.assign(new Error("from the worker"), { name: "UserError" });
    expect(describeError(crossed, {})).toBe("error: from the worker");
    expect(describeError(new TypeError("boom"), {})).toBe(
      "error: boom (unexpected: set QWEN_PT_DEBUG=1 for the stack trace)",
    );
    expect(describeError(new TypeError("boom"), { QWEN_PT_DEBUG: "1" })).toMatch(
      /^error: TypeError: boom\n {4}at /,
    );
    expect(describeError(undefined, {})).toContain("error: undefined");
  });
});

describe("--json", () => {
  it("prints a line an event, and what is for people on standard error", async () => {
    const host = new FakeHost();
    const events: TrainEvent[] = [
      { type: "log", entry: { loss: Number.NaN, step: 1 }, line: {} },
      { type: "end", result: RESULT },
    ];
    const training: Training = {
      json: true,
      overwrites: () => false,
      train: async (_, { onEvent }) => {
        for (const event of events) onEvent(event);
        return RESULT;
      },
    };
    expect(await runTraining("r.yaml", [], host, training)).toBe(0);
    const lines = host.text.trim().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { type: "log", entry: { loss: "NaN", step: 1 }, line: {} },
      { type: "end", result: RESULT },
    ]);
  });
});
