// AdamW (Loshchilov and Hutter 2017, arXiv:1711.05101) through libtorch's fused kernel: one call a group.

import type { Tensor } from "../torch/index.js";
import { keep, noGrad, op, scope, zeros } from "../torch/index.js";
import type { ParameterGroup } from "./groups.js";

/** Settings of {@link AdamW}; torch.optim.AdamW's defaults but for the rate, which is asked for. */
export interface AdamWOptions {
  /** Of the groups that name no rate. */
  learningRate: number;
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

interface State {
  step: Tensor; // float32, 0-dimensional
  expAvg: Tensor;
  expAvgSq: Tensor;
}

interface Update {
  parameters: Tensor[];
  gradients: Tensor[];
  states: State[];
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

/** The optimizer and its state, which it owns: two moments and a step count for each parameter, made at the first step. */
export class AdamW {
  /** Of every group without its own rate. */
  learningRate: number;
  /** The parameters that it updates, in groups. */
  readonly groups: readonly ParameterGroup[];
  private readonly beta1: number;
  private readonly beta2: number;
  private readonly eps: number;
  private readonly states = new Map<string, State>();

  constructor(groups: readonly ParameterGroup[], options: AdamWOptions) {
    this.groups = groups;
    this.learningRate = options.learningRate;
    this.beta1 = options.beta1 ?? 0.9;
    this.beta2 = options.beta2 ?? 0.999;
    this.eps = options.eps ?? 1e-8;
  }

  /** Updates every parameter that has a gradient, in place. */
  step(scaling?: Scaling): void {
    for (const group of this.groups) {
      scope(() =>
        noGrad(() => {
          for (const one of this.alike(group)) this.update(one, group, scaling);
        }),
      );
    }
  }

  /** What has a gradient, by dtype and device: on a GPU the kernel takes one of each at a time. */
  private alike(group: ParameterGroup): Iterable<Update> {
    const found = new Map<string, Update>();
    for (const [index, parameter] of group.parameters.entries()) {
      const gradient = parameter.grad;
      if (gradient === undefined) continue;
      const kind = `${parameter.dtype} ${parameter.device}`;
      const one = found.get(kind) ?? { parameters: [], gradients: [], states: [] };
      found.set(kind, one);
      one.parameters.push(parameter);
      one.gradients.push(gradient);
      one.states.push(this.stateOf(group.names[index] as string, parameter));
    }
    return found.values();
  }

  private update(
    { parameters, gradients, states }: Update,
    group: ParameterGroup,
    scaling: Scaling | undefined,
  ): void {
    const steps = states.map((state) => state.step);
    foreachAdd(steps, 1);
    fused(
      parameters,
      gradients,
      states.map((state) => state.expAvg),
      states.map((state) => state.expAvgSq),
      [],
      steps,
      {
        lr: group.learningRate ?? this.learningRate,
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

  private stateOf(name: string, parameter: Tensor): State {
    let state = this.states.get(name);
    if (state === undefined) {
      const { dtype, device } = parameter;
      const shape = [...parameter.shape];
      state = {
        step: keep(zeros([], { dtype: "float32", device })),
        expAvg: keep(zeros(shape, { dtype, device })),
        expAvgSq: keep(zeros(shape, { dtype, device })),
      };
      this.states.set(name, state);
    }
    return state;
  }

  /** Forgets every gradient. */
  zeroGrad(): void {
    for (const group of this.groups) for (const parameter of group.parameters) parameter.grad = undefined;
  }

  /** `<parameter>.step`, `.exp_avg`, `.exp_avg_sq`: the state itself, not copies. */
  stateDict(): Map<string, Tensor> {
    const entries = new Map<string, Tensor>();
    for (const [name, state] of this.states) {
      entries.set(`${name}.step`, state.step);
      entries.set(`${name}.exp_avg`, state.expAvg);
      entries.set(`${name}.exp_avg_sq`, state.expAvgSq);
    }
    return entries;
  }

  /**
   * Takes over copies of a saved state. Throws RangeError naming the parameter where the state does not fit:
   * one that is unknown here, incomplete, or of another shape or dtype.
   */
  loadStateDict(saved: ReadonlyMap<string, Tensor>): void {
    const parameters = new Map<string, Tensor>();
    for (const group of this.groups) {
      for (const [i, name] of group.names.entries()) parameters.set(name, group.parameters[i] as Tensor);
    }
    const names = new Set([...saved.keys()].map((key) => key.replace(/\.(step|exp_avg|exp_avg_sq)$/, "")));
    for (const name of names)
      if (!parameters.has(name)) throw new RangeError(`optimizer state of "${name}", which is not trained`);
    this.dispose();
    for (const name of names) {
      const parameter = parameters.get(name) as Tensor;
      const fresh = this.stateOf(name, parameter);
      for (const [suffix, into] of [
        ["step", fresh.step],
        ["exp_avg", fresh.expAvg],
        ["exp_avg_sq", fresh.expAvgSq],
      ] as const) {
        const from = saved.get(`${name}.${suffix}`);
        if (from === undefined) throw new RangeError(`optimizer state of "${name}" lacks ${suffix}`);
        if (from.shape.join() !== into.shape.join() || from.dtype !== into.dtype) {
          throw new RangeError(
            `optimizer state "${name}.${suffix}" is ${from.dtype} [${from.shape}], not ${into.dtype} [${into.shape}]`,
          );
        }
        noGrad(() => into.copy_(from));
      }
    }
  }

  /** Frees the state. */
  dispose(): void {
    for (const tensor of this.stateDict().values()) tensor.dispose();
    this.states.clear();
  }
}
