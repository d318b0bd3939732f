// Training single attention heads: which slices of which matrices are theirs, and the method that holds the rest of
// those matrices still. Which parameters ask for gradients at all: see lib/peft.
import { UserError } from "../../errors.js";
import type { HeadSizes } from "../../models/index.js";
import type { Module } from "../../nn/index.js";
import { keep, noGrad, scope, type Tensor } from "../../torch/index.js";
import type { TrainingMethod } from "../training-method.js";

/** What is trained of one parameter: ranges [from, to) along a dimension. */
export interface Slices {
  readonly dimension: 0 | 1;
  /** Ascending, apart from each other. */
  readonly ranges: readonly (readonly [from: number, to: number])[];
}

/**
 * The slices of chosen heads, by parameter name. Of head h with d = head_dim: rows h d .. (h + 1) d of q_proj and the
 * same columns of o_proj. Rows of k_proj and v_proj belong to a key-value head, which serves a group of
 * heads / kvHeads query heads: they are trained where the whole group is chosen. The norms of queries and keys serve
 * every head and are not trained.
 * @throws UserError for a layer or head that the model does not have
 */
export function headSlices(
  sizes: HeadSizes,
  chosen: Readonly<Record<number, readonly number[]>>,
): Map<string, Slices> {
  const { num_hidden_layers: layers, num_attention_heads: heads, num_key_value_heads: kvHeads } = sizes;
  const group = heads / kvHeads;
  const found = new Map<string, Slices>();
  for (const [name, wanted] of Object.entries(chosen)) {
    const layer = Number(name);
    const fail = (what: string, count: number): never => {
      throw new UserError(
        `freeze_trainable_heads: there is no ${what}; the model has ${count}, from 0 to ${count - 1}`,
      );
    };
    if (layer >= layers) fail(`layer ${layer}`, layers);
    const beyond = wanted.find((head) => head >= heads);
    if (beyond !== undefined) fail(`head ${beyond} in layer ${layer}`, heads);
    const mine = new Set(wanted);
    const whole = Array.from({ length: kvHeads }, (_, kv) => kv).filter((kv) =>
      Array.from({ length: group }, (_, i) => kv * group + i).every((head) => mine.has(head)),
    );
    const add = (part: string, dimension: 0 | 1, numbers: readonly number[]): void => {
      if (numbers.length === 0) return;
      const ranges = numbers.map((n) => [n * sizes.head_dim, (n + 1) * sizes.head_dim] as const);
      found.set(`model.layers.${layer}.self_attn.${part}`, { dimension, ranges });
    };
    for (const [projection, numbers] of [
      ["q_proj", wanted],
      ["k_proj", whole],
      ["v_proj", whole],
    ] as const) {
      add(`${projection}.weight`, 0, numbers);
      if (sizes.attention_bias) add(`${projection}.bias`, 0, numbers);
    }
    add("o_proj.weight", 1, wanted);
  }
  return found;
}

interface Held {
  readonly parameter: Tensor;
  readonly dimension: 0 | 1;
  readonly from: number;
  readonly length: number;
  /** What the held part was when training began: a step must not change it. */
  readonly values: Tensor;
}

/**
 * Holds all but the given slices of their parameters still: gradients there are zero before clipping, and after the
 * optimizer's step the values are what they were, whatever decay or momentum did. Costs a copy of what is held; the
 * optimizer's state of such a parameter is whole.
 */
export class HeldSlices implements TrainingMethod {
  readonly #held: readonly Held[];

  constructor(model: Module, slices: ReadonlyMap<string, Slices>) {
    const parameters = model.stateDict();
    this.#held = [...slices].flatMap(([name, { dimension, ranges }]) => {
      const parameter = parameters.get(name) as Tensor;
      return gaps(ranges, parameter.size(dimension)).map(([from, to]) => {
        const part = () =>
          parameter
            .detach()
            .narrow(dimension, from, to - from)
            .clone();
        const values = keep(scope(() => noGrad(part)));
        return { parameter, dimension, from, length: to - from, values };
      });
    });
  }

  /** Zeroes the gradients of what is held. */
  maskGradients(): void {
    this.#each(({ parameter: { grad }, dimension, from, length }) => {
      grad?.narrow(dimension, from, length).zero_();
    });
  }

  /** Puts back what weight decay has moved. */
  afterStep(): void {
    this.#each(({ parameter, dimension, from, length, values }) => {
      parameter.detach().narrow(dimension, from, length).copy_(values);
    });
  }

  #each(body: (held: Held) => void): void {
    scope(() => noGrad(() => this.#held.forEach(body)));
  }
}

/** What ranges leave out of 0 .. size. */
function gaps(ranges: Slices["ranges"], size: number): [from: number, to: number][] {
  const found: [number, number][] = [];
  let at = 0;
  for (const [from, to] of [...ranges, [size, size] as const]) {
    if (from > at) found.push([at, from]);
    at = to;
  }
  return found;
}
