// The memory of a run: which step it is at, what it has logged, and its checkpoints. The trainer computes; this
// remembers, writes and restores.
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import type { LossScale } from "../../assembly/precision.js";
import { type Recipe, withoutSecrets } from "../../config/index.js";
import type { TrainEvent } from "../../events.js";
import { writeWhole } from "../../files/output-file.js";
import type { Figures } from "../../methods/index.js";
import type { AdamW, GroupRates } from "../../optim/index.js";
import {
  type Device,
  deviceMemory,
  drawingDevices,
  getRngState,
  isAccelerator,
  keep,
  type Tensor,
} from "../../torch/index.js";
import type { SourceAccount, SourceLoss } from "../batches/source-account.js";
import { checkpointPath, rotateCheckpoints, writeCheckpoint } from "../checkpoint/folder.js";
import { type LoopState, loadRunState, saveRunState } from "../checkpoint/run-state.js";
import {
  controlState,
  type LogEntry,
  loadTrainerState,
  newTrainerState,
  saveTrainerState,
  type TrainerState,
} from "../checkpoint/trainer-state.js";
import { type PeakMemory, TrainerLog } from "../output/trainer-log.js";
import type { BestMetric } from "../plan/best.js";
import type { Moment } from "../plan/intervals.js";
import type { Plan } from "../plan/plan.js";

export interface RecorderOptions {
  recipe: Recipe;
  plan: Plan;
  optimizer: AdamW;
  lossScale: LossScale;
  rates: GroupRates;
  best: BestMetric;
  /** Where blocks have sources. */
  account?: SourceAccount | undefined;
  device: Device;
  data: LoopState["data"];
  /** Floating point operations a token, forward and backward. */
  flosPerToken: number;
  save(dir: string): void;
  /** Writes what methods need beside that to go on from a checkpoint. */
  saveMethods?(dir: string): void;
  onEvent?: (event: TrainEvent) => void;
}

/** What one optimizer step came to. */
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

export const STATE_FILE = "trainer_state.json";
export const LOG_FILE = "trainer_log.jsonl";
export const ARGUMENTS_FILE = "training_args.json";

/** The state and the files of a run in progress. */
export class Recorder {
  /** Finished steps. */
  step = 0;
  epoch = 0;
  scheduleSteps = 0;
  lastCheckpoint: string | undefined;
  /** The moment whose logging, evaluating and saving is not done yet: an interruption may come in between. */
  pending: Moment | null = null;
  readonly history: LogEntry[] = [];
  readonly #options: RecorderOptions;
  readonly #random = new Map<Device, Tensor>();
  #loop: Omit<LoopState, "scheduleSteps" | "lossScale" | "rates" | "best" | "pending" | "data" | "sources">;
  #record: StepRecord | undefined;
  #bestCheckpoint: string | null = null;
  #callbacks: Record<string, unknown>;
  #skippedAtLog = 0;
  #learningRate: number;
  #log: TrainerLog | undefined;
  #startStep = 0;
  #startTokens = 0;
  #started = performance.now();
  /** Seconds that the model waited for data: those of the step to be reported next, and of all. */
  #waitedNow = 0;
  #waited = 0;

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#learningRate = options.recipe.learning_rate;
    this.#callbacks = this.#callbackState({});
    this.#loop = {
      lossSinceLog: 0,
      lossBeforeLog: 0,
      loggedStep: 0,
      skippedSteps: 0,
      tokensSeen: 0,
      totalFlos: 0,
    };
  }

  get skippedSteps(): number {
    return this.#loop.skippedSteps;
  }
  /** Mean loss of all steps that were applied. */
  get meanLoss(): number {
    const { lossBeforeLog, lossSinceLog, skippedSteps } = this.#loop;
    return (lossBeforeLog + lossSinceLog) / Math.max(this.step - skippedSteps, 0.001);
  }
  /** What was trained on, source by source, where blocks have sources. */
  get sourceSummary(): string | undefined {
    return this.#options.account?.summary();
  }
  get totalFlos(): number {
    return this.#loop.totalFlos;
  }
  get tokensSeen(): number {
    return this.#loop.tokensSeen;
  }
  /** Share of the run's time, from 0 to 1, in which the model waited for its data. */
  get dataWaitShare(): number {
    return this.#waited / Math.max(this.runtimeSeconds, 1e-9);
  }
  get runtimeSeconds(): number {
    return (performance.now() - this.#started) / 1000;
  }

  #emit(event: TrainEvent): void {
    this.#options.onEvent?.(event);
  }

  /** Takes over where a checkpoint stands; the model has its weights already. */
  restore(dir: string): void {
    const { optimizer, lossScale, rates, best, data, account } = this.#options;
    const state = loadTrainerState(path.join(dir, STATE_FILE));
    const saved = loadRunState(dir, optimizer);
    const {
      scheduleSteps,
      lossScale: scale,
      rates: followed,
      best: soFar,
      pending,
      data: before,
      sources,
      ...loop
    } = saved;
    this.#loop = loop;
    this.pending = pending ?? null;
    this.#bestCheckpoint = state.best_model_checkpoint;
    if (soFar !== undefined) best.restore(soFar);
    rates.restore(followed ?? null);
    if (sources !== undefined) account?.restore(sources);
    this.#callbacks = state.stateful_callbacks;
    this.scheduleSteps = scheduleSteps;
    lossScale.restore(scale);
    this.step = state.global_step;
    this.epoch = state.epoch;
    this.history.push(...state.log_history);
    this.#skippedAtLog = loop.skippedSteps;
    this.#startStep = this.step;
    this.#startTokens = loop.tokensSeen;
    this.lastCheckpoint = dir;
    if (
      before.blocks !== data.blocks ||
      before.tokens !== data.tokens ||
      before.blockLength !== data.blockLength
    ) {
      this.#warn(
        `the data has changed since ${dir}: ${before.blocks} blocks of ${before.blockLength} tokens then, ${data.blocks} of ${data.blockLength} now; the run goes on with the new data`,
      );
    }
    if (state.max_steps !== this.#options.plan.totalSteps) {
      this.#warn(
        `${dir} was on its way to step ${state.max_steps}; this run goes to ${this.#options.plan.totalSteps}`,
      );
    }
  }

  #warn(text: string): void {
    this.#emit({ type: "message", level: "warning", text });
  }

  /** Opens the log and announces the run. */
  begin(): void {
    const { recipe, plan } = this.#options;
    const file = path.join(recipe.output_dir, LOG_FILE);
    const resumed = this.#startStep > 0;
    const logged = this.history.filter(({ step }) => step === this.#startStep).length;
    if (resumed) dropLaterLines(file, this.#startStep, logged);
    this.#log = new TrainerLog({
      file,
      totalSteps: plan.totalSteps,
      startStep: this.#startStep,
      startTokens: this.#startTokens,
      append: resumed || !recipe.overwrite_output_dir,
    });
    this.#started = performance.now();
    this.snapshot();
    const perDeviceBatch = recipe.per_device_train_batch_size;
    const accumulation = recipe.gradient_accumulation_steps;
    this.#emit({
      type: "begin",
      examples: plan.examples,
      epochs: plan.epochs,
      totalSteps: plan.totalSteps,
      stepsPerEpoch: plan.stepsPerEpoch,
      perDeviceBatch,
      totalBatch: perDeviceBatch * accumulation,
      accumulation,
      startStep: this.#startStep,
    });
    const stopped = this.#options.best.isOver;
    if (resumed && (stopped || this.step >= plan.totalSteps)) {
      const text = stopped
        ? `stopped early at step ${this.step}: raise early_stopping_steps to train on`
        : `already at step ${this.step} of ${plan.totalSteps}: raise num_train_epochs or max_steps to train on`;
      this.#emit({ type: "message", level: "info", text });
    }
  }

  /** Takes the random state as it is at the end of a step, or of the evaluation after it: what a checkpoint holds. */
  snapshot(): void {
    const { device } = this.#options;
    for (const name of drawingDevices(device)) {
      this.#random.get(name)?.dispose();
      this.#random.set(name, keep(getRngState(name)));
    }
  }

  /** Counts the seconds for which a step's data was not there yet. */
  waitedForData(seconds: number): void {
    this.#waitedNow = seconds;
    this.#waited += seconds;
  }

  /** Counts a step and reports it. */
  finishStep(record: StepRecord): void {
    const { plan } = this.#options;
    this.step++;
    this.epoch = record.epoch;
    this.#learningRate = record.learningRate;
    if (record.countsForSchedule) this.scheduleSteps++;
    this.#loop.tokensSeen += record.counted;
    this.#loop.totalFlos += this.#options.flosPerToken * record.tokens;
    if (record.skipped === undefined) {
      // float32 sums, one micro-step at a time: the reference trainer's logged digits
      for (const loss of record.losses) this.#loop.lossSinceLog = Math.fround(this.#loop.lossSinceLog + loss);
      this.#options.account?.add(record.bySource);
      for (const [name, value] of Object.entries(record.figures ?? {})) {
        this.#loop.figuresSinceLog ??= {};
        this.#loop.figuresSinceLog[name] = (this.#loop.figuresSinceLog[name] ?? 0) + value;
      }
    } else {
      this.#loop.skippedSteps++;
      this.#warn(`step ${this.step} was not applied: ${record.skipped}`);
    }
    this.snapshot();
    this.#emit({
      type: "step",
      step: this.step,
      totalSteps: plan.totalSteps,
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
    this.#record = record;
  }

  /** Logs the mean loss since the last log entry, once a step. */
  logStep(): void {
    const { recipe } = this.#options;
    const record = this.#record;
    if (record === undefined || this.#loop.loggedStep >= this.step) return;
    const applied = this.step - this.#loop.loggedStep - (this.#loop.skippedSteps - this.#skippedAtLog);
    const skipped = this.#loop.skippedSteps - this.#skippedAtLog;
    const entry: LogEntry = {
      loss: applied > 0 ? this.#loop.lossSinceLog / applied : Number.NaN,
      grad_norm: record.gradNorm,
      learning_rate: record.learningRate,
      ...this.#options.account?.entry(),
    };
    for (const [name, sum] of Object.entries(this.#loop.figuresSinceLog ?? {})) entry[name] = sum / applied;
    if (skipped > 0) entry["skipped_steps"] = skipped;
    if (recipe.include_num_input_tokens_seen !== "no") {
      entry["train_runtime"] = this.runtimeSeconds;
      entry["train_tokens_per_second"] = (this.#loop.tokensSeen - this.#startTokens) / this.runtimeSeconds;
    }
    this.#loop.lossBeforeLog += this.#loop.lossSinceLog;
    this.#loop.lossSinceLog = 0;
    delete this.#loop.figuresSinceLog;
    this.#loop.loggedStep = this.step;
    this.#skippedAtLog = this.#loop.skippedSteps;
    this.log(entry);
  }

  /**
   * Appends an entry to the history and a line to trainer_log.jsonl, with the epoch and the tokens seen.
   * @returns the entry without its step
   */
  log(figures: LogEntry): LogEntry {
    const counted = this.#options.recipe.include_num_input_tokens_seen !== "no";
    const entry: LogEntry = {
      ...figures,
      epoch: this.epoch,
      ...(counted && { num_input_tokens_seen: this.#loop.tokensSeen }),
    };
    this.history.push({ ...entry, step: this.step });
    const line = this.#log?.write(entry, this.step, counted ? this.#loop.tokensSeen : 0, this.#peak());
    if (line !== undefined)
      this.#emit({ type: "log", entry: { ...entry, step: this.step }, line: { ...line } });
    return entry;
  }

  /** What is logged from now on is reported and kept in the history, but trainer_log.jsonl is complete. */
  closeLog(): void {
    this.#log?.close();
  }

  #peak(): PeakMemory | undefined {
    const { device } = this.#options;
    const wanted = ["1", "true", "y"].includes((process.env["RECORD_VRAM"] ?? "").toLowerCase());
    if (!wanted || !isAccelerator(device)) return undefined;
    const { peakAllocated, peakReserved } = deviceMemory(device);
    return { allocated: peakAllocated, reserved: peakReserved };
  }

  /** trainer_state.json as it stands. */
  state(): TrainerState {
    const { recipe, plan } = this.#options;
    const { metric, step: bestStep } = this.#options.best.state;
    return newTrainerState({
      best_global_step: bestStep,
      best_metric: metric,
      best_model_checkpoint: this.#bestCheckpoint,
      eval_steps: plan.evalEvery,
      epoch: this.epoch,
      global_step: this.step,
      log_history: this.history,
      logging_steps: plan.logEvery,
      max_steps: plan.totalSteps,
      num_input_tokens_seen: recipe.include_num_input_tokens_seen === "no" ? 0 : this.#loop.tokensSeen,
      // a stream has no known end: Python's sys.maxsize stands for that
      num_train_epochs: recipe.streaming ? 2 ** 63 - 1 : Math.ceil(plan.epochs),
      save_steps: plan.saveEvery,
      stateful_callbacks: this.#callbacks,
      total_flos: this.#loop.totalFlos,
      train_batch_size: recipe.per_device_train_batch_size,
    });
  }

  /** stateful_callbacks: what the loop had decided when the last checkpoint was written. */
  #callbackState(flags: Parameters<typeof controlState>[0]): Record<string, unknown> {
    const { recipe, best } = this.#options;
    const patience = recipe.early_stopping_steps;
    const stopping = {
      args: { early_stopping_patience: patience, early_stopping_threshold: 0 },
      attributes: { early_stopping_patience_counter: best.state.waited },
    };
    return { ...(patience !== null && { EarlyStoppingCallback: stopping }), ...controlState(flags) };
  }

  /** The best step's checkpoint, where one was written; `saving` is the step of the one being written. */
  #findBest(saving: number): void {
    const { step } = this.#options.best.state;
    if (step === null) return;
    const dir = checkpointPath(this.#options.recipe.output_dir, step);
    if (step === saving || existsSync(dir)) this.#bestCheckpoint = dir;
  }

  /** The best evaluation's checkpoint, where there is one. */
  get bestCheckpoint(): string | undefined {
    return this.#bestCheckpoint ?? undefined;
  }

  /** Writes a checkpoint of the last finished step, and removes those beyond save_total_limit. */
  save(forResume = false): string {
    const { recipe, plan, optimizer, lossScale, rates, best, data, account } = this.#options;
    const isOver = this.step >= plan.totalSteps || best.isOver;
    this.#findBest(this.step);
    this.#callbacks = this.#callbackState({ should_save: true, should_training_stop: isOver });
    const dir = writeCheckpoint(recipe.output_dir, this.step, (folder) => {
      this.#options.save(folder);
      saveTrainerState(this.state(), path.join(folder, STATE_FILE));
      saveArguments(recipe, folder);
      if (recipe.save_only_model && !forResume) return;
      const loop: LoopState = {
        ...this.#loop,
        scheduleSteps: this.scheduleSteps,
        lossScale: lossScale.state(),
        rates: rates.state(),
        best: best.state,
        pending: this.pending,
        data,
        sources: account?.state(),
      };
      this.#options.saveMethods?.(folder);
      saveRunState(folder, { optimizer, random: this.#random, loop, learningRate: this.#learningRate });
    });
    this.lastCheckpoint = dir;
    this.#emit({ type: "checkpoint", step: this.step, path: dir });
    rotateCheckpoints(recipe.output_dir, recipe.save_total_limit, dir, this.#bestCheckpoint);
    return dir;
  }

  /** The checkpoint of an interrupted run: full, whatever save_only_model says; none before the first step. */
  saveInterrupted(): string | undefined {
    const { recipe } = this.#options;
    if (this.step === 0) return undefined;
    const saved = this.lastCheckpoint === checkpointPath(recipe.output_dir, this.step);
    return saved && !recipe.save_only_model ? this.lastCheckpoint : this.save(true);
  }
}

/** training_args.json: every key of the recipe that was run, its secrets masked. */
export function saveArguments(recipe: Recipe, dir: string): void {
  writeWhole(path.join(dir, ARGUMENTS_FILE), `${JSON.stringify(withoutSecrets(recipe), null, 2)}\n`);
}

/**
 * Lines of trainer_log.jsonl that an earlier run wrote after the checkpoint now resumed: they will be written again.
 * Of the checkpoint's own step there are `logged` lines; a closing line, which looks like an evaluation's, may follow.
 */
function dropLaterLines(file: string, step: number, logged: number): void {
  if (!existsSync(file)) return;
  const lines = readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "");
  let here = 0;
  const kept = lines.filter((line) => {
    const found = /"current_steps": (\d+)/.exec(line);
    const at = found === null ? 0 : Number(found[1]);
    return at < step || (at === step && ++here <= logged);
  });
  if (kept.length < lines.length) writeWhole(file, kept.map((line) => `${line}\n`).join(""));
}
