// The diagonal of the empirical Fisher information of a model's weights, estimated on blocks of text. One block of the
// model at a time is differentiated, so that beside the result no more than its gradients exist. Files: fisher-file.ts.
import type { Batch } from "../../data/index.js";
import type { CausalModel } from "../../models/index.js";
import { idsOf, positionsOf } from "../../step/batch.js";
import { lastHidden } from "../../step/last-hidden.js";
import {
  autocast,
  backward,
  type DType,
  keep,
  noGrad,
  scope,
  type Tensor,
  zeros,
} from "../../torch/index.js";

/** Processes that estimate together, each on its share of the batches. */
export interface FisherRanks {
  /** Number of this one, from 0. */
  readonly rank: number;
  readonly size: number;
  /** Sums over the processes, element by element. */
  sum(values: readonly number[]): Promise<number[]>;
  /** Adds a tensor up over the processes, in place. */
  add(values: Tensor): Promise<void>;
}

/** What {@link estimateFisher} works with. */
export interface FisherOptions {
  /** autocast's dtype; undefined computes in the weights' own. */
  compute: DType | undefined;
  /** Runs a computation with the base weights alone, where an adapter is on them. */
  asBase?<T>(body: () => T): T;
  /** Sum of -log p(next token) over a batch's labelled positions, from the last block's output. */
  lossOf(hidden: Tensor, batch: Batch): Tensor;
  /** Between blocks of text. */
  onBlock?(done: number): Promise<void> | void;
  /** Left out: one process. */
  ranks?: FisherRanks;
}

/** Fisher information by the names of weights, and how many tokens it comes from. */
export interface Fisher {
  /** Each of its weight's shape, float32. */
  readonly values: Map<string, Tensor>;
  /** Blocks of text that it comes from. */
  readonly blocks: number;
  /** Labelled positions, the ones that were predicted. */
  readonly tokens: number;
}

/**
 * F_i = (sum over blocks n of (d log p(x_n) / d w_i)^2) / (labelled tokens of all blocks), where log p(x_n) is the sum
 * of the log-likelihoods of the block's own tokens: the empirical Fisher information, its gradients taken a block at a
 * time, a token. A block's score is a sum of one score a token, which are uncorrelated under the model, so this
 * estimates what a token tells of a weight; 1/2 sum F_i (w_i - w0_i)^2 is to second order the divergence
 * KL(p_w0 || p_w) a token (Kirkpatrick et al. 2017, arXiv:1612.00796; Martens 2020, arXiv:1412.1193).
 *
 * @param weights leaves of the model that ask for no gradient, by name
 * @param batches one block of text each, the same ones in every process
 */
export async function estimateFisher(
  model: CausalModel,
  weights: ReadonlyMap<string, Tensor>,
  batches: Iterable<Batch>,
  options: FisherOptions,
): Promise<Fisher> {
  const sums = new Map<Tensor, Tensor>();
  for (const weight of weights.values())
    sums.set(weight, keep(zeros([...weight.shape], { dtype: "float32", device: weight.device })));
  const { asBase = (body) => body(), ranks } = options;
  const wasTraining = model.training;
  let [blocks, tokens] = [0, 0];
  model.eval();
  try {
    let at = 0;
    for (const batch of batches) {
      if (ranks !== undefined && at++ % ranks.size !== ranks.rank) continue;
      asBase(() => scope(() => new OneBlock(model, sums, batch, options).run()));
      tokens += labelled(batch);
      await options.onBlock?.(++blocks);
    }
  } finally {
    model.train(wasTraining);
  }
  if (ranks !== undefined) {
    [blocks, tokens] = (await ranks.sum([blocks, tokens])) as [number, number];
    for (const sum of sums.values()) await ranks.add(sum);
  }
  noGrad(() => sums.forEach((sum) => void sum.div_(tokens)));
  const values = new Map([...weights].map(([name, weight]) => [name, sums.get(weight) as Tensor]));
  return { values, blocks, tokens };
}

/** Positions whose next token has a label. */
function labelled({ labels, batch, length }: Batch): number {
  let count = 0;
  for (let row = 0; row < batch; row++)
    for (let at = 1; at < length; at++) if (labels[row * length + at] !== -100) count++;
  return count;
}

/** Squares of one block's gradients, added to the sums. */
class OneBlock {
  readonly #outside: Tensor[];

  constructor(
    readonly model: CausalModel,
    readonly sums: ReadonlyMap<Tensor, Tensor>,
    readonly batch: Batch,
    readonly options: FisherOptions,
  ) {
    const inside = new Set(model.layers.flatMap((layer) => layer.parameters()));
    this.#outside = [...sums.keys()].filter((weight) => !inside.has(weight));
  }

  run(): void {
    const { model, batch } = this;
    const inputs: Tensor[] = [];
    const hidden = this.#under(() => lastHidden(model, batch, (input) => inputs.push(input) > 0));
    const positions = positionsOf(model, batch, inputs[0] as Tensor);
    const top = hidden.detach().requiresGrad_();
    this.#asking(this.#outside, () => {
      backward(this.#under(() => this.options.lossOf(top, batch)));
      let gradient = top.grad as Tensor;
      for (const [index, layer] of [...model.layers.entries()].reverse())
        gradient = this.#through(layer, inputs[index] as Tensor, positions, gradient);
      const again = this.#under(() => model.embed(idsOf(batch, (model.parameters()[0] as Tensor).device)));
      if (again.requiresGrad) backward(again, gradient);
      this.#addSquares(this.#outside);
    });
  }

  /** The gradient of a layer's input from that of its output; its own weights' gradients are squared and forgotten. */
  #through(
    layer: CausalModel["layers"][number],
    input: Tensor,
    positions: unknown,
    gradient: Tensor,
  ): Tensor {
    const own = layer.parameters().filter((weight) => this.sums.has(weight));
    return scope(() =>
      this.#asking(own, () => {
        const leaf = input.detach().requiresGrad_();
        backward(
          this.#under(() => layer.forward(leaf, positions as never)),
          gradient,
        );
        this.#addSquares(own);
        return leaf.grad as Tensor;
      }),
    );
  }

  #addSquares(weights: readonly Tensor[]): void {
    noGrad(() => {
      for (const weight of weights) {
        const { grad } = weight;
        if (grad === undefined) continue;
        scope(() => void (this.sums.get(weight) as Tensor).add_(grad.float().square()));
        weight.grad = undefined;
      }
    });
  }

  #asking<T>(weights: readonly Tensor[], body: () => T): T {
    for (const weight of weights) weight.requiresGrad_();
    try {
      return body();
    } finally {
      for (const weight of weights) {
        weight.grad = undefined;
        weight.requiresGrad_(false);
      }
    }
  }

  #under<T>(body: () => T): T {
    const [first] = this.sums.keys();
    return autocast(this.options.compute, body, first?.device);
  }
}
