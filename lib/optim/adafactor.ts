// Adafactor (Shazeer and Stern 2018, arXiv:1804.04235) as transformers' TrainingArguments set it with optim: adafactor:
// the rate is the schedule's (relative_step=False), not scaled by the parameter (scale_parameter=False), no momentum.

import type { DType, Tensor } from "../torch/index.js";
import { bytesPerElement, op, scope } from "../torch/index.js";
import type { OptimizerKind, StateForms, TensorForm } from "./optimizer.js";
import type { TrainedParameters } from "./parameters.js";
import { type GroupSettings, StatefulOptimizer, type UpdatedParameter } from "./stateful.js";

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
const EPSILON = 1e-30;

/** What it computes in: float32, or the parameter's float64. */
const wide = (dtype: DType): DType => (dtype === "float64" ? dtype : "float32");

/** A matrix has a mean of squares for each row and column, anything else one for each element. */
function forms({ shape, dtype: own }: TensorForm): StateForms {
  const dtype = wide(own);
  const step: TensorForm = { shape: [], dtype: "float32", device: "cpu" }; // read at every step: not from a GPU
  if (shape.length < 2) return { step, exp_avg_sq: { shape, dtype } };
  const before = shape.slice(0, -2);
  return {
    step,
    exp_avg_sq_row: { shape: shape.slice(0, -1), dtype },
    exp_avg_sq_col: { shape: [...before, shape.at(-1) as number], dtype },
  };
}

/** The squares and then the update, one at a time; beside them a narrow parameter's gradient and weights, widened. */
function working({ shape, dtype }: TensorForm): number {
  const elements = shape.reduce((a, b) => a * b, 1);
  return elements * bytesPerElement(wide(dtype)) * (wide(dtype) === dtype ? 1 : 3);
}

/** The optimizer and its state, which for a matrix is a row and a column where AdamW has two matrices. */
export class Adafactor extends StatefulOptimizer {
  readonly #clipThreshold: number;
  readonly #decayRate: number;

  constructor(parameters: TrainedParameters, options: AdafactorOptions = {}) {
    super(parameters, options.learningRate, forms, options.weightDecay);
    this.#clipThreshold = options.clipThreshold ?? 1;
    this.#decayRate = options.decayRate ?? -0.8;
  }

  /** One parameter after the other, as transformers does it. */
  protected update(parts: readonly UpdatedParameter[], group: GroupSettings): void {
    for (const part of parts) scope(() => this.#updateOne(part, group));
  }

  #updateOne(
    { parameter, gradient, state }: UpdatedParameter,
    { learningRate, weightDecay }: GroupSettings,
  ): void {
    const dtype = wide(parameter.dtype);
    const narrow = parameter.dtype !== dtype;
    const grad = gradient.to(dtype);
    const step = Number((state["step"] as Tensor).add_(1).item());
    const update = scaled(grad, state, 1 - step ** this.#decayRate);
    const excess = rootMeanSquare(update).div(this.#clipThreshold).clamp(1);
    update.div_(excess).mul_(learningRate);
    const weights = narrow ? parameter.to(dtype) : parameter;
    if (weightDecay !== 0) weights.add_(weights, { alpha: -weightDecay * learningRate });
    weights.sub_(update);
    if (narrow) parameter.copy_(weights);
  }
}

const rootMeanSquare = (x: Tensor): Tensor => vectorNorm(x, 2).div(Math.sqrt(x.numel()));

/** The gradient over the root of its squares' running mean, whose `kept` share it keeps. */
function scaled(grad: Tensor, state: UpdatedParameter["state"], kept: number): Tensor {
  const squares = grad.pow(2).add_(EPSILON);
  const follow = (entry: string, now: Tensor): Tensor =>
    (state[entry] as Tensor).mul_(kept).add_(now, { alpha: 1 - kept });
  if (grad.ndim < 2) return follow("exp_avg_sq", squares).rsqrt().mul_(grad);
  const rows = follow("exp_avg_sq_row", squares.mean([-1]));
  const columns = follow("exp_avg_sq_col", squares.mean([-2]));
  squares.dispose();
  const byRow = rows
    .div(rows.mean([-1], { keepdim: true }))
    .rsqrt()
    .unsqueeze(-1);
  return byRow.mul(columns.unsqueeze(-2).rsqrt()).mul_(grad);
}

/** `optim: adafactor`. */
export const adafactor: OptimizerKind = {
  state: forms,
  working,
  make: (groups, { learningRate }) => new Adafactor(groups, { learningRate }),
};
