// Adafactor (Shazeer and Stern 2018, arXiv:1804.04235) as transformers' TrainingArguments set it with optim: adafactor:
// the rate is the schedule's (relative_step=False), not scaled by the parameter (scale_parameter=False), no momentum.
// Over parts of parameters: parts.ts.

import type { DType, Tensor } from "../../torch/index.js";
import { bytesPerElement, op, scope } from "../../torch/index.js";
import type { ParameterForm, StateForms, TensorForm } from "../optimizer.js";
import type { TrainedParameters } from "../parameters.js";
import { type GroupSettings, StatefulOptimizer, type UpdatedParameter } from "../stateful.js";

/** Settings of {@link Adafactor}; transformers' defaults but for the rate, which is asked for. */
export interface AdafactorOptions {
  /** Of the groups that name no rate. */
  learningRate?: number;
  /** Of the groups that name no decay, a flat list among them. Default 0. */
  weightDecay?: number;
  /** The largest root mean square of an update, before the rate. Default 1. */
  clipThreshold?: number;
  /** The exponent by which older squares count less: a step's share is step ** decayRate. Default -0.8. */
  decayRate?: number;
}

const vectorNorm = op<(self: Tensor, ord: number) => Tensor>("aten::linalg_vector_norm");

/** Added to squares of gradients. */
export const EPSILON = 1e-30;

/** What it computes in: float32, or the parameter's float64. */
export const wide = (dtype: DType): DType => (dtype === "float64" ? dtype : "float32");

/** A matrix has a mean of squares for each row and column, anything else one for each element. */
export function adafactorForms({
  shape: own,
  dtype: stored,
  wholeShape: shape = own,
}: ParameterForm): StateForms {
  const dtype = wide(stored);
  const step: TensorForm = { shape: [], dtype: "float32", device: "cpu" }; // read at every step: not from a GPU
  if (shape.length < 2) return { step, exp_avg_sq: { shape: own, dtype } };
  const before = shape.slice(0, -2);
  return {
    step,
    exp_avg_sq_row: { shape: shape.slice(0, -1), dtype },
    exp_avg_sq_col: { shape: [...before, shape.at(-1) as number], dtype },
  };
}

/** The squares and then the update, one at a time; beside them a narrow parameter's gradient and weights, widened. */
export function adafactorWorking({ shape, dtype }: TensorForm): number {
  const elements = shape.reduce((a, b) => a * b, 1);
  return elements * bytesPerElement(wide(dtype)) * (wide(dtype) === dtype ? 1 : 3);
}

/** The optimizer and its state, which for a matrix is a row and a column where AdamW has two matrices. */
export class Adafactor extends StatefulOptimizer {
  /** Of a part the means are of the whole rows and columns. */
  readonly shared = ["exp_avg_sq_row", "exp_avg_sq_col"] as const;
  readonly #clipThreshold: number;
  readonly #decayRate: number;

  constructor(parameters: TrainedParameters, options: AdafactorOptions = {}) {
    super(parameters, options.learningRate, adafactorForms, options.weightDecay);
    this.#clipThreshold = options.clipThreshold ?? 1;
    this.#decayRate = options.decayRate ?? -0.8;
  }

  /** One parameter after the other, as transformers does it. */
  protected update(parts: readonly UpdatedParameter[], group: GroupSettings): void {
    for (const part of parts)
      scope(() => {
        const { parameter, gradient, state } = part;
        const update = scaled(gradient.to(wide(parameter.dtype)), state, this.countStep(part));
        this.apply(part, update, rootMeanSquare(update), group);
      });
  }

  /** Counts a step of a parameter; gives the share that its running means keep of what they are. */
  protected countStep({ state }: UpdatedParameter): number {
    const step = Number((state["step"] as Tensor).add_(1).item());
    return 1 - step ** this.#decayRate;
  }

  /** Takes an update, which it overwrites, from the weights, made smaller where its root mean square is above the threshold. */
  protected apply(
    { parameter }: UpdatedParameter,
    update: Tensor,
    meanSquareRoot: Tensor,
    { learningRate, weightDecay }: GroupSettings,
  ): void {
    const narrow = parameter.dtype !== update.dtype;
    update.div_(meanSquareRoot.div(this.#clipThreshold).clamp(1)).mul_(learningRate);
    const weights = narrow ? parameter.to(update.dtype) : parameter;
    if (weightDecay !== 0) weights.add_(weights, { alpha: -weightDecay * learningRate });
    weights.sub_(update);
    if (narrow) parameter.copy_(weights);
  }
}

const rootMeanSquare = (x: Tensor): Tensor => vectorNorm(x, 2).div(Math.sqrt(x.numel()));

/** Moves an entry of the state towards what it is now, of which it keeps a share. */
export function follow(entry: Tensor, now: Tensor, kept: number): Tensor {
  return entry.mul_(kept).add_(now, { alpha: 1 - kept });
}

/** The gradient over the root of its squares' running mean, whose `kept` share it keeps. */
function scaled(grad: Tensor, state: UpdatedParameter["state"], kept: number): Tensor {
  const squares = grad.pow(2).add_(EPSILON);
  const after = (entry: string, now: Tensor): Tensor => follow(state[entry] as Tensor, now, kept);
  if (grad.ndim < 2) return after("exp_avg_sq", squares).rsqrt().mul_(grad);
  const rows = after("exp_avg_sq_row", squares.mean([-1]));
  const columns = after("exp_avg_sq_col", squares.mean([-2]));
  squares.dispose();
  return rowFactors(rows).mul(columns.unsqueeze(-2).rsqrt()).mul_(grad);
}

/** What a row's elements are multiplied by: [..., rows, 1]. */
export function rowFactors(rows: Tensor): Tensor {
  return rows
    .div(rows.mean([-1], { keepdim: true }))
    .rsqrt()
    .unsqueeze(-1);
}
