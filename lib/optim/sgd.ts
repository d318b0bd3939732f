// Stochastic gradient descent as torch.optim.SGD has it: weight decay is added to the gradient, momentum is optional.

import { UserError } from "../errors.js";
import type { Tensor } from "../torch/index.js";
import { op } from "../torch/index.js";
import type { OptimizerKind, StateForms, TensorForm } from "./optimizer.js";
import type { TrainedParameters } from "./parameters.js";
import { type GroupSettings, StatefulOptimizer, type UpdatedParameter } from "./stateful.js";

/** Settings of {@link SGD}; torch's defaults but for the rate, which is asked for. */
export interface SGDOptions {
  /** Of the groups that name no rate. */
  learningRate?: number;
  /** Of the groups that name no decay, a flat list among them. Default 0. */
  weightDecay?: number;
  /** What is kept of the last update's direction. Default 0: no state. */
  momentum?: number;
  /** Looks ahead along the momentum (Nesterov 1983). Default false. */
  nesterov?: boolean;
}

type Added<R> = (self: readonly Tensor[], other: readonly Tensor[], options: { alpha: number }) => R;
const foreachAdd = op<Added<Tensor[]>>("aten::_foreach_add.List");
const foreachAdd_ = op<Added<void>>("aten::_foreach_add_.List");
const foreachMul_ = op<(self: readonly Tensor[], scalar: number) => void>("aten::_foreach_mul_.Scalar");

const forms = ({ shape, dtype }: TensorForm, momentum: number): StateForms =>
  momentum === 0 ? {} : { momentum_buffer: { shape, dtype } };

/** Stochastic gradient descent; with momentum it keeps `<parameter>.momentum_buffer`. */
export class SGD extends StatefulOptimizer {
  readonly #momentum: number;
  readonly #nesterov: boolean;

  constructor(parameters: TrainedParameters, options: SGDOptions = {}) {
    const { momentum = 0, nesterov = false } = options;
    super(parameters, options.learningRate, (parameter) => forms(parameter, momentum), options.weightDecay);
    this.#momentum = momentum;
    this.#nesterov = nesterov;
  }

  /** In torch's order: decay, momentum, the step against the gradient. */
  protected update(parts: readonly UpdatedParameter[], { learningRate, weightDecay }: GroupSettings): void {
    const parameters = parts.map(({ parameter }) => parameter);
    let directions = parts.map(({ gradient }) => gradient);
    if (weightDecay !== 0) directions = foreachAdd(directions, parameters, { alpha: weightDecay });
    if (this.#momentum !== 0) {
      const buffers = parts.map(({ state }) => state["momentum_buffer"] as Tensor);
      foreachMul_(buffers, this.#momentum);
      foreachAdd_(buffers, directions, { alpha: 1 });
      directions = this.#nesterov ? foreachAdd(directions, buffers, { alpha: this.#momentum }) : buffers;
    }
    foreachAdd_(parameters, directions, { alpha: -learningRate });
  }
}

/** `optim: sgd`. */
export const sgd: OptimizerKind = {
  isElementwise: true,
  arguments: { momentum: 0, nesterov: false },
  check({ arguments: { momentum = 0, nesterov } }) {
    if (Number(momentum) < 0) throw new UserError(`optim_args: momentum is ${momentum}; it is at least 0`);
    if (nesterov === true && momentum === 0)
      throw new UserError("optim_args: nesterov=true needs a momentum, such as momentum=0.9");
  },
  state: (parameter, { arguments: { momentum } }) => forms(parameter, Number(momentum)),
  make: (groups, { learningRate, arguments: { momentum, nesterov } }) =>
    new SGD(groups, { learningRate, momentum: Number(momentum), nesterov: nesterov === true }),
};
