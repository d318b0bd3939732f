// The memory of a run: which step it is at, what it has logged, and its checkpoints. The trainer computes; this
// remembers, writes and restores.
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { type Recipe, withoutSecrets } from "../config/index.js";
import type { AdamW } from "../optim/index.js";
import { type Device, deviceMemory, getRngState, keep, type Tensor } from "../torch/index.js";
import { checkpointPath, rotateCheckpoints, writeCheckpoint } from "./checkpoint-folder.js";
import type { TrainEvent } from "./events.js";
import { type PeakMemory, TrainerLog } from "./log.js";
import type { Plan } from "./plan.js";
import type { LossScale } from "./precision.js";
import { type LoopState, loadRunState, saveRunState } from "./run-state.js";
import {
  controlState,
  type LogEntry,
  loadTrainerState,
  newTrainerState,
  saveTrainerState,
  type TrainerState,
} from "./state.js";
import { writeWhole } from "./textfile.js";

export interface RecorderOptions {
  recipe: Recipe;
  plan: Plan;
  optimizer: AdamW;
  lossScale: LossScale;
  device: Device;
  data: LoopState["data"];
  /** Floating point operations a token, forward and backward. */
  flosPerToken: number;
  save(dir: string): void;
  onEvent?: (event: TrainEvent) => void;
}

/** What one optimizer step came to. */
export interface StepRecord {
  losses: readonly number[];
  gradNorm: number;
  learningRate: number;
  epoch: number;
  tokens: number;
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
  readonly history: LogEntry[] = [];
  readonly #options: RecorderOptions;
  readonly #random = new Map<Device, Tensor>();
  #loop: Omit<LoopState, "scheduleSteps" | "lossScale" | "data">;
  #skippedAtLog = 0;
  #learningRate: number;
  #log: TrainerLog | undefined;
  #startStep = 0;
  #startTokens = 0;
  #started = performance.now();

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#learningRate = options.recipe.learning_rate;
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
  get totalFlos(): number {
    return this.#loop.totalFlos;
  }
  get tokensSeen(): number {
    return this.#loop.tokensSeen;
  }
  get runtimeSeconds(): number {
    return (performance.now() - this.#started) / 1000;
  }

  #emit(event: TrainEvent): void {
    this.#options.onEvent?.(event);
  }

  /** Takes over where a checkpoint stands; the model has its weights already. */
  restore(dir: string): void {
    const { optimizer, lossScale, data } = this.#options;
    const state = loadTrainerState(path.join(dir, STATE_FILE));
    const { scheduleSteps, lossScale: scale, data: before, ...loop } = loadRunState(dir, optimizer);
    this.#loop = loop;
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
    if (resumed) dropLaterLines(file, this.#startStep);
    this.#log = new TrainerLog({
      file,
      totalSteps: plan.totalSteps,
      startStep: this.#startStep,
      startTokens: this.#startTokens,
      append: resumed || !recipe.overwrite_output_dir,
    });
    this.#started = performance.now();
    this.#snapshot();
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
    if (resumed && this.step >= plan.totalSteps) {
      const text = `already at step ${this.step} of ${plan.totalSteps}: raise num_train_epochs or max_steps to train on`;
      this.#emit({ type: "message", level: "info", text });
    }
  }

  /** Random state as it is at the end of a step: what a checkpoint of that step holds. */
  #snapshot(): void {
    const { device } = this.#options;
    for (const name of device === "cpu" ? ["cpu"] : ["cpu", device]) {
      this.#random.get(name)?.dispose();
      this.#random.set(name, keep(getRngState(name)));
    }
  }

  /** Counts a step, logs and saves where it is time to. */
  finishStep(record: StepRecord): void {
    const { plan, recipe } = this.#options;
    this.step++;
    this.epoch = record.epoch;
    this.#learningRate = record.learningRate;
    if (record.countsForSchedule) this.scheduleSteps++;
    this.#loop.tokensSeen += record.tokens;
    this.#loop.totalFlos += this.#options.flosPerToken * record.tokens;
    if (record.skipped === undefined) {
      // float32 sums, one micro-step at a time: the reference trainer's logged digits
      for (const loss of record.losses) this.#loop.lossSinceLog = Math.fround(this.#loop.lossSinceLog + loss);
    } else {
      this.#loop.skippedSteps++;
      this.#warn(`step ${this.step} was not applied: ${record.skipped}`);
    }
    this.#snapshot();
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
      memoryBytes: record.memoryBytes,
      ...(record.skipped === undefined ? {} : { skipped: record.skipped }),
    });
    if (this.step % plan.logEvery === 0 || (this.step === 1 && recipe.logging_first_step))
      this.#logStep(record);
    if (this.#isTimeToSave()) this.save();
  }

  #isTimeToSave(): boolean {
    const { recipe, plan } = this.#options;
    const isLast = this.step >= plan.totalSteps;
    if (recipe.save_strategy === "steps") return isLast || this.step % plan.saveEvery === 0;
    return recipe.save_strategy === "epoch" && (isLast || this.step % plan.stepsPerEpoch === 0);
  }

  #logStep(record: StepRecord): void {
    const { recipe } = this.#options;
    const applied = this.step - this.#loop.loggedStep - (this.#loop.skippedSteps - this.#skippedAtLog);
    const skipped = this.#loop.skippedSteps - this.#skippedAtLog;
    const entry: LogEntry = {
      loss: applied > 0 ? this.#loop.lossSinceLog / applied : Number.NaN,
      grad_norm: record.gradNorm,
      learning_rate: record.learningRate,
      epoch: this.epoch,
    };
    if (skipped > 0) entry["skipped_steps"] = skipped;
    if (recipe.include_num_input_tokens_seen !== "no") {
      entry["num_input_tokens_seen"] = this.#loop.tokensSeen;
      entry["train_runtime"] = this.runtimeSeconds;
      entry["train_tokens_per_second"] = (this.#loop.tokensSeen - this.#startTokens) / this.runtimeSeconds;
    }
    this.#loop.lossBeforeLog += this.#loop.lossSinceLog;
    this.#loop.lossSinceLog = 0;
    this.#loop.loggedStep = this.step;
    this.#skippedAtLog = this.#loop.skippedSteps;
    this.log(entry);
  }

  /** Appends an entry to the history and a line to trainer_log.jsonl. */
  log(entry: LogEntry): void {
    const { recipe } = this.#options;
    this.history.push({ ...entry, step: this.step });
    const counted = recipe.include_num_input_tokens_seen !== "no";
    const line = this.#log?.write(entry, this.step, counted ? this.#loop.tokensSeen : 0, this.#peak());
    if (line !== undefined)
      this.#emit({ type: "log", entry: { ...entry, step: this.step }, line: { ...line } });
  }

  #peak(): PeakMemory | undefined {
    const { device } = this.#options;
    const wanted = ["1", "true", "y"].includes((process.env["RECORD_VRAM"] ?? "").toLowerCase());
    if (!wanted || device === "cpu") return undefined;
    const { peakAllocated, peakReserved } = deviceMemory(device);
    return { allocated: peakAllocated, reserved: peakReserved };
  }

  /** trainer_state.json as it stands. */
  state(): TrainerState {
    const { recipe, plan } = this.#options;
    const isLast = this.step >= plan.totalSteps;
    return newTrainerState({
      epoch: this.epoch,
      global_step: this.step,
      log_history: this.history,
      logging_steps: plan.logEvery,
      max_steps: plan.totalSteps,
      num_input_tokens_seen: recipe.include_num_input_tokens_seen === "no" ? 0 : this.#loop.tokensSeen,
      num_train_epochs: Math.ceil(plan.epochs),
      save_steps: plan.saveEvery,
      stateful_callbacks: controlState({ should_save: true, should_training_stop: isLast }),
      total_flos: this.#loop.totalFlos,
      train_batch_size: recipe.per_device_train_batch_size,
    });
  }

  /** Writes a checkpoint of the last finished step, and removes those beyond save_total_limit. */
  save(forResume = false): string {
    const { recipe, optimizer, lossScale, data } = this.#options;
    const dir = writeCheckpoint(recipe.output_dir, this.step, (folder) => {
      this.#options.save(folder);
      saveTrainerState(this.state(), path.join(folder, STATE_FILE));
      saveArguments(recipe, folder);
      if (recipe.save_only_model && !forResume) return;
      const loop: LoopState = {
        ...this.#loop,
        scheduleSteps: this.scheduleSteps,
        lossScale: lossScale.state(),
        data,
      };
      saveRunState(folder, { optimizer, random: this.#random, loop, learningRate: this.#learningRate });
    });
    this.lastCheckpoint = dir;
    this.#emit({ type: "checkpoint", step: this.step, path: dir });
    rotateCheckpoints(recipe.output_dir, recipe.save_total_limit, dir);
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
 * Lines of trainer_log.jsonl that an earlier run wrote after the checkpoint now resumed, its closing line (which has no
 * loss) among them: they will be written again.
 */
function dropLaterLines(file: string, step: number): void {
  if (!existsSync(file)) return;
  const lines = readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "");
  const kept = lines.filter((line) => {
    const found = /"current_steps": (\d+)/.exec(line);
    return found === null || (Number(found[1]) <= step && line.includes('"loss"'));
  });
  if (kept.length < lines.length) writeWhole(file, kept.map((line) => `${line}\n`).join(""));
}
