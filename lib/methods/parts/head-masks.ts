// Training single attention heads: which slices of which matrices are theirs, and the method that holds the rest of
// those matrices still. Which parameters ask for gradients at all: see lib/peft.
import { UserError } from "../../errors.js";
import type { HeadSizes } from "../../models/index.js";
import type { Module } from "../../nn/index.js";
import { fromBytes, keep, noGrad, op, scope, type Tensor } from "../../torch/index.js";
import type { Division, TrainingMethod } from "../training-method.js";

const maskedScatter = op<(self: Tensor, mask: Tensor, source: Tensor) => Tensor>("aten::masked_scatter_");

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

/** Elements that a step must not change. */
interface Held {
  /** Zeroes their gradients. */
  clear(): void;
  /** Puts back their values, which are those of when this was made. */
  restore(): void;
}

/**
 * Holds all but the given slices of their parameters still: gradients there are zero before clipping, and after the
 * optimizer's step the values are what they were, whatever decay or momentum did. Costs a copy of what is held; the
 * optimizer's state of such a parameter is whole.
 */
export class HeldSlices implements TrainingMethod {
  readonly #parameters: ReadonlyMap<string, Tensor>;
  readonly #slices: ReadonlyMap<string, Slices>;
  #held: readonly Held[];

  /** @param isDividedLater nothing is copied before {@link HeldSlices.divide} */
  constructor(model: Module, slices: ReadonlyMap<string, Slices>, isDividedLater = false) {
    this.#parameters = model.stateDict();
    this.#slices = slices;
    this.#held = isDividedLater ? [] : this.#each(heldRanges);
  }

  /** From now on holds what this process keeps of the parameters. */
  divide({ partOf }: Division): void {
    this.#held = this.#each((parameter, slices) => {
      const own = partOf(parameter);
      return own === undefined ? [] : [heldElements(own.part, own.from, parameter.shape, slices)];
    });
  }

  /** Zeroes the gradients of what is held. */
  maskGradients(): void {
    for (const held of this.#held) scope(() => noGrad(() => held.clear()));
  }

  /** Puts back what weight decay has moved. */
  afterStep(): void {
    for (const held of this.#held) scope(() => noGrad(() => held.restore()));
  }

  #each(made: (parameter: Tensor, slices: Slices) => Held[]): Held[] {
    return [...this.#slices].flatMap(([name, slices]) => made(this.#parameters.get(name) as Tensor, slices));
  }
}

/** What slices leave out of a parameter. */
function heldRanges(parameter: Tensor, { dimension, ranges }: Slices): Held[] {
  return gaps(ranges, parameter.size(dimension)).map(([from, to]) => {
    const within = (tensor: Tensor): Tensor => tensor.narrow(dimension, from, to - from);
    const values = kept(() => within(parameter.detach()).clone());
    return {
      clear() {
        const { grad } = parameter;
        if (grad !== undefined) within(grad).zero_();
      },
      restore: () => void within(parameter.detach()).copy_(values),
    };
  });
}

/** The same of a part of it, [length], that begins at element `from`. */
function heldElements(
  part: Tensor,
  from: number,
  shape: readonly number[],
  { dimension, ranges }: Slices,
): Held {
  const size = shape[dimension] as number;
  const inner = shape.slice(dimension + 1).reduce((product, one) => product * one, 1);
  const isHeld = new Uint8Array(size);
  for (const [first, end] of gaps(ranges, size)) isHeld.fill(1, first, end);
  const of = Uint8Array.from(
    { length: part.numel() },
    (_, at) => isHeld[Math.floor((from + at) / inner) % size] as number,
  );
  const mask = keep(fromBytes(of, [of.length], "bool"));
  const values = kept(() => part.detach().maskedSelect(mask));
  return {
    clear: () => void part.grad?.maskedFill_(mask, 0),
    restore: () => void maskedScatter(part.detach(), mask, values),
  };
}

const kept = (made: () => Tensor): Tensor => keep(scope(() => noGrad(made)));

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
