// The training loop: which window comes next, and what is due after it. It runs in the caller's own thread; train.ts
// puts it on a worker. A step is optimizer-step.ts, counting progress.ts, files checkpoints.ts and history.ts; trainer-parts.ts
// makes them.

import { evaluateSets, type SetMetrics } from "../../evaluate/held-out-loss.js";
import type { MethodReport } from "../../methods/index.js";
import type { Optimizer } from "../../optim/index.js";
import { drawLoaderSeed } from "../../step/loader-seed.js";
import type { DType } from "../../torch/index.js";
import { dueAfter, type Moment } from "../plan/intervals.js";
import { batchesOfStep, type Plan } from "../plan/plan.js";
import type { Callbacks } from "./callbacks.js";
import type { Checkpoints } from "./checkpoints.js";
import type { History } from "./history.js";
import type { Outcome } from "./outcome.js";
import type { Progress } from "./progress.js";
import type { TrainerOptions } from "./trainer-options.js";
import { type TrainerParts, trainerParts } from "./trainer-parts.js";

/**
 * Trains a model on packed blocks by a recipe. `new Trainer(options)` then `run()`; for your own loop use
 * `microStep`, `clipGradNorm` and an optimizer instead.
 */
export class Trainer {
  /** Steps, intervals and schedule of the run. */
  readonly plan: Plan;
  /** The optimizer and its state. */
  readonly optimizer: Optimizer;
  /** Steps, sums, tokens and time so far. */
  readonly progress: Progress;
  /** What was logged. */
  readonly history: History;
  /** Writes and restores the run's checkpoints. */
  readonly checkpoints: Checkpoints;
  readonly #options: TrainerOptions;
  readonly #parts: TrainerParts;
  readonly #callbacks: Callbacks;

  constructor(options: TrainerOptions) {
    const parts = trainerParts(options, () => this.isAborted);
    this.#options = options;
    this.#parts = parts;
    this.plan = parts.plan;
    this.optimizer = parts.optimizer;
    this.progress = parts.progress;
    this.history = parts.history;
    this.checkpoints = parts.checkpoints;
    this.#callbacks = parts.callbacks;
  }

  /** Runs to the last step, or until `isAborted`. Checkpoints and logs are written as the recipe says. */
  async run(): Promise<Outcome> {
    try {
      return await this.#run();
    } finally {
      this.#parts.store?.close();
      this.#parts.graphs?.dispose();
    }
  }

  async #run(): Promise<Outcome> {
    const { resume } = this.#options;
    await this.#parts.strategy.broadcast(this.optimizer.groups.flatMap(({ parameters }) => parameters));
    if (resume !== undefined) this.checkpoints.restore(resume);
    this.checkpoints.snapshot();
    this.progress.begin();
    await this.#parts.methods.begin(resume);
    await this.#callbacks.tell("onBegin", this.#seen());
    const outcome = (await this.#steps())
      ? { interrupted: false, checkpoint: this.checkpoints.last }
      : { interrupted: true, checkpoint: await this.checkpoints.saveInterrupted() };
    await this.#callbacks.tell("onEnd", outcome, this.#seen());
    return outcome;
  }

  /** All steps that are left. False: aborted. */
  async #steps(): Promise<boolean> {
    if (!(await this.#catchUp())) return false;
    while (!this.#isOver) {
      const goesOn = (await this.#window()) && (await this.#after("step"));
      if (!goesOn || (await this.#someoneStops())) return false;
    }
    return true;
  }

  get #isOver(): boolean {
    return this.progress.isOver || this.#callbacks.stopped;
  }

  #seen() {
    const { step, epoch } = this.progress;
    const { optimizer, plan } = this;
    return { step, epoch, totalSteps: plan.totalSteps, model: this.#options.model, optimizer };
  }

  /** The next window of micro-steps and the optimizer's step after it. False: aborted, and nothing has changed. */
  async #window(): Promise<boolean> {
    const { progress, plan } = this;
    const accumulation = this.#options.recipe.gradient_accumulation_steps;
    const epoch = Math.floor(progress.step / plan.stepsPerEpoch);
    const stepInEpoch = progress.step % plan.stepsPerEpoch;
    const { batches, streamed, waited } = await this.#parts.windows.take(progress.step);
    if (stepInEpoch === 0) drawLoaderSeed();
    const result = await this.#parts.step.accumulate(batches, progress.step + 1);
    if (result === undefined) return false;
    progress.waitedForData(waited);
    const record = await this.#parts.step.apply(result, progress.scheduleSteps);
    // In a stream transformers counts as if a pass were as long as the run.
    const position =
      streamed === undefined
        ? stepInEpoch * accumulation + batchesOfStep(plan, accumulation, stepInEpoch)
        : (streamed.before + 1) * accumulation;
    this.checkpoints.snapshot();
    progress.finishStep({ ...record, epoch: (streamed?.pass ?? epoch) + position / plan.batchesPerEpoch });
    this.#parts.step.stopAfterSkips(record);
    await this.#callbacks.step(this.#seen());
    return true;
  }

  /** What the methods leave behind, once the weights are final. */
  finishMethods(): Promise<MethodReport[]> {
    return this.#parts.methods.finish();
  }

  /** What comes before the first step: an evaluation, or what an interruption left undone. False: aborted. */
  async #catchUp(): Promise<boolean> {
    const { progress } = this;
    if (progress.pending !== null) return this.#after(progress.pending);
    if (progress.step > 0 || !this.#options.recipe.eval_on_start) return true;
    return (await this.#evaluateAndLog()) !== undefined;
  }

  /** Logs, evaluates and saves what is due as a step has ended, and with it an epoch or the run. False: aborted. */
  async #after(moment: Moment): Promise<boolean> {
    const { progress, plan } = this;
    const { recipe } = this.#options;
    const due = this.#callbacks.withAsked(dueAfter(moment, recipe, plan, progress));
    progress.pending = moment;
    const logged = due.log ? progress.logStep() : undefined;
    if (logged !== undefined) await this.#callbacks.tell("onLog", logged, this.#seen());
    if (due.evaluate) {
      const found = await this.#evaluateAndLog();
      if (found === undefined) return false;
      const figures = Object.assign({}, ...found);
      await this.#callbacks.tell("onEvaluate", figures, this.#seen());
      const { isBest, value } = this.#parts.best.observe(figures, progress.step);
      if (value !== undefined) this.#parts.rates.observe(value);
      if (recipe.save_strategy === "best") due.save = isBest;
      this.checkpoints.snapshot();
    }
    const epochEnds = this.#isOver || progress.step % plan.stepsPerEpoch === 0;
    const goesOn = moment === "step" && epochEnds;
    progress.pending = goesOn ? "epoch" : null;
    if (due.save) await this.#callbacks.tell("onCheckpoint", await this.checkpoints.save(), this.#seen());
    return goesOn ? this.#after("epoch") : true;
  }

  async #evaluateAndLog(): Promise<SetMetrics[] | undefined> {
    const found = await this.evaluate();
    for (const entry of found ?? [])
      await this.#callbacks.tell("onLog", this.progress.log(entry), this.#seen());
    return found;
  }

  /**
   * The loss on every evaluation set, with the weights as they are; undefined where it was aborted.
   * @param dtype computes in this dtype, for which the model's weights are cast: there is no training afterwards
   */
  async evaluate(dtype?: DType): Promise<SetMetrics[] | undefined> {
    const { recipe, model, evaluation = [], padId, device, onEvent } = this.#options;
    if (dtype !== undefined) model.to({ dtype });
    const { step } = this.progress;
    return evaluateSets({
      model,
      sets: evaluation,
      padId,
      device,
      compute: this.#parts.precision.compute,
      batchSize: recipe.per_device_eval_batch_size,
      dropLast: recipe.dataloader_drop_last,
      ranks: this.#parts.strategy,
      isAborted: () => this.isAborted,
      onBatch: (progress) => onEvent?.({ type: "evaluate", step, ...progress }),
    });
  }

  /** Whether some process is to stop: the same answer on every one. */
  async #someoneStops(): Promise<boolean> {
    const [stopping = 0] = await this.#parts.strategy.sum([Number(this.isAborted)]);
    return stopping > 0;
  }

  /** Whether this process, or another of the run, is to stop. */
  get isAborted(): boolean {
    const isOwn = this.#options.isAborted?.() ?? false;
    if (isOwn) this.#parts.strategy.askToStop();
    return isOwn || this.#parts.strategy.stopAsked;
  }
}
