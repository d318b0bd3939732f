// The batches of one optimizer step after another, each prepared while the model computes the one before: blocks that lie
// in a file are read by another thread meanwhile. It also measures how long the model still waited.
import type { Recipe } from "../../config/index.js";
import {
  type BlockStream,
  collate,
  loadBatch,
  type Sampler,
  type SourceSampler,
  type StreamWindow,
  type TokenBlocks,
} from "../../data/index.js";
import { batchesOfStep, type Plan } from "../plan/plan.js";
import type { Strategy } from "../strategy/strategy.js";
import { mergeBatches } from "./merged-batches.js";
import { type SourcedBatch, sourceBatches } from "./source-batches.js";

/** What one optimizer step trains on. */
export interface TrainingWindow {
  readonly batches: readonly SourcedBatch[];
  /** Of a stream: where the step stands in it. */
  readonly streamed: StreamWindow | undefined;
  /** Seconds for which nothing could be computed, because it was not there yet. */
  readonly waited: number;
}

/** What the steps' batches are made from. */
export interface WindowOptions {
  recipe: Recipe;
  plan: Plan;
  blocks: TokenBlocks;
  /** The order of an epoch's blocks, of all processes. */
  order: Sampler;
  /** Which of them, and what of those, are this process's. */
  strategy: Pick<Strategy, "share" | "part">;
  stream?: BlockStream | undefined;
  /** Where blocks have sources: no batch has blocks of two. */
  sampler?: SourceSampler | undefined;
  padId: number;
  /** How many micro-batches may be computed as one; default 1. */
  batchesAtOnce?: number | undefined;
}

/** Steps are asked for in rising order; where a run begins does not matter. */
export class TrainingWindows {
  readonly #options: WindowOptions;
  #ahead: { readonly step: number; readonly window: Promise<Omit<TrainingWindow, "waited">> } | undefined;
  #order: { readonly epoch: number; readonly blocks: Int32Array } | undefined;

  constructor(options: WindowOptions) {
    this.#options = options;
  }

  /**
   * The window of step `step` (from 0); the next one is prepared from then on.
   *
   * @throws UserError for a defect in a stream's corpus, at the step that meets it
   */
  async take(step: number): Promise<TrainingWindow> {
    const started = performance.now();
    const window = await (this.#ahead?.step === step ? this.#ahead.window : this.#prepare(step));
    this.#ahead = undefined;
    if (step + 1 < this.#options.plan.totalSteps) {
      const next = this.#prepare(step + 1);
      // a failure is reported when its step has come, and not at all where the run ends before
      next.catch(() => {});
      this.#ahead = { step: step + 1, window: next };
    }
    return { ...window, waited: (performance.now() - started) / 1000 };
  }

  async #prepare(step: number): Promise<Omit<TrainingWindow, "waited">> {
    const { stream, padId, strategy } = this.#options;
    const streamed = await stream?.window(step);
    const whole =
      streamed === undefined
        ? await this.#load(step)
        : streamed.batches.map((blocks): SourcedBatch => collate(blocks, padId));
    const own = whole.map((batch) => ({ ...batch, ...strategy.part(batch, padId) }));
    return { batches: mergeBatches(own, this.#options.batchesAtOnce ?? 1), streamed };
  }

  #load(step: number): Promise<SourcedBatch[]> {
    const { recipe, plan, blocks, sampler, padId } = this.#options;
    const { per_device_train_batch_size: size, gradient_accumulation_steps: accumulation } = recipe;
    const order = this.#epoch(Math.floor(step / plan.stepsPerEpoch));
    const stepInEpoch = step % plan.stepsPerEpoch;
    const first = stepInEpoch * accumulation;
    const count = batchesOfStep(plan, accumulation, stepInEpoch);
    const chosen = order.subarray(first * size, (first + count) * size);
    if (sampler !== undefined) {
      const batches = sourceBatches(chosen, size, sampler).map(async ({ source, blocks: ids }) => ({
        source,
        ...(await loadBatch(blocks, ids, padId)),
      }));
      return Promise.all(batches);
    }
    const batches = Array.from({ length: count }, (_, i) => chosen.subarray(i * size, (i + 1) * size));
    return Promise.all(batches.map((ids) => loadBatch(blocks, ids, padId)));
  }

  #epoch(epoch: number): Int32Array {
    if (this.#order?.epoch !== epoch) {
      const { recipe, order, strategy } = this.#options;
      const { per_device_train_batch_size: size, dataloader_drop_last: dropLast } = recipe;
      this.#order = { epoch, blocks: strategy.share(order.order(epoch), size, dropLast) };
    }
    return this.#order.blocks;
  }
}
