// A run's checkpoints: written so that a resumed run is the one that was never interrupted, found, restored, rotated.
// How a folder becomes whole is in checkpoint/folder.ts; when to save is the trainer's decision.
import { existsSync } from "node:fs";
import path from "node:path";
import type { LossScale } from "../../assembly/precision.js";
import { type Recipe, withoutSecrets } from "../../config/index.js";
import { UserError } from "../../errors.js";
import type { TrainEvent } from "../../events.js";
import { writeError, writeWhole } from "../../files/output-file.js";
import type { GroupRates, Optimizer } from "../../optim/index.js";
import { type Device, drawingDevices, getRngState, keep, type Tensor, tensor } from "../../torch/index.js";
import type { SourceAccount } from "../batches/source-account.js";
import {
  beginCheckpoint,
  checkpointPath,
  dropCheckpoint,
  finishCheckpoint,
  measured,
  rotateCheckpoints,
  unfinishedPath,
  type Written,
} from "../checkpoint/folder.js";
import type { LoopState } from "../checkpoint/loop-numbers.js";
import { saveOptimizer, saveOptimizerPart } from "../checkpoint/optimizer-files.js";
import {
  loadRunState,
  type RandomStates,
  randomFile,
  saveRandom,
  saveRunState,
} from "../checkpoint/run-state.js";
import { pidOfMain, type Saving, saveTrained } from "../checkpoint/save-trained.js";
import {
  controlState,
  loadTrainerState,
  newTrainerState,
  saveTrainerState,
  type TrainerState,
} from "../checkpoint/trainer-state.js";
import type { BestMetric } from "../plan/best.js";
import type { Plan } from "../plan/plan.js";
import type { Strategy } from "../strategy/strategy.js";
import type { History } from "./history.js";
import type { Progress } from "./progress.js";

/** transformers' file of a run's state: steps, epoch, log. */
export const STATE_FILE = "trainer_state.json";
/** The recipe of a run, without its secrets. */
export const ARGUMENTS_FILE = "training_args.json";

/** What {@link Checkpoints} work with. */
export interface CheckpointsOptions extends Saving {
  recipe: Recipe;
  plan: Plan;
  progress: Progress;
  history: History;
  optimizer: Optimizer;
  lossScale: LossScale;
  rates: GroupRates;
  best: BestMetric;
  /** Where blocks have sources. */
  account?: SourceAccount | undefined;
  device: Device;
  strategy: Strategy;
  data: LoopState["data"];
  /** Writes what methods need beside that to go on from a checkpoint. */
  saveMethods?(dir: string): void;
  onEvent?: (event: TrainEvent) => void;
}

/** Writes and restores the checkpoints of one run. */
export class Checkpoints {
  /** The last one that was written, or resumed. */
  last: string | undefined;
  readonly #options: CheckpointsOptions;
  readonly #random = new Map<Device, Tensor>();
  #best: string | null = null;
  #callbacks: Record<string, unknown>;

  constructor(options: CheckpointsOptions) {
    this.#options = options;
    this.#callbacks = this.#callbackState({});
  }

  /** The best evaluation's checkpoint, where there is one. */
  get best(): string | undefined {
    return this.#best ?? undefined;
  }

  /** Goes on from a checkpoint; the model has its weights already. Warns where the data or the plan have changed. */
  restore(dir: string): void {
    const { optimizer, lossScale, rates, best, account, progress, history, strategy } = this.#options;
    const state = loadTrainerState(path.join(dir, STATE_FILE));
    const {
      lossScale: scale,
      rates: followed,
      best: soFar,
      data: before,
      sources,
      ...counts
    } = loadRunState(dir, optimizer, state.global_step, strategy, (text) =>
      this.#options.onEvent?.({ type: "message", level: "warning", text }),
    );
    progress.restore({ step: state.global_step, epoch: state.epoch }, counts);
    history.entries.push(...state.log_history);
    this.#best = state.best_model_checkpoint;
    this.#callbacks = state.stateful_callbacks;
    this.last = dir;
    if (soFar !== undefined) best.restore(soFar);
    rates.restore(followed ?? null);
    if (sources !== undefined) account?.restore(sources);
    lossScale.restore(scale);
    this.#warnOfChanges(dir, before, state.max_steps);
  }

  #warnOfChanges(dir: string, before: LoopState["data"], totalSteps: number): void {
    const { data, plan, onEvent } = this.#options;
    const warn = (text: string) => onEvent?.({ type: "message", level: "warning", text });
    if (
      before.blocks !== data.blocks ||
      before.tokens !== data.tokens ||
      before.blockLength !== data.blockLength
    )
      warn(
        `the data has changed since ${dir}: ${before.blocks} blocks of ${before.blockLength} tokens then, ${data.blocks} of ${data.blockLength} now; the run continues with the new data`,
      );
    if (totalSteps !== plan.totalSteps)
      warn(`${dir} was on its way to step ${totalSteps}; this run goes to ${plan.totalSteps}`);
  }

  /** Takes the random state as it is at the end of a step, or of the evaluation after it: what a checkpoint holds. */
  snapshot(): void {
    for (const name of drawingDevices(this.#options.device)) {
      this.#random.get(name)?.dispose();
      this.#random.set(name, keep(getRngState(name)));
    }
  }

  /** trainer_state.json as it stands. */
  state(): TrainerState {
    const { recipe, plan, progress, history, best } = this.#options;
    return newTrainerState({
      best_global_step: best.state.step,
      best_metric: best.state.metric,
      best_model_checkpoint: this.#best,
      eval_steps: plan.evalEvery,
      epoch: progress.epoch,
      global_step: progress.step,
      log_history: history.entries,
      logging_steps: plan.logEvery,
      max_steps: plan.totalSteps,
      num_input_tokens_seen: recipe.include_num_input_tokens_seen === "no" ? 0 : progress.tokensSeen,
      // a stream has no known end: Python's sys.maxsize stands for that
      num_train_epochs: recipe.streaming ? 2 ** 63 - 1 : Math.ceil(plan.epochs),
      save_steps: plan.saveEvery,
      stateful_callbacks: this.#callbacks,
      total_flos: progress.totalFlos,
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
    if (step === saving || existsSync(dir)) this.#best = dir;
  }

  /** Writes a checkpoint of the last finished step, and removes those beyond save_total_limit. Rank 0 writes it. */
  async save(forResume = false): Promise<string> {
    const { recipe, progress, strategy, onEvent } = this.#options;
    this.#findBest(progress.step);
    this.#callbacks = this.#callbackState({ should_save: true, should_training_stop: progress.isOver });
    const dir = await this.#write(!recipe.save_only_model || forResume);
    this.last = dir;
    onEvent?.({ type: "checkpoint", step: progress.step, path: dir });
    if (strategy.rank === 0) rotateCheckpoints(recipe.output_dir, recipe.save_total_limit, dir, this.#best);
    return dir;
  }

  /** All of a checkpoint or nothing, by every process that has a part of it. */
  async #write(isResumable: boolean): Promise<string> {
    const { recipe, progress, strategy } = this.#options;
    const { output_dir: outputDir } = recipe;
    const { step } = progress;
    const isMain = strategy.rank === 0;
    try {
      if (isMain) beginCheckpoint(outputDir, step);
      const folder = unfinishedPath(outputDir, step, await pidOfMain(strategy));
      const { left, written } = isResumable ? await this.#writeParts(folder) : {};
      const files = await saveTrained(this.#options, strategy, folder, written);
      if (!isMain) return checkpointPath(outputDir, step);
      this.#fill(folder, left);
      return finishCheckpoint(outputDir, step, files);
    } catch (error) {
      if (isMain) dropCheckpoint(outputDir, step);
      throw error;
    }
  }

  /**
   * Every process writes what it alone has, side by side. Gives what it has written, and what rank 0 has left to write of
   * it: its own random state, and those of processes that do not see the folder, on machines that share no disk.
   */
  async #writeParts(folder: string): Promise<{ left: Map<number, RandomStates>; written: Written }> {
    const { optimizer, strategy } = this.#options;
    const { rank, extents } = strategy;
    const left = new Map<number, RandomStates>([[0, this.#random]]);
    const names: string[] = [];
    if (extents !== undefined) names.push(saveOptimizerPart(folder, optimizer, strategy, extents));
    const isSeen = existsSync(folder);
    if (rank > 0 && isSeen) {
      saveRandom(folder, rank, this.#random);
      names.push(randomFile(rank));
    }
    const written = Object.fromEntries(names.map((name) => [name, measured(path.join(folder, name))]));
    const sent = rank > 0 && !isSeen ? (this.#random.get("cpu")?.tolist() as number[]) : [];
    for (const [from, bytes] of (await strategy.gather(sent)).entries()) // and now all of these files are
      if (bytes.length > 0) left.set(from, new Map([["cpu", tensor(bytes, { dtype: "uint8" })]]));
    return { left, written };
  }

  /** Writes what is rank 0's alone. `random`: of a checkpoint that is to be resumed. */
  #fill(folder: string, random: ReadonlyMap<number, RandomStates> | undefined): void {
    const { recipe, progress, optimizer, strategy } = this.#options;
    try {
      saveTrainerState(this.state(), path.join(folder, STATE_FILE));
      saveArguments(recipe, folder);
      if (random === undefined) return;
      if (strategy.extents === undefined) saveOptimizer(folder, optimizer);
      this.#saveForResume(folder, random);
    } catch (error) {
      if (error instanceof UserError) throw error;
      throw writeError(checkpointPath(recipe.output_dir, progress.step), error);
    }
  }

  #saveForResume(folder: string, random: ReadonlyMap<number, RandomStates>): void {
    const { lossScale, rates, best, data, account, progress, saveMethods } = this.#options;
    const loop: LoopState = {
      ...progress.state(),
      lossScale: lossScale.state(),
      rates: rates.state(),
      best: best.state,
      data,
      sources: account?.state(),
    };
    saveMethods?.(folder);
    saveRunState(folder, { random, loop, learningRate: progress.learningRate });
  }

  /** The checkpoint of an interrupted run: full, whatever save_only_model says; none before the first step. */
  async saveInterrupted(): Promise<string | undefined> {
    const { recipe, progress } = this.#options;
    if (progress.step === 0) return undefined;
    const saved = this.last === checkpointPath(recipe.output_dir, progress.step);
    return saved && !recipe.save_only_model ? this.last : this.save(true);
  }
}

/** training_args.json: every key of the recipe that was run, its secrets masked. */
export function saveArguments(recipe: Recipe, dir: string): void {
  writeWhole(path.join(dir, ARGUMENTS_FILE), `${JSON.stringify(withoutSecrets(recipe), null, 2)}\n`);
}
