// What a run looks like on a terminal, on a narrow one, and in a pipe, by a clock that the test moves.
import { describe, expect, it } from "vitest";
import { printable } from "../../../lib/cli/terminal/format.js";
import { banner, Progress, parameterLine } from "../../../lib/cli/terminal/progress.js";
import type { BeginEvent, StepEvent } from "../../../lib/events.js";
import { duration, memory, rate, significant, speed } from "../../../lib/words.js";
import { FakeClock, FakeHost } from "../program.js";

const BEGIN: BeginEvent = {
  type: "begin",
  examples: 128,
  epochs: 3,
  totalSteps: 48,
  stepsPerEpoch: 16,
  perDeviceBatch: 1,
  totalBatch: 8,
  accumulation: 8,
  startStep: 0,
};
const step = (number: number, change: Partial<StepEvent> = {}): StepEvent => ({
  type: "step",
  step: number,
  totalSteps: 48,
  epoch: number / 16,
  loss: 3.21456,
  gradNorm: 0.5,
  learningRate: 9.5e-5,
  tokens: 8192,
  tokensPerSecond: 812.4,
  dataWaitSeconds: 0,
  memoryBytes: 2 * 1024 ** 3,
  ...change,
});
const micro = (number: number, done: number) =>
  ({ type: "microStep", step: number, micro: done, accumulation: 8, tokens: 1024, seconds: 1 }) as const;

function start(options: ConstructorParameters<typeof FakeHost>[0], begin = BEGIN) {
  const host = new FakeHost(options);
  const clock = new FakeClock();
  const progress = new Progress({ out: host.out, env: host.env, now: clock.now, every: clock.every });
  progress.begin(begin);
  return { host, clock, progress };
}

const ESC = "\u001b";
const TOKENS = new RegExp(`${ESC}\\[K|${ESC}\\[[\\d;]*m|[\\s\\S]`, "g");

/** What a terminal shows after the text: carriage returns go back, ESC[K wipes the rest, colours are dropped. */
function screen(text: string): string[] {
  const lines = [""];
  let column = 0;
  for (const [token] of text.matchAll(TOKENS)) {
    const last = lines.length - 1;
    const line = lines[last] as string;
    if (token === "\r") column = 0;
    else if (token === "\n") column = lines.push("") * 0;
    else if (token === "\u001b[K") lines[last] = line.slice(0, column);
    else if (!token.startsWith("\u001b")) {
      lines[last] = line.slice(0, column) + token + line.slice(column + 1);
      column++;
    }
  }
  return lines;
}
const bar = (text: string) => screen(text).at(-1) ?? "";

describe("an evaluation", () => {
  it("shows how far it is in the bar, and its losses with their perplexities", () => {
    const { host, progress } = start({ tty: true, columns: 120 });
    progress.onStep(step(12));
    progress.onEvaluate({ type: "evaluate", step: 12, set: undefined, done: 3, total: 20 });
    expect(bar(host.text)).toContain("evaluating 3/20");
    progress.onLog({
      type: "log",
      entry: { eval_loss: 2, eval_two_loss: 1, eval_runtime: 3, step: 12 },
      line: {},
    });
    expect(screen(host.text).slice(-3)).toEqual([
      "step 12  eval_loss 2.000  perplexity 7.389",
      "step 12  eval_two_loss 1.000  perplexity 2.718",
      expect.stringContaining("loss 3.215"),
    ]);
  });
});

describe("on a terminal", () => {
  it("the line has step, loss, times, speed, rate and memory", () => {
    const { host, clock, progress } = start({ tty: true, columns: 120 });
    clock.advance(60_000);
    progress.onStep(step(12));
    clock.advance(200);
    expect(bar(host.text)).toBe(
      "━━━━━━━━────────────────────── 12/48 25%  loss 3.215  1:00<3:00  812 tok/s  lr 9.50e-5  2.00 GiB",
    );
  });

  it("moves with micro-steps and ticks while a slow one runs", () => {
    const { host, clock, progress } = start({ tty: true, columns: 100 }, { ...BEGIN, totalSteps: 2 });
    expect(bar(host.text)).toContain("0/2 0%  0:00<?");
    clock.advance(4000);
    progress.onMicroStep(micro(1, 4));
    clock.advance(200);
    expect(bar(host.text)).toContain("0/2 25%  0:04<0:12");
    const before = host.text.length;
    clock.advance(10_000);
    expect(host.text.slice(before).split("\r")).toHaveLength(51);
    expect(bar(host.text)).toContain("0/2 25%  0:14<0:42");
  });

  it("text is printed above the line, which comes back", () => {
    const { host, clock, progress } = start({ tty: true, columns: 100 });
    clock.advance(1000);
    progress.onStep(step(1));
    progress.onLog({
      type: "log",
      entry: { loss: 3.2, learning_rate: 1e-4, epoch: 0.06, step: 1 },
      line: {},
    });
    progress.print("checkpoint");
    const shown = screen(host.text);
    expect(shown[0]).toMatch(/^step 1\/48 \(2%\) {2}loss 3\.200 {2}lr 1\.00e-4/);
    expect(shown[1]).toBe("checkpoint");
    expect(shown[2]).toContain("1/48 2%");
    expect(shown).toHaveLength(3);
  });

  it("stop wipes the line and ends the redrawing", () => {
    const { host, clock, progress } = start({ tty: true, columns: 100 });
    progress.stop();
    expect(screen(host.text)).toEqual([""]);
    const before = host.text;
    clock.advance(5000);
    expect([host.text, clock.running]).toEqual([before, 0]);
  });

  it.each([1, 5, 12, 20, 30, 40, 60, 80, 200])("never fills %i columns", (columns) => {
    const { host, clock, progress } = start({ tty: true, columns });
    clock.advance(100_000);
    progress.onStep(step(47));
    clock.advance(200);
    expect(bar(host.text).length).toBeLessThanOrEqual(Math.max(1, columns - 1));
    expect(screen(host.text)).toHaveLength(1);
  });

  it("on a narrow one the step stays longest", () => {
    const { host, clock, progress } = start({ tty: true, columns: 24 });
    progress.onStep(step(12));
    clock.advance(200);
    expect(bar(host.text)).toBe("12/48 25%  loss 3.215");
  });

  it("a resumed run estimates from its own steps", () => {
    const { host, clock, progress } = start({ tty: true, columns: 100 }, { ...BEGIN, startStep: 40 });
    clock.advance(20_000);
    progress.onStep(step(42));
    clock.advance(200);
    expect(bar(host.text)).toContain("42/48 87%  loss 3.215  0:20<1:00");
  });

  it("colours, unless NO_COLOR", () => {
    const { host } = start({ tty: true, columns: 100 });
    expect(host.text).toContain("\u001b[2m");
    const { host: plain } = start({ tty: true, columns: 100, env: { NO_COLOR: "1" } });
    expect(plain.text).toContain("\u001b[K");
    expect(plain.text.replaceAll(`${ESC}[K`, "")).not.toContain(ESC);
  });

  it("a dumb terminal gets plain lines", () => {
    const { host, clock } = start({ tty: true, env: { TERM: "dumb" } });
    clock.advance(31_000);
    expect(host.text).toMatch(/^step 1\/48 running/);
    expect(host.text).not.toMatch(/\p{Cc}(?<!\n)/u);
  });
});

describe("the expected time", () => {
  const line = "expected time: 6:24 for 48 steps at 1,024 tokens/s, as the first went\n";

  it("is said once, from the second micro-step", () => {
    const { host, progress } = start({});
    progress.onMicroStep({ ...micro(1, 1), seconds: 9 });
    expect(host.text).toBe("");
    for (let done = 2; done <= 8; done++) progress.onMicroStep(micro(1, done));
    expect(host.text).toBe(line);
  });

  it("is said from the first where that is slow, and counts the steps that are left", () => {
    const { host, progress } = start({}, { ...BEGIN, startStep: 47 });
    progress.onMicroStep({ ...micro(48, 1), seconds: 2048 });
    progress.onMicroStep({ ...micro(48, 2), seconds: 1 });
    expect(host.text).toBe("expected time: 4:33:04 for 1 step at 0.5 tokens/s, as the first went\n");
  });

  it("is not said where a micro-step's seconds end before the device has done it", () => {
    const { host, progress } = start({});
    progress.begin(BEGIN, false);
    for (let done = 1; done <= 8; done++) progress.onMicroStep(micro(1, done));
    expect(host.text).toBe("");
  });
});

describe("in a pipe", () => {
  it("one line a log event, without control characters", () => {
    const { host, clock, progress } = start({});
    clock.advance(25_000);
    progress.onStep(step(10));
    progress.onLog({
      type: "log",
      entry: { loss: 3.2, grad_norm: 0.51234, learning_rate: 1e-4, epoch: 0.625, step: 10 },
      line: {},
    });
    expect(host.text).toBe(
      "step 10/48 (20%)  loss 3.200  grad_norm 0.5123  lr 1.00e-4  epoch 0.63  812 tok/s  2.00 GiB  elapsed 0:25  left 1:35\n",
    );
  });

  it("speaks during a slow step, and only when it has been silent", () => {
    const { host, clock, progress } = start({});
    clock.advance(20_000);
    progress.onMicroStep(micro(1, 3));
    expect(host.text).toBe("");
    clock.advance(11_000);
    expect(host.text).toBe("step 1/48 running: 3/8 micro-steps, 0:30 in this step, left 1:03:30\n");
    clock.advance(28_000);
    expect(host.text.split("\n")).toHaveLength(2);
    clock.advance(2_000);
    expect(host.text.split("\n")).toHaveLength(3);
  });

  it("the final metrics are no log line", () => {
    const { host, progress } = start({});
    progress.onLog({ type: "log", entry: { train_loss: 3, epoch: 3, step: 48 }, line: {} });
    expect(host.text).toBe("");
  });

  it("a step that was not applied is said at once", () => {
    const { host, progress } = start({});
    progress.onStep(step(3, { loss: Number.NaN, skipped: "the loss is nan" }));
    expect(host.text).toBe("warning: step 3 was not applied: the loss is nan\n");
  });
});

describe("the words", () => {
  it("trainable parameters as LLaMA-Factory says them", () => {
    expect(parameterLine(5046272, 601096192)).toBe(
      "trainable params: 5,046,272 || all params: 601,096,192 || trainable%: 0.8395",
    );
  });

  it("the banner as transformers prints it", () => {
    const lines = banner({ ...BEGIN, startStep: 16 }, 5046272).split("\n");
    expect(lines[0]).toBe("***** Running training *****");
    expect(lines).toContain("  Num examples = 128");
    expect(lines).toContain("  Total train batch size (w. parallel, distributed & accumulation) = 8");
    expect(lines).toContain("  Number of trainable parameters = 5,046,272");
    expect(lines.at(-1)).toBe("  Continuing from global step 16");
  });

  it("numbers", () => {
    expect([0, 59.9, 60, 3600, 90061, Number.NaN].map(duration)).toEqual([
      "0:00",
      "0:59",
      "1:00",
      "1:00:00",
      "1d 01:01:01",
      "?",
    ]);
    expect([5e5, 3 * 1024 ** 3, 40 * 1024 ** 3].map(memory)).toEqual(["0 MiB", "3.00 GiB", "40.0 GiB"]);
    expect([3.21456, 0.00001, Number.NaN, Infinity, 0].map(significant)).toEqual([
      "3.215",
      "1.000e-5",
      "nan",
      "inf",
      "0.000",
    ]);
    expect([0, 1e-4].map(rate)).toEqual(["0", "1.00e-4"]);
    expect([48.26, 1234.5].map(speed)).toEqual(["48.3", "1,235"]);
    expect(printable("a\nb\u001b[2Jc")).toBe("a\\nb·[2Jc");
  });
});
