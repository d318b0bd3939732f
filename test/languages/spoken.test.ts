// What is said in Chinese from end to end: the doctor's findings on many machines, a run's lines, help, and errors, which
// stay English.
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { runTraining } from "../../lib/cli/commands/train.js";
import { dispatch } from "../../lib/cli/dispatch.js";
import { diagnose, type Facts, type Rules, rulesOf } from "../../lib/doctor/index.js";
import { recipeText } from "../../lib/init/index.js";
import { speak, translated } from "../../lib/languages/index.js";
import { FakeHost } from "../cli/program.js";
import { bare, healthy, windows, withCard } from "../doctor/machines.js";

const chinese = /[\u4e00-\u9fff]/;
let rules: Rules;
beforeAll(async () => {
  rules = await rulesOf();
});
afterEach(() => speak("en"));

const run = async (...args: string[]) => {
  const host = new FakeHost();
  const code = await dispatch(args, host);
  return { code, text: host.text, errors: host.errors };
};

describe("the doctor", () => {
  const machines: [string, Facts][] = [
    ["healthy", healthy],
    ["bare", bare],
    ["with a card", withCard],
    ["Windows", windows],
    ["old tools", { ...bare, node: "18.0.0", cmake: "3.10", compiler: { kind: "gcc", version: "9.0" } }],
    ["Alpine", { ...healthy, glibc: undefined, locale: undefined, memory: { total: 2e9, available: 1e9 } }],
    ["full disks", { ...bare, disk: { cache: 1e6, here: 1e6 } }],
  ] as [string, Facts][];

  it.each(machines)("says what is wrong with a machine: %s", (_, facts) => {
    speak("zh");
    // names, versions, sizes and commands are the same in every language
    const words = /(?<![\w./=-])[a-z]{3,} [a-z]{2,} [a-z]{2,}/;
    const command = /^(?:sudo|npx|npm|export|winget|apt|xcode-select|wsl|install the|https?:)/;
    const left = diagnose(facts, rules)
      .flatMap(({ check, text, remedy = "" }) =>
        [check, text, remedy].map((said) => translated(said, "doctor")),
      )
      .filter((text) => words.test(text) && !chinese.test(text) && !command.test(text));
    expect(left).toEqual([]);
  });
});

describe("a run", () => {
  /** What a run says, from its events; the figures are of no importance. */
  const events = [
    {
      type: "message",
      level: "info",
      text: "dataset: data1: 122,114 tokens of 200 documents taken from the cache (x)",
    },
    { type: "message", level: "warning", text: "step 3 was not applied: nan" },
    {
      type: "data",
      summary: {
        datasets: [{ name: "prose", documents: 1 }],
        documents: 1,
        tokens: 90,
        blocks: 2,
        droppedTokens: 1,
        separator: "<|im_end|>",
        blockLength: 32,
        packing: true,
      },
      example: { ids: [1, 2], text: "古之学者" },
    },
    { type: "model", trainable: 1, total: 2, device: "cpu", dtype: "float32", products: "products: fp32" },
    {
      type: "begin",
      examples: 1,
      epochs: 1,
      stepsPerEpoch: 2,
      perDeviceBatch: 1,
      totalBatch: 1,
      accumulation: 1,
      totalSteps: 2,
      startStep: 1,
    },
    { type: "log", entry: { step: 2, loss: 2, grad_norm: 1, learning_rate: 1e-4, epoch: 1 } },
    { type: "log", entry: { step: 2, eval_loss: 2 } },
    { type: "checkpoint", step: 2, path: "out/checkpoint-2" },
    { type: "file", what: "adapter", path: "out/adapter_model.safetensors" },
    {
      type: "end",
      result: {
        interrupted: true,
        metrics: {},
        skippedSteps: 2,
        dataWaitShare: 0,
        steps: 2,
        outputDir: "out",
      },
    },
  ];

  it("is told in Chinese, line by line, and how to go on", async () => {
    speak("zh");
    const host = new FakeHost();
    const result = { interrupted: true, checkpoint: "out/checkpoint-2" };
    const code = await runTraining("r.yaml", [], host, {
      overwrites: () => false,
      train: (_, { onEvent }) => {
        for (const event of events) onEvent(event as never);
        return Promise.resolve(result as never);
      },
    });
    const lines = host.text.split("\n").filter((line) => line !== "");
    expect(lines.filter((line) => !chinese.test(line))).toEqual([]);
    expect(lines).toContain(
      "第 2/2 步（100%）  损失 2.000  梯度范数 1.000  学习率 1.00e-4  轮次 1.00  已用 0:00  剩余 ?",
    );
    expect([code, lines.at(-1)]).toEqual([1, "继续训练：qwen-pt train r.yaml"]);
  });
});

describe("the recipe of init", () => {
  it.each(["lora", "freeze", "full"] as const)("has every comment in Chinese: %s", (method) => {
    speak("zh");
    const text = recipeText(
      { model: "m", datasetDir: "d", datasets: ["a"], method, output: "o" },
      { bf16: false, isCard: false },
    );
    const comments = [...text.matchAll(/^# (.+)$/gm)].map(([, comment]) =>
      translated(comment as string, "init"),
    );
    expect(comments.filter((comment) => !chinese.test(comment) && !/^ *npx /.test(comment))).toEqual([]);
  });
});

describe("the command line", () => {
  it("explains a key in the language of --lang, wherever it stands", async () => {
    const { code, text } = await run("help", "lora_rank", "--lang", "zh");
    expect(code).toBe(0);
    expect(text).toBe(
      "lora_rank\n  LoRA 矩阵的秩。\n  类型：整数，不小于 1\n  默认值：8\n  在这里：生效\n  用到它的命令：train\n",
    );
    expect((await run("--lang=en", "help", "lora_rank")).text).toContain("Rank of the LoRA matrices.");
  });

  it("shows its commands in Chinese", async () => {
    const { text } = await run("help", "--lang", "zh");
    expect(text.split("\n").filter((line) => line !== "" && !chinese.test(line))).toEqual([]);
  });

  it("says errors in English", async () => {
    const { code, errors } = await run("train", "--lang", "zh");
    expect([code, chinese.test(errors), errors.startsWith("error: ")]).toEqual([1, false, true]);
  });

  it("refuses a language that it does not speak", async () => {
    expect((await run("help", "--lang", "fr")).errors).toBe("error: --lang fr: it is one of en, zh\n");
    expect((await run("help", "--lang")).errors).toBe("error: --lang : it is one of en, zh\n");
  });
});
