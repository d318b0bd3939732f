// One step of the optimizer: the gradients of a window of micro-steps are added up, clipped, and applied or not. Which
// blocks a window has, what is logged and what is saved is not decided here.
import { type LossScale, type Precision, scaleGradients } from "../../assembly/precision.js";
import type { Recipe } from "../../config/index.js";
import { tokensOf } from "../../data/index.js";
import { UserError } from "../../errors.js";
import type { TrainEvent } from "../../events.js";
import type { AllMethods, Figures } from "../../methods/index.js";
import type { CausalModel } from "../../models/causal-model.js";
import type { GroupRates, Optimizer } from "../../optim/index.js";
import type { ActivationStore } from "../../step/activations/activation-store.js";
import { microStepLoss, StepAborted } from "../../step/micro-step.js";
import { readScalars } from "../../step/read-scalars.js";
import type { Checkpointing } from "../../step/recompute.js";
import { type Device, peakMemory, scope, startPeakMemory, type Tensor } from "../../torch/index.js";
import type { SourceLoss } from "../batches/source-account.js";
import { type SourcedBatch, sourceLoss } from "../batches/source-batches.js";
import type { Strategy } from "../strategy/strategy.js";
import type { GraphedSteps } from "./graphed-steps.js";
import type { StepRecord } from "./progress.js";

/** What a step works with. */
export interface OptimizerStepOptions {
  recipe: Recipe;
  model: CausalModel;
  device: Device;
  optimizer: Optimizer;
  rates: GroupRates;
  methods: AllMethods;
  precision: Precision;
  lossScale: LossScale;
  strategy: Strategy;
  /** What the backward pass computes again. */
  checkpointing: Checkpointing;
  /** Where what is kept for the backward pass waits; undefined for memory. */
  store: ActivationStore | undefined;
  /** Micro-steps as graphs; undefined to compute each as usual. */
  graphs?: GraphedSteps | undefined;
  /** Asked between blocks of the model. */
  isAborted: () => boolean;
  onEvent?: (event: TrainEvent) => void;
}

/** A window whose gradients are added up, and not applied yet. */
export interface WindowResult {
  /** Each micro-step's share of the step's loss, times the loss scale; on the device. */
  losses: Tensor[];
  batches: readonly SourcedBatch[];
  /** Of all batches, those of other processes too: what each share was divided by. */
  labelled: number;
  /** Of all processes, once the window is full. */
  tokens: number;
  /** Tokens that num_input_tokens_seen counts: with or without padding. */
  counted: number;
  /** `performance.now()` at its start. */
  started: number;
}

/** Give up after this many consecutive skipped steps. */
const MAX_SKIPPED_STEPS = 10;

/** Takes the steps of one run. */
export class OptimizerStep {
  readonly #options: OptimizerStepOptions;
  readonly #trained: readonly Tensor[];
  #failures = 0;

  constructor(options: OptimizerStepOptions) {
    this.#options = options;
    this.#trained = options.optimizer.groups.flatMap(({ parameters }) => parameters);
  }

  /**
   * Adds up the gradients of a window, of every process; undefined where the run was aborted on one of them, and then
   * nothing has changed on any.
   * @param step the step's number, from 1
   */
  async accumulate(window: readonly SourcedBatch[], step: number): Promise<WindowResult | undefined> {
    const { device, optimizer, methods, strategy, graphs, isAborted } = this.#options;
    startPeakMemory(device);
    const own = window.reduce((sum, { labels }) => sum + labels.reduce(countLabel, 0), 0);
    const [labelled = own, stopping] = await strategy.sum([own, Number(isAborted())]);
    if (stopping) return undefined;
    const result: WindowResult = {
      losses: [],
      batches: window,
      labelled,
      tokens: 0,
      counted: 0,
      started: performance.now(),
    };
    optimizer.zeroGrad();
    graphs?.startWindow();
    methods.startWindow();
    const isWhole = await this.#fill(result, step);
    await strategy.reduceGradients(this.#trained);
    const [unfilled, tokens = 0, counted = 0] = await strategy.sum([
      Number(!isWhole),
      result.tokens,
      result.counted,
    ]);
    if (unfilled) {
      this.#drop(result);
      return undefined;
    }
    Object.assign(result, { tokens, counted });
    graphs?.endWindow(result.losses);
    return result;
  }

  /** Takes the micro-steps of a window. False: aborted in between. */
  async #fill(result: WindowResult, step: number): Promise<boolean> {
    const { onEvent } = this.#options;
    const { batches } = result;
    for (const [micro, batch] of batches.entries()) {
      await new Promise((resolve) => setImmediate(resolve));
      const start = performance.now();
      try {
        result.losses.push(this.#microStep(batch, result, micro === batches.length - 1));
      } catch (error) {
        if (error instanceof StepAborted) return false;
        this.#drop(result);
        throw error;
      }
      const tokens = tokensOf(batch);
      result.tokens += tokens;
      result.counted += this.#counted(batch);
      const seconds = (performance.now() - start) / 1000;
      onEvent?.({ type: "microStep", step, micro: micro + 1, accumulation: batches.length, tokens, seconds });
    }
    return true;
  }

  #drop({ losses }: WindowResult): void {
    this.#options.optimizer.zeroGrad();
    for (const loss of losses) loss.dispose();
  }

  #microStep(batch: SourcedBatch, window: WindowResult, isLast: boolean): Tensor {
    const { recipe, model, device, precision, lossScale, methods, strategy, isAborted } = this.#options;
    if (!strategy.isTogether && isAborted()) throw new StepAborted();
    const options = {
      device,
      compute: precision.compute,
      checkpointing: this.#options.checkpointing,
      store: this.#options.store,
      lossScale: lossScale.scale,
      noiseAlpha: recipe.neftune_noise_alpha,
      objective: methods.objective,
      whenComplete: isLast ? strategy.whenComplete(model, this.#trained) : undefined,
      isAborted,
    };
    const { graphs } = this.#options;
    const scale = window.labelled === 0 ? 0 : 1 / window.labelled;
    if (graphs !== undefined) return graphs.microStep(batch, options, scale);
    return microStepLoss(model, batch, { ...options, scale });
  }

  /** Tokens of a batch that num_input_tokens_seen counts. */
  #counted(batch: SourcedBatch): number {
    const { attentionMask } = batch;
    const { include_num_input_tokens_seen: which } = this.#options.recipe;
    if (which !== "non_padding" || attentionMask === undefined) return tokensOf(batch);
    return attentionMask.reduce((sum, one) => sum + one, 0);
  }

  /**
   * Clips and applies what a window left in the gradients, or says why it does not.
   * @param scheduleSteps steps that the schedule has behind it
   */
  async apply(window: WindowResult, scheduleSteps: number): Promise<Omit<StepRecord, "epoch">> {
    const { device, optimizer, methods, lossScale } = this.#options;
    const rates = this.#options.rates.at(scheduleSteps);
    const { losses: own, norm } = this.#read(window.losses);
    const { losses, sources, figures } = await this.#ofAllProcesses(window, own);
    const seconds = (performance.now() - window.started) / 1000;
    const skipped = refusal(losses, norm);
    const overflowed = skipped !== undefined && lossScale.canShrink;
    if (skipped === undefined) {
      for (const [index, group] of optimizer.groups.entries()) group.learningRate = rates[index];
      optimizer.step();
      methods.afterStep();
    }
    optimizer.zeroGrad();
    lossScale.update(overflowed);
    this.#failures = skipped === undefined ? 0 : this.#failures + 1;
    return {
      losses,
      bySource: sources,
      figures,
      gradNorm: norm,
      learningRate: rates[0] as number,
      tokens: window.tokens,
      counted: window.counted,
      seconds,
      memoryBytes: peakMemory(device),
      skipped,
      countsForSchedule: !overflowed,
    };
  }

  /** What was computed in the window by all processes. */
  async #ofAllProcesses(
    window: WindowResult,
    own: readonly number[],
  ): Promise<{ losses: number[]; sources: SourceLoss[]; figures: Figures }> {
    const { strategy, methods } = this.#options;
    const sources = bySource(window, own);
    const figures = methods.figures();
    if (strategy.size === 1) return { losses: [...own], sources, figures };
    const losses = (await strategy.gather(own)).flat();
    const numbers = sources.flatMap(({ source, nats, labels, tokens }) => [source, nats, labels, tokens]);
    const all = (await strategy.gather(numbers)).flat();
    const shares = methods.sharedFigures.filter((name) => name in figures);
    const sums = await strategy.sum(shares.map((name) => figures[name] as number));
    return {
      losses,
      sources: Array.from({ length: all.length / 4 }, (_, at) => {
        const [source = 0, nats = 0, labels = 0, tokens = 0] = all.slice(4 * at, 4 * at + 4);
        return { source, nats, labels, tokens };
      }),
      figures: { ...figures, ...Object.fromEntries(shares.map((name, at) => [name, sums[at] as number])) },
    };
  }

  /**
   * Ends a run whose steps fail one after the other.
   * @throws UserError that says what the last one lacked
   */
  stopAfterSkips({ skipped, losses, countsForSchedule }: Omit<StepRecord, "epoch">): void {
    if (skipped === undefined || this.#failures < MAX_SKIPPED_STEPS) return;
    // a loss that is not finite before it is scaled is not caused by the loss scale
    if (!countsForSchedule && losses.every(Number.isFinite)) return;
    throw new UserError(
      `${this.#failures} steps in a row had no finite loss or gradient (the last: ${skipped}); lower learning_rate, use bf16 instead of fp16, or look for damage in the model and the data`,
    );
  }

  /** Clips the gradients, then reads the losses and the gradients' norm from before: the only wait of a step. */
  #read(scaled: readonly Tensor[]): { losses: number[]; norm: number } {
    const { recipe, methods, strategy } = this.#options;
    const { scale } = this.#options.lossScale;
    return scope(() => {
      scaleGradients(this.#trained, 1 / scale);
      methods.changeGradients();
      const norm = strategy.clip(this.#trained, recipe.max_grad_norm);
      const values = readScalars(norm === undefined ? scaled : [...scaled, norm]);
      for (const loss of scaled) loss.dispose();
      return {
        losses: values.slice(0, scaled.length).map((loss) => loss / scale),
        norm: values[scaled.length] ?? 0,
      };
    });
  }
}

const countLabel = (sum: number, label: number): number => sum + (label === -100 ? 0 : 1);

/** Why a step may not be applied: a loss or a gradient that is not finite. */
function refusal(losses: readonly number[], norm: number): string | undefined {
  const bad = losses.findIndex((loss) => !Number.isFinite(loss));
  if (bad >= 0) return `the loss of micro-step ${bad + 1} is ${losses[bad]}`;
  return Number.isFinite(norm) ? undefined : `the gradient's norm is ${norm}`;
}

/** The loss of each micro-step that has one source. */
function bySource({ batches, labelled }: WindowResult, losses: readonly number[]): SourceLoss[] {
  return batches.flatMap((batch, micro) =>
    batch.source === undefined ? [] : [sourceLoss(batch, batch.source, (losses[micro] as number) * labelled)],
  );
}
