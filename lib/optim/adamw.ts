// AdamW (Loshchilov and Hutter 2017, arXiv:1711.05101) through libtorch's fused kernel: one call a group.

import type { Tensor } from "../torch/index.js";
import { op } from "../torch/index.js";
import type { OptimizerKind, StateForms, TensorForm } from "./optimizer.js";
import type { TrainedParameters } from "./parameters.js";
import { type GroupSettings, StatefulOptimizer, type UpdatedParameter } from "./stateful.js";

/** Settings of {@link AdamW}; torch.optim.AdamW's defaults but for the rate, which is asked for. */
export interface AdamWOptions {
  /** Of the groups that name no rate. */
  learningRate?: number;
  /** Of the groups that name no decay, a flat list among them. Default 0.01. */
  weightDecay?: number;
  /** Decay of the running mean of gradients. Default 0.9. */
  beta1?: number;
  /** Decay of the running mean of their squares. Default 0.999. */
  beta2?: number;
  /** Added to the root of the squares' mean. Default 1e-8. */
  eps?: number;
}

/** A GradScaler's two 0-dimensional tensors: with them the kernel unscales, and skips where an infinity was found. */
export interface Scaling {
  /** What the loss was multiplied by, float32. */
  gradScale: Tensor;
  /** 1 where some gradient is infinite or NaN, else 0; float32. */
  foundInf: Tensor;
}

/** A count of steps and two moments, which are of the parameter's dtype. */
function forms({ shape, dtype }: TensorForm): StateForms {
  return {
    step: { shape: [], dtype: "float32" },
    exp_avg: { shape, dtype },
    exp_avg_sq: { shape, dtype },
  };
}

const fused =
  op<
    (
      self: Tensor[],
      grads: Tensor[],
      expAvgs: Tensor[],
      expAvgSqs: Tensor[],
      maxExpAvgSqs: Tensor[],
      stateSteps: Tensor[],
      options: {
        lr: number;
        beta1: number;
        beta2: number;
        weight_decay: number;
        eps: number;
        amsgrad: boolean;
        maximize: boolean;
        grad_scale?: Tensor;
        found_inf?: Tensor;
      },
    ) => void
  >("aten::_fused_adamw_");
const foreachAdd = op<(self: Tensor[], scalar: number) => void>("aten::_foreach_add_.Scalar");
const foreachSub = op<(self: Tensor[], other: Tensor[]) => void>("aten::_foreach_sub_.List");

/**
 * The optimizer and its state: a count of steps and two moments for each parameter, made at the first step
 * (`<parameter>.step`, `.exp_avg`, `.exp_avg_sq`). A step takes a {@link Scaling} where losses were scaled.
 * @example new AdamW(model.parameters(), { learningRate: 1e-4 });
 */
export class AdamW extends StatefulOptimizer<Scaling> {
  private readonly beta1: number;
  private readonly beta2: number;
  private readonly eps: number;

  constructor(parameters: TrainedParameters, options: AdamWOptions = {}) {
    super(parameters, options.learningRate, forms, options.weightDecay ?? 0.01);
    this.beta1 = options.beta1 ?? 0.9;
    this.beta2 = options.beta2 ?? 0.999;
    this.eps = options.eps ?? 1e-8;
  }

  /** One call of the kernel. */
  protected update(parts: readonly UpdatedParameter[], group: GroupSettings, scaling?: Scaling): void {
    const entries = (name: string) => parts.map(({ state }) => state[name] as Tensor);
    const steps = entries("step");
    foreachAdd(steps, 1);
    fused(
      parts.map(({ parameter }) => parameter),
      parts.map(({ gradient }) => gradient),
      entries("exp_avg"),
      entries("exp_avg_sq"),
      [],
      steps,
      {
        lr: group.learningRate,
        beta1: this.beta1,
        beta2: this.beta2,
        weight_decay: group.weightDecay,
        eps: this.eps,
        amsgrad: false,
        maximize: false,
        ...(scaling && { grad_scale: scaling.gradScale, found_inf: scaling.foundInf }),
      },
    );
    // a step that the kernel skipped does not count
    if (scaling !== undefined)
      foreachSub(
        steps,
        steps.map(() => scaling.foundInf),
      );
  }
}

/** `optim: adamw_torch` and its like. */
export const adamw: OptimizerKind = {
  isElementwise: true,
  state: forms,
  make: (groups, settings) => new AdamW(groups, settings),
};
