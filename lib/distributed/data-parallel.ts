// Data parallelism for a loop that a program writes itself: every rank has the whole model and its own batches. The trainer of recipes
// has its own strategy (lib/train/strategy); both add gradients up by gradient-buckets.ts.
import type { Tensor } from "../torch/index.js";
import { GradientBuckets } from "./gradient-buckets.js";
import type { World } from "./world.js";

/** What has parameters: any `Module`. */
export interface Parametrized {
  /** Parameters by name, in an order that is the same on every rank. */
  namedParameters(): Iterable<readonly [string, Tensor]>;
}

/**
 * A model that every rank trains on its own batches.
 * @example
 * const world = await init();
 * const parallel = await DataParallel.of(model, world);
 * loss(model, myBatch).backward();
 * await parallel.averageGradients(); // then the same optimizer step on every rank
 */
export class DataParallel {
  readonly #world: World;
  readonly #buckets: GradientBuckets;

  private constructor(parameters: readonly Tensor[], world: World) {
    this.#world = world;
    this.#buckets = new GradientBuckets([parameters], world);
  }

  /**
   * Gives every rank the weights of rank 0. The trained parameters must be the same on every rank, in the same order.
   * @throws DistributedError where the ranks' models do not agree
   */
  static async of(model: Parametrized, world: World): Promise<DataParallel> {
    const parameters = [...model.namedParameters()].map(([, parameter]) => parameter);
    for (const parameter of parameters) await world.broadcast(parameter);
    return new DataParallel(
      parameters.filter(({ requiresGrad }) => requiresGrad),
      world,
    );
  }

  /** Sums every gradient over the ranks, in place: for losses that are divided by the tokens of all ranks. */
  async sumGradients(): Promise<void> {
    await this.#buckets.finish();
  }

  /** Averages every gradient over the ranks, in place: for losses that are means over the rank's own batch. */
  async averageGradients(): Promise<void> {
    await this.#buckets.finish((gradient) => gradient.div_(this.#world.size));
  }
}
