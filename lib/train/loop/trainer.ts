// The training loop: windows of micro-steps, clipping, the optimizer's step; when to log and to save. It runs in the
// caller's own thread and gives the event loop a turn between micro-steps; train.ts puts it on a worker thread.

import { LossScale, type Precision, precisionOf, scaleGradients } from "../../assembly/precision.js";
import type { Recipe } from "../../config/index.js";
import {
  type BlockStream,
  type EvaluationSet,
  RandomSampler,
  type Sampler,
  SequentialSampler,
  type SourceSampler,
  type TokenBlocks,
} from "../../data/index.js";
import { UserError } from "../../errors.js";
import { evaluateSets, type SetMetrics } from "../../evaluate/held-out-loss.js";
import type { TrainEvent } from "../../events.js";
import { AllMethods, type MethodReport, type TrainingMethod } from "../../methods/index.js";
import { type CausalModel, countParameters } from "../../models/causal-model.js";
import { AdamW, clipGradNorm, type GroupRates, gradNorm } from "../../optim/index.js";
import { DiskStore } from "../../step/activation-store.js";
import { drawLoaderSeed } from "../../step/loader-seed.js";
import { microStepLoss, StepAborted } from "../../step/micro-step.js";
import { readTogether } from "../../step/read-together.js";
import type { Checkpointing } from "../../step/recompute.js";
import {
  createGenerator,
  type Device,
  type DType,
  memoryInUse,
  randperm,
  scope,
  type Tensor,
} from "../../torch/index.js";
import { SourceAccount, type SourceLoss } from "../batches/source-account.js";
import { type SourcedBatch, sourceLoss } from "../batches/source-batches.js";
import { TrainingWindows } from "../batches/windows.js";
import { BestMetric } from "../plan/best.js";
import { dueAfter, type Moment } from "../plan/intervals.js";
import { batchesOfStep, type Plan, planRun } from "../plan/plan.js";
import { Recorder } from "./progress.js";
import { parameterGroups, ratesOf } from "./recipe-optimizer.js";

/** What a {@link Trainer} works with; `prepare` makes one from a recipe. */
export interface TrainerOptions {
  recipe: Recipe;
  model: CausalModel;
  blocks: TokenBlocks;
  /** What is evaluated on, where the recipe asks for it. */
  evaluation?: readonly EvaluationSet[];
  /** Steps of a stream, in place of blocks; `blocks` then stands for their number. */
  stream?: BlockStream | undefined;
  /** The order of the blocks, each of a source, in place of the recipe's shuffling; see lib/methods. */
  sampler?: SourceSampler | undefined;
  padId: number;
  device: Device;
  /** What the backward pass computes again; default: the recipe's, else whole blocks. */
  checkpointing?: Checkpointing;
  /** Writes the adapter or the model, and whatever else belongs into every checkpoint, into a folder. */
  save(dir: string): void;
  /** A verified checkpoint whose weights the model already has. */
  resume?: string;
  onEvent?: (event: TrainEvent) => void;
  /** What the recipe adds for incremental pre-training, asked in this order. */
  methods?: readonly TrainingMethod[];
  /** Asked between blocks of a model: true ends the run after saving the last finished step. */
  isAborted?: () => boolean;
}

/** How {@link Trainer.run} ended. */
export interface Outcome {
  interrupted: boolean;
  /** The last checkpoint that was written. */
  checkpoint: string | undefined;
}

interface WindowResult {
  /** Each micro-step's share of the step's loss, times the loss scale; on the device. */
  losses: Tensor[];
  batches: readonly SourcedBatch[];
  /** Of all batches: what each share was divided by. */
  labelled: number;
  tokens: number;
  /** Tokens that num_input_tokens_seen counts: with or without padding. */
  counted: number;
  /** `performance.now()` at its start. */
  started: number;
}

/** After so many steps in a row that could not be applied, going on is pointless. */
const HOPELESS = 10;

/** torch's permutation from a CPU generator freshly seeded. */
function permutation(n: number, seed: number): BigInt64Array {
  return scope(() => randperm(n, { generator: createGenerator(seed) }).toArray() as BigInt64Array);
}

/**
 * Trains a model on packed blocks by a recipe. `new Trainer(options)` then `run()`; for a loop of your own use
 * `microStep`, `clipGradNorm` and `AdamW` instead.
 */
export class Trainer {
  readonly plan: Plan;
  readonly optimizer: AdamW;
  readonly recorder: Recorder;
  readonly #options: TrainerOptions;
  readonly #precision: Precision;
  readonly #lossScale: LossScale;
  readonly #windows: TrainingWindows;
  readonly #trained: Tensor[];
  readonly #methods: AllMethods;
  readonly #rates: GroupRates;
  readonly #best: BestMetric;
  #failures = 0;
  readonly #store: DiskStore | undefined;

  constructor(options: TrainerOptions) {
    const { recipe, model, blocks, sampler } = options;
    this.#options = options;
    this.plan = planRun(recipe, sampler?.length ?? blocks.length);
    this.#methods = new AllMethods(options.methods ?? []);
    this.#precision = precisionOf(recipe);
    this.#lossScale = new LossScale(this.#precision.scaled);
    const groups = parameterGroups(recipe, model);
    this.#rates = ratesOf(recipe, groups, this.plan);
    this.#best = new BestMetric(recipe);
    if (recipe.activation_offload === "disk") this.#store = new DiskStore(recipe.output_dir);
    this.#trained = groups.flatMap((group) => group.parameters);
    this.optimizer = new AdamW(groups, {
      learningRate: recipe.learning_rate,
      beta1: recipe.adam_beta1,
      beta2: recipe.adam_beta2,
      eps: recipe.adam_epsilon,
    });
    const seed = recipe.data_seed ?? recipe.seed;
    const order: Sampler =
      sampler ??
      (recipe.disable_shuffling
        ? new SequentialSampler(blocks.length)
        : new RandomSampler(blocks.length, seed, permutation));
    this.#windows = new TrainingWindows({ ...options, plan: this.plan, order });
    this.recorder = new Recorder({
      ...options,
      saveMethods: (dir) => this.#methods.save(dir),
      plan: this.plan,
      optimizer: this.optimizer,
      lossScale: this.#lossScale,
      rates: this.#rates,
      best: this.#best,
      account: sampler && new SourceAccount(sampler.names, recipe.log_loss_by_source === true),
      data: { blocks: blocks.length, tokens: blocks.tokens, blockLength: recipe.cutoff_len },
      flosPerToken: 6 * countParameters(model).computing,
    });
  }

  /** Runs to the last step, or until `isAborted`. Checkpoints and logs are written as the recipe says. */
  async run(): Promise<Outcome> {
    try {
      return await this.#run();
    } finally {
      this.#store?.close();
    }
  }

  async #run(): Promise<Outcome> {
    const { recipe, resume } = this.#options;
    if (resume !== undefined) this.recorder.restore(resume);
    this.recorder.begin();
    await this.#methods.begin(resume);
    if (!(await this.#catchUp())) return this.#interrupted();
    const accumulation = recipe.gradient_accumulation_steps;
    while (this.recorder.step < this.plan.totalSteps && !this.#best.isOver) {
      const epoch = Math.floor(this.recorder.step / this.plan.stepsPerEpoch);
      const stepInEpoch = this.recorder.step % this.plan.stepsPerEpoch;
      const first = stepInEpoch * accumulation;
      const count = batchesOfStep(this.plan, accumulation, stepInEpoch);
      const { batches, streamed, waited } = await this.#windows.take(this.recorder.step);
      if (stepInEpoch === 0) drawLoaderSeed();
      const result = await this.#accumulate(batches);
      if (result === undefined) return this.#interrupted();
      // In a stream transformers counts as if a pass were as long as the run.
      const position = streamed === undefined ? first + count : (streamed.before + 1) * accumulation;
      this.recorder.waitedForData(waited);
      this.#finishStep(result, (streamed?.pass ?? epoch) + position / this.plan.batchesPerEpoch);
      if (!(await this.#after("step")) || this.#isAborted()) return this.#interrupted();
    }
    return { interrupted: false, checkpoint: this.recorder.lastCheckpoint };
  }

  /** What the methods leave behind, once the weights are final. */
  finishMethods(): Promise<MethodReport[]> {
    return this.#methods.finish();
  }

  #interrupted(): Outcome {
    return { interrupted: true, checkpoint: this.recorder.saveInterrupted() };
  }

  /** What comes before the first step: an evaluation, or what an interruption left undone. False: aborted. */
  async #catchUp(): Promise<boolean> {
    const { recorder } = this;
    if (recorder.pending !== null) return this.#after(recorder.pending);
    if (recorder.step > 0 || !this.#options.recipe.eval_on_start) return true;
    const found = await this.evaluate();
    if (found === undefined) return false;
    for (const entry of found) recorder.log(entry);
    return true;
  }

  /** Logs, evaluates and saves what is due as a step has ended, and with it an epoch or the run. False: aborted. */
  async #after(moment: Moment): Promise<boolean> {
    const { recorder, plan } = this;
    const { recipe } = this.#options;
    const due = dueAfter(moment, recipe, plan, recorder);
    recorder.pending = moment;
    if (due.log) recorder.logStep();
    if (due.evaluate) {
      const found = await this.evaluate();
      if (found === undefined) return false;
      for (const entry of found) recorder.log(entry);
      const { isBest, value } = this.#best.observe(Object.assign({}, ...found), recorder.step);
      if (value !== undefined) this.#rates.observe(value);
      if (recipe.save_strategy === "best") due.save = isBest;
      recorder.snapshot();
    }
    const isOver = recorder.step >= plan.totalSteps || this.#best.isOver;
    const epochEnds = isOver || recorder.step % plan.stepsPerEpoch === 0;
    const goesOn = moment === "step" && epochEnds;
    recorder.pending = goesOn ? "epoch" : null;
    if (due.save) recorder.save();
    return goesOn ? this.#after("epoch") : true;
  }

  /**
   * The loss on every evaluation set, with the weights as they are; undefined where it was aborted.
   * @param dtype computes in this dtype, for which the model's weights are cast: there is no training afterwards
   */
  async evaluate(dtype?: DType): Promise<SetMetrics[] | undefined> {
    const { recipe, model, evaluation = [], padId, device, isAborted, onEvent } = this.#options;
    if (dtype !== undefined) model.to({ dtype });
    const { step } = this.recorder;
    return evaluateSets({
      model,
      sets: evaluation,
      padId,
      device,
      compute: this.#precision.compute,
      batchSize: recipe.per_device_eval_batch_size,
      dropLast: recipe.dataloader_drop_last,
      isAborted,
      onBatch: (progress) => onEvent?.({ type: "evaluate", step, ...progress }),
    });
  }

  #isAborted(): boolean {
    return this.#options.isAborted?.() ?? false;
  }

  /** Adds up the gradients of a window; undefined where the run was aborted, and then nothing has changed. */
  async #accumulate(window: readonly SourcedBatch[]): Promise<WindowResult | undefined> {
    const { model, device, recipe, onEvent } = this.#options;
    const labelled = window.reduce(
      (sum, { labels }) => sum + labels.reduce((n, label) => n + (label === -100 ? 0 : 1), 0),
      0,
    );
    const losses: Tensor[] = [];
    let tokens = 0;
    let counted = 0;
    const started = performance.now();
    this.optimizer.zeroGrad();
    this.#methods.startWindow();
    for (const [micro, batch] of window.entries()) {
      await new Promise((resolve) => setImmediate(resolve));
      const start = performance.now();
      try {
        if (this.#isAborted()) throw new StepAborted();
        losses.push(
          microStepLoss(model, batch, {
            device,
            compute: this.#precision.compute,
            checkpointing: this.#options.checkpointing ?? recipe.gradient_checkpointing ?? true,
            store: this.#store,
            scale: labelled === 0 ? 0 : 1 / labelled,
            lossScale: this.#lossScale.scale,
            noiseAlpha: recipe.neftune_noise_alpha,
            objective: this.#methods.objective,
            isAborted: this.#options.isAborted,
          }),
        );
      } catch (error) {
        this.optimizer.zeroGrad();
        for (const loss of losses) loss.dispose();
        if (error instanceof StepAborted) return undefined;
        throw error;
      }
      const size = batch.inputIds.length;
      tokens += size;
      const { attentionMask } = batch;
      const padded = recipe.include_num_input_tokens_seen === "non_padding" && attentionMask !== undefined;
      counted += padded ? attentionMask.reduce((sum, one) => sum + one, 0) : size;
      const seconds = (performance.now() - start) / 1000;
      const step = this.recorder.step + 1;
      onEvent?.({
        type: "microStep",
        step,
        micro: micro + 1,
        accumulation: window.length,
        tokens: size,
        seconds,
      });
    }
    return { losses, batches: window, labelled, tokens, counted, started };
  }

  /** Clips and applies what a window left in the gradients, or says why it does not. */
  #finishStep(window: WindowResult, epoch: number): void {
    const { device } = this.#options;
    const rates = this.#rates.at(this.recorder.scheduleSteps);
    const { losses, norm } = this.#read(window.losses);
    const seconds = (performance.now() - window.started) / 1000;
    const why = this.#refusal(losses, norm);
    const overflowed = why !== undefined && this.#lossScale.canShrink;
    if (why === undefined) {
      for (const [index, group] of this.optimizer.groups.entries()) group.learningRate = rates[index];
      this.optimizer.step();
      this.#methods.afterStep();
    }
    this.optimizer.zeroGrad();
    this.#lossScale.update(overflowed);
    this.recorder.finishStep({
      losses,
      bySource: bySource(window, losses),
      figures: this.#methods.figures(),
      gradNorm: norm,
      learningRate: rates[0] as number,
      epoch,
      tokens: window.tokens,
      counted: window.counted,
      seconds,
      memoryBytes: memoryInUse(device),
      skipped: why,
      countsForSchedule: !overflowed,
    });
    this.#failures = why === undefined ? 0 : this.#failures + 1;
    // a loss that is not finite before it is scaled is not the scale's doing
    if (this.#failures >= HOPELESS && !(overflowed && losses.every(Number.isFinite))) {
      throw new UserError(
        `${this.#failures} steps in a row had no finite loss or gradient (the last: ${why}); lower learning_rate, use bf16 instead of fp16, or look for damage in the model and the data`,
      );
    }
  }

  /** Clips the gradients, then reads the losses and the gradients' norm from before: the only wait of a step. */
  #read(scaled: readonly Tensor[]): { losses: number[]; norm: number } {
    const { scale } = this.#lossScale;
    const { max_grad_norm: most } = this.#options.recipe;
    return scope(() => {
      scaleGradients(this.#trained, 1 / scale);
      this.#methods.changeGradients();
      const norm = most > 0 ? clipGradNorm(this.#trained, most) : gradNorm(this.#trained);
      const values = readTogether(norm === undefined ? scaled : [...scaled, norm]);
      for (const loss of scaled) loss.dispose();
      return {
        losses: values.slice(0, scaled.length).map((loss) => loss / scale),
        norm: values[scaled.length] ?? 0,
      };
    });
  }

  /** Why a step may not be applied: a loss or a gradient that is not finite. */
  #refusal(losses: readonly number[], norm: number): string | undefined {
    const bad = losses.findIndex((loss) => !Number.isFinite(loss));
    if (bad >= 0) return `the loss of micro-step ${bad + 1} is ${losses[bad]}`;
    return Number.isFinite(norm) ? undefined : `the gradient's norm is ${norm}`;
  }
}

/** What each micro-step of one source came to. */
function bySource({ batches, labelled }: WindowResult, losses: readonly number[]): SourceLoss[] {
  return batches.flatMap((batch, micro) =>
    batch.source === undefined ? [] : [sourceLoss(batch, batch.source, (losses[micro] as number) * labelled)],
  );
}
