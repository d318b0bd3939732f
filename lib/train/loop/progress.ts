// How far a run is: its steps, the sums behind the logged loss, tokens and time. It counts and reports what the
// trainer computed. What is written of it is in history.ts and checkpoints.ts.
import type { Recipe } from "../../config/index.js";
import type { TrainEvent } from "../../events.js";
import type { Figures } from "../../methods/index.js";
import type { SourceAccount, SourceLoss } from "../batches/source-account.js";
import type { LoopState } from "../checkpoint/loop-numbers.js";
import type { LogEntry } from "../checkpoint/trainer-state.js";
import type { BestMetric } from "../plan/best.js";
import type { Moment } from "../plan/intervals.js";
import type { Plan } from "../plan/plan.js";
import type { Strategy } from "../strategy/strategy.js";
import type { History, Position } from "./history.js";

/** What a {@link Progress} works with. */
export interface ProgressOptions {
  recipe: Recipe;
  plan: Plan;
  best: BestMetric;
  history: History;
  strategy: Pick<Strategy, "batchRanks">;
  /** Where blocks have sources. */
  account?: SourceAccount | undefined;
  /** Floating point operations a token, forward and backward. */
  flosPerToken: number;
  onEvent?: (event: TrainEvent) => void;
}

/** What one optimizer step gave. */
export interface StepRecord {
  losses: readonly number[];
  bySource: readonly SourceLoss[];
  /** Of methods, by the names under which they are logged. */
  figures?: Figures;
  gradNorm: number;
  learningRate: number;
  epoch: number;
  tokens: number;
  /** Those of them that num_input_tokens_seen counts. */
  counted: number;
  seconds: number;
  memoryBytes: number;
  /** Why the step was not applied, where it was not. */
  skipped: string | undefined;
  /** false where a loss scale took the step back: the schedule then stays. */
  countsForSchedule: boolean;
}

/** The sums of a run, as a checkpoint keeps them. */
type Sums = Pick<
  LoopState,
  | "lossSinceLog"
  | "lossBeforeLog"
  | "figuresSinceLog"
  | "loggedStep"
  | "skippedSteps"
  | "tokensSeen"
  | "totalFlos"
>;

/** What a checkpoint keeps of a {@link Progress}. */
export type ProgressState = Sums & Pick<LoopState, "scheduleSteps" | "pending">;

/** The counts of a run. */
export class Progress implements Position {
  /** Finished steps. */
  step = 0;
  /** Passes over the blocks so far; need not be whole. */
  epoch = 0;
  /** Finished steps that count for the schedule. */
  scheduleSteps = 0;
  /** The rate of the last step. */
  learningRate: number;
  /** The step or epoch end that still has to log, evaluate and save: an interruption can fall in between. */
  pending: Moment | null = null;
  readonly #options: ProgressOptions;
  #sums: Sums = {
    lossSinceLog: 0,
    lossBeforeLog: 0,
    loggedStep: 0,
    skippedSteps: 0,
    tokensSeen: 0,
    totalFlos: 0,
  };
  #record: StepRecord | undefined;
  #skippedAtLog = 0;
  #startStep = 0;
  #startTokens = 0;
  #started = performance.now();
  /** Seconds that the model waited for data: those of the step to be reported next, and of all. */
  #waitedNow = 0;
  #waited = 0;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.learningRate = options.recipe.learning_rate;
  }

  /** Steps that were not applied. */
  get skippedSteps(): number {
    return this.#sums.skippedSteps;
  }
  /** Mean loss of all steps that were applied. */
  get meanLoss(): number {
    const { lossBeforeLog, lossSinceLog, skippedSteps } = this.#sums;
    return (lossBeforeLog + lossSinceLog) / Math.max(this.step - skippedSteps, 0.001);
  }
  /** What was trained on, source by source, where blocks have sources. */
  get sourceSummary(): string | undefined {
    return this.#options.account?.summary();
  }
  /** Floating point operations so far. */
  get totalFlos(): number {
    return this.#sums.totalFlos;
  }
  /** Tokens so far, as num_input_tokens_seen counts them. */
  get tokensSeen(): number {
    return this.#sums.tokensSeen;
  }
  /** Share of the run's time, from 0 to 1, in which the model waited for its data. */
  get dataWaitShare(): number {
    return this.#waited / Math.max(this.runtimeSeconds, 1e-9);
  }
  /** Seconds since this run began. */
  get runtimeSeconds(): number {
    return (performance.now() - this.#started) / 1000;
  }
  /** Whether no step is left: the last one is done, or early stopping has ended the run. */
  get isOver(): boolean {
    return this.step >= this.#options.plan.totalSteps || this.#options.best.isOver;
  }

  /** What a checkpoint keeps. */
  state(): ProgressState {
    return { ...this.#sums, scheduleSteps: this.scheduleSteps, pending: this.pending };
  }

  /** Goes on from a checkpoint's step. */
  restore(at: { step: number; epoch: number }, { scheduleSteps, pending, ...sums }: ProgressState): void {
    this.#sums = sums;
    this.pending = pending ?? null;
    this.scheduleSteps = scheduleSteps;
    this.step = at.step;
    this.epoch = at.epoch;
    this.#skippedAtLog = sums.skippedSteps;
    this.#startStep = this.step;
    this.#startTokens = sums.tokensSeen;
  }

  /** Opens the log, starts the clock and announces the run. */
  begin(): void {
    const { recipe, plan, history, strategy, onEvent } = this.#options;
    history.open({ step: this.#startStep, tokensSeen: this.#startTokens });
    this.#started = performance.now();
    const perDeviceBatch = recipe.per_device_train_batch_size;
    const accumulation = recipe.gradient_accumulation_steps;
    onEvent?.({
      type: "begin",
      examples: plan.examples,
      epochs: plan.epochs,
      totalSteps: plan.totalSteps,
      stepsPerEpoch: plan.stepsPerEpoch,
      perDeviceBatch,
      totalBatch: perDeviceBatch * accumulation * strategy.batchRanks,
      accumulation,
      startStep: this.#startStep,
    });
    if (this.#startStep > 0 && this.isOver) {
      const text = this.#options.best.isOver
        ? `stopped early at step ${this.step}: raise early_stopping_steps to train on`
        : `already at step ${this.step} of ${plan.totalSteps}: raise num_train_epochs or max_steps to train on`;
      onEvent?.({ type: "message", level: "info", text });
    }
  }

  /** Adds the seconds that a step spent waiting for data. */
  waitedForData(seconds: number): void {
    this.#waitedNow = seconds;
    this.#waited += seconds;
  }

  /** Counts a step and reports it. */
  finishStep(record: StepRecord): void {
    const { flosPerToken } = this.#options;
    this.step++;
    this.epoch = record.epoch;
    this.learningRate = record.learningRate;
    if (record.countsForSchedule) this.scheduleSteps++;
    this.#sums.tokensSeen += record.counted;
    this.#sums.totalFlos += flosPerToken * record.tokens;
    if (record.skipped === undefined) this.#add(record);
    else this.#skip(record.skipped);
    this.#record = record;
    this.#report(record);
  }

  #add(record: StepRecord): void {
    const sums = this.#sums;
    // float32 sums, one micro-step at a time: the reference trainer's logged digits
    for (const loss of record.losses) sums.lossSinceLog = Math.fround(sums.lossSinceLog + loss);
    this.#options.account?.add(record.bySource);
    for (const [name, value] of Object.entries(record.figures ?? {})) {
      sums.figuresSinceLog ??= {};
      sums.figuresSinceLog[name] = (sums.figuresSinceLog[name] ?? 0) + value;
    }
  }

  #skip(why: string): void {
    this.#sums.skippedSteps++;
    const text = `step ${this.step} was not applied: ${why}`;
    this.#options.onEvent?.({ type: "message", level: "warning", text });
  }

  #report(record: StepRecord): void {
    this.#options.onEvent?.({
      type: "step",
      step: this.step,
      totalSteps: this.#options.plan.totalSteps,
      epoch: this.epoch,
      loss: record.losses.reduce((sum, loss) => sum + loss, 0),
      gradNorm: record.gradNorm,
      learningRate: record.learningRate,
      tokens: record.tokens,
      tokensPerSecond: record.tokens / record.seconds,
      dataWaitSeconds: this.#waitedNow,
      memoryBytes: record.memoryBytes,
      ...(record.skipped === undefined ? {} : { skipped: record.skipped }),
    });
  }

  /** Logs the mean loss since the last log entry, once a step; undefined where that is done. */
  logStep(): LogEntry | undefined {
    const { recipe, account } = this.#options;
    const [record, sums] = [this.#record, this.#sums];
    if (record === undefined || sums.loggedStep >= this.step) return undefined;
    const skipped = sums.skippedSteps - this.#skippedAtLog;
    const applied = this.step - sums.loggedStep - skipped;
    const entry: LogEntry = {
      loss: applied > 0 ? sums.lossSinceLog / applied : Number.NaN,
      grad_norm: record.gradNorm,
      learning_rate: record.learningRate,
      ...account?.entry(),
    };
    for (const [name, sum] of Object.entries(sums.figuresSinceLog ?? {})) entry[name] = sum / applied;
    if (skipped > 0) entry["skipped_steps"] = skipped;
    if (recipe.include_num_input_tokens_seen !== "no") {
      entry["train_runtime"] = this.runtimeSeconds;
      entry["train_tokens_per_second"] = (sums.tokensSeen - this.#startTokens) / this.runtimeSeconds;
    }
    sums.lossBeforeLog += sums.lossSinceLog;
    sums.lossSinceLog = 0;
    delete sums.figuresSinceLog;
    sums.loggedStep = this.step;
    this.#skippedAtLog = sums.skippedSteps;
    return this.log(entry);
  }

  /** Logs figures at the present step; returns them with the epoch and the tokens seen. */
  log(figures: LogEntry): LogEntry {
    return this.#options.history.log(figures, this);
  }
}
