// What a run looks like while it runs: on a terminal one line that is redrawn, in a pipe plain lines.
// It reads train()'s events and a clock; it writes text and nothing else.
import picocolors from "picocolors";
import type { BeginEvent, EvaluateEvent, LogEvent, MicroStepEvent, StepEvent } from "../../events.js";
import { columnsOf, translated } from "../../languages/index.js";
import { count, duration, memory, rate, significant, speed } from "../../words.js";
import type { Output } from "./host.js";

const REDRAW_MS = 200;
/** In a pipe, the longest silence while a step runs. */
const SILENCE_SECONDS = 30;
/** A first micro-step that takes this many seconds says how long the run will take. */
const LONG_SECONDS = 20;
const MOST_BAR = 30;
const LEAST_BAR = 8;

export interface ProgressOptions {
  out: Output;
  env: NodeJS.ProcessEnv;
  silenceSeconds?: number;
  /** Milliseconds; for tests. */
  now?: () => number;
  every?: (milliseconds: number, tick: () => void) => () => void;
}

/** Follows one run. Every text of the command goes through `print`, so that it never lands in the middle of the bar. */
export class Progress {
  /** Whether there is a line to redraw, and not a pipe. */
  readonly live: boolean;
  readonly colors: ReturnType<typeof picocolors.createColors>;
  private readonly out: Output;
  private readonly now: () => number;
  private readonly silence: number;
  private plan: BeginEvent | undefined;
  private began = 0;
  private stepBegan = 0;
  private lastLine = 0;
  private step: StepEvent | undefined;
  private micro: MicroStepEvent | undefined;
  /** Since the run began here. */
  private microSteps = 0;
  private evaluating: EvaluateEvent | undefined;
  private shown = false;
  private text: string | undefined;
  private readonly every: NonNullable<ProgressOptions["every"]>;
  private stopTicking = () => {};

  constructor(options: ProgressOptions) {
    this.out = options.out;
    this.now = options.now ?? Date.now;
    this.every = options.every ?? interval;
    this.silence = options.silenceSeconds ?? SILENCE_SECONDS;
    this.live = options.out.isTTY === true && options.env.TERM !== "dumb";
    this.colors = picocolors.createColors(this.live && !options.env.NO_COLOR);
  }

  /** Prints whole lines above the bar. */
  print(text: string): void {
    this.clear();
    this.out.write(`${translated(text, "training")}\n`);
    this.lastLine = this.now();
    this.draw();
  }

  /** A line of another's making, redrawn in place where there is a terminal, until undefined takes it away. */
  status(text: string | undefined): void {
    this.text = text;
    if (text === undefined) this.clear();
    this.draw();
  }

  /** `isMeasured`: whether a micro-step's seconds are those of its work; an accelerator is still at it when they end. */
  begin(event: BeginEvent, isMeasured = true): void {
    this.plan = event;
    this.microSteps = isMeasured ? 0 : Number.NaN;
    this.began = this.stepBegan = this.lastLine = this.now();
    this.stopTicking = this.every(this.live ? REDRAW_MS : 1000, () => this.tick());
    this.draw();
  }

  onMicroStep(event: MicroStepEvent): void {
    this.micro = event;
    this.microSteps++;
    this.sayExpected(event);
  }

  /**
   * How long the run will take, once: from its second micro-step, since the first also fills caches and wakes threads,
   * or from the first where that took so long that nothing else can matter.
   */
  private sayExpected({ tokens, seconds }: MicroStepEvent): void {
    const { plan, microSteps } = this;
    if (plan === undefined || !(microSteps === 2 || (microSteps === 1 && seconds >= LONG_SECONDS))) return;
    this.microSteps = 2;
    const steps = plan.totalSteps - plan.startStep;
    const all = steps * plan.accumulation * seconds;
    const ahead = `${count(steps)} ${steps === 1 ? "step" : "steps"}`;
    if (all > 0)
      this.print(
        `expected time: ${duration(Math.ceil(all))} for ${ahead} at ${speed(tokens / seconds)} tokens/s, as the first went`,
      );
  }

  onStep(event: StepEvent): void {
    this.step = event;
    this.micro = undefined;
    this.stepBegan = this.now();
    if (event.skipped) {
      this.print(this.colors.yellow(`warning: step ${event.step} was not applied: ${event.skipped}`));
    }
  }

  /** How far an evaluation is; the bar shows it in place of the step. */
  onEvaluate(event: EvaluateEvent): void {
    this.evaluating = event;
    this.lastLine = this.now();
    this.draw();
  }

  /** One line a log event; on a terminal it stays above the bar. */
  onLog({ entry }: LogEvent): void {
    this.evaluating = undefined;
    for (const [key, loss] of Object.entries(entry)) {
      if (/^eval_(.+_)?loss$/.test(key))
        this.print(
          `step ${entry.step ?? 0}  ${key} ${significant(loss)}  perplexity ${significant(Math.exp(loss))}`,
        );
    }
    if (entry.loss === undefined || this.plan === undefined) return;
    const total = this.plan.totalSteps;
    const step = entry.step ?? 0;
    const parts = [
      `step ${step}/${total} (${percent(step / Math.max(1, total))})`,
      `loss ${significant(entry.loss)}`,
      entry.grad_norm === undefined ? "" : `grad_norm ${significant(entry.grad_norm)}`,
      entry.learning_rate === undefined ? "" : `lr ${rate(entry.learning_rate)}`,
      entry.epoch === undefined ? "" : `epoch ${entry.epoch.toFixed(2)}`,
      this.step ? `${speed(this.step.tokensPerSecond)} tok/s` : "",
      this.step ? memory(this.step.memoryBytes) : "",
      `elapsed ${duration(this.elapsed())}`,
      `left ${duration(this.left())}`,
    ];
    this.print(parts.filter(Boolean).join("  "));
  }

  /** Ends the redrawing and wipes the bar away. */
  stop(): void {
    this.stopTicking();
    this.stopTicking = () => {};
    this.clear();
    this.plan = this.text = undefined;
  }

  private tick(): void {
    if (this.live) {
      this.draw();
      return;
    }
    if (this.plan === undefined || this.now() - this.lastLine < this.silence * 1000) return;
    const step = (this.step?.step ?? this.plan.startStep) + 1;
    const done = this.micro
      ? `${this.micro.micro}/${this.micro.accumulation}`
      : `0/${this.plan.accumulation}`;
    const inStep = duration((this.now() - this.stepBegan) / 1000);
    this.print(
      `step ${step}/${this.plan.totalSteps} running: ${done} micro-steps, ${inStep} in this step, left ${duration(this.left())}`,
    );
  }

  private clear(): void {
    if (!this.shown) return;
    this.out.write("\r\u001b[K");
    this.shown = false;
  }

  private draw(): void {
    const line =
      this.plan === undefined
        ? translated(this.text ?? "", "training").slice(0, this.room()) || undefined
        : this.bar(this.plan);
    if (!this.live || line === undefined) return;
    this.out.write(`\r${line}\u001b[K`);
    this.shown = true;
  }

  /** Steps done, the running one counted by its micro-steps. */
  private done(): number {
    const whole = this.step?.step ?? this.plan?.startStep ?? 0;
    return whole + (this.micro ? this.micro.micro / Math.max(1, this.micro.accumulation) : 0);
  }

  private elapsed(): number {
    return (this.now() - this.began) / 1000;
  }

  private left(): number {
    if (this.plan === undefined) return Number.NaN;
    const own = this.done() - this.plan.startStep;
    return own > 0 ? ((this.plan.totalSteps - this.done()) * this.elapsed()) / own : Number.NaN;
  }

  /** The line, at most one column narrower than the terminal: a full last column would wrap. */
  private bar(plan: BeginEvent): string {
    const room = this.room();
    const fraction = Math.min(1, this.done() / Math.max(1, plan.totalSteps));
    const head = `${this.step?.step ?? plan.startStep}/${plan.totalSteps} ${percent(fraction)}`;
    let text = head;
    // the most wanted first: what does not fit is left out, and what comes after it too
    for (const field of this.fields().map((text) => translated(text, "training"))) {
      if (columnsOf(text) + 2 + columnsOf(field) > room) break;
      text += `  ${field}`;
    }
    const free = room - columnsOf(text) - 1;
    if (free < LEAST_BAR) return text.slice(0, room);
    const size = Math.min(MOST_BAR, free);
    const filled = Math.round(fraction * size);
    const { cyan, dim } = this.colors;
    return `${cyan("━".repeat(filled))}${dim("─".repeat(size - filled))} ${text}`;
  }

  private room(): number {
    return Math.max(1, (this.out.columns || 80) - 1);
  }

  private fields(): string[] {
    const step = this.step;
    const { evaluating } = this;
    if (evaluating !== undefined) return [`evaluating ${evaluating.done}/${evaluating.total}`];
    const times = `${duration(this.elapsed())}<${duration(this.left())}`;
    if (step === undefined) return [times];
    return [
      `loss ${significant(step.loss)}`,
      times,
      `${speed(step.tokensPerSecond)} tok/s`,
      `lr ${rate(step.learningRate)}`,
      memory(step.memoryBytes),
    ];
  }
}

function percent(fraction: number): string {
  return `${Math.floor(fraction * 100 + 1e-9)}%`;
}

/** The count of parameters that train, as LLaMA-Factory prints it. */
export function parameterLine(trainable: number, total: number): string {
  const share = ((100 * trainable) / Math.max(1, total)).toFixed(4);
  return `trainable params: ${count(trainable)} || all params: ${count(total)} || trainable%: ${share}`;
}

/** The lines that start a run, as transformers prints them. */
export function banner(event: BeginEvent, trainable: number): string {
  const rows: [string, number][] = [
    ["Num examples", event.examples],
    ["Num Epochs", event.epochs],
    ["Num update steps per epoch", event.stepsPerEpoch],
    ["Instantaneous batch size per device", event.perDeviceBatch],
    ["Total train batch size (w. parallel, distributed & accumulation)", event.totalBatch],
    ["Gradient Accumulation steps", event.accumulation],
    ["Total optimization steps", event.totalSteps],
    ["Number of trainable parameters", trainable],
  ];
  const lines = rows.map(([name, value]) => `  ${name} = ${count(value)}`);
  if (event.startStep > 0) lines.push(`  Continuing from global step ${count(event.startStep)}`);
  return ["***** Running training *****", ...lines].join("\n");
}

function interval(milliseconds: number, tick: () => void): () => void {
  const timer = setInterval(tick, milliseconds);
  timer.unref();
  return () => clearInterval(timer);
}
