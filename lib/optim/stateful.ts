// What optimizers share: their state as named tensors by parameter, made at the first step by its forms, saved and
// loaded; and a step that hands over parameters by dtype and device. Which update is made is a subclass's.

import type { DType, Tensor } from "../torch/index.js";
import { isHost, keep, noGrad, scope, scratchZeros, zeros } from "../torch/index.js";
import type { ParameterGroup, Whole } from "./groups.js";
import type { Optimizer, ParameterForm, StateForms } from "./optimizer.js";
import { parameterGroups, type TrainedParameters } from "./parameters.js";

/** A parameter that has a gradient, and what is kept for it. */
export interface UpdatedParameter {
  /** Of the parameter, as in its group. */
  readonly name: string;
  /** Updated in place. */
  readonly parameter: Tensor;
  /** Of the parameter's shape; read only. */
  readonly gradient: Tensor;
  /** By the entry's name: zeros at first, changed in place. */
  readonly state: Readonly<Record<string, Tensor>>;
  /** What the parameter is a part of; left out: it is whole. */
  readonly whole?: Whole;
}

/** What a group says of its parameters at this step. */
export interface GroupSettings {
  /** The group's rate, or the optimizer's. */
  readonly learningRate: number;
  /** The group's decay. */
  readonly weightDecay: number;
}

/** Base of an optimizer, which owns its state. A subclass has `update`; `Extra` is what its step takes beside. */
export abstract class StatefulOptimizer<Extra = undefined> implements Optimizer {
  /** Of every group without its own rate. */
  learningRate: number;
  /** The parameters that it updates, in groups. */
  readonly groups: readonly ParameterGroup[];
  readonly #forms: (parameter: ParameterForm) => StateForms;
  readonly #states = new Map<string, Readonly<Record<string, Tensor>>>();

  /**
   * @param parameters a flat list, named ones, or groups
   * @param learningRate of groups without their own; undefined where each has one
   * @param forms what is kept for a parameter; each tensor begins as zeros
   * @param weightDecay of groups without their own, a flat list among them
   * @throws ArgumentError for what would train nothing; see parameters.ts
   */
  constructor(
    parameters: TrainedParameters,
    learningRate: number | undefined,
    forms: (parameter: ParameterForm) => StateForms = () => ({}),
    weightDecay = 0,
  ) {
    this.groups = parameterGroups(parameters, { learningRate, weightDecay }, this.constructor.name);
    this.learningRate = learningRate ?? 0;
    this.#forms = forms;
  }

  /** Updates parameters of one group, all of one dtype and on one device, in place; without gradients, in a scope. */
  protected abstract update(parts: readonly UpdatedParameter[], group: GroupSettings, extra?: Extra): void;

  /** Updates every parameter that has a gradient, in place. */
  step(extra?: Extra): void {
    scope(() =>
      noGrad(() => {
        for (const [parts, settings] of this.due()) scope(() => this.update(parts, settings, extra));
      }),
    );
  }

  /** What a step updates, group by group, of one dtype and device each time. */
  protected *due(): Generator<readonly [readonly UpdatedParameter[], GroupSettings]> {
    for (const group of this.groups) {
      const learningRate = group.learningRate ?? this.learningRate;
      const { weightDecay } = group;
      for (const parts of this.#alike(group)) yield [parts, { learningRate, weightDecay }];
    }
  }

  /** What has a gradient, by dtype and device: on a GPU a fused kernel takes one of each at a time. */
  #alike(group: ParameterGroup): Iterable<UpdatedParameter[]> {
    const found = new Map<string, UpdatedParameter[]>();
    for (const [index, parameter] of group.parameters.entries()) {
      const gradient = parameter.grad;
      if (gradient === undefined) continue;
      const name = group.names[index] as string;
      const whole = group.wholes?.[index];
      const kind = `${parameter.dtype} ${parameter.device}`;
      const parts = found.get(kind) ?? [];
      found.set(kind, parts);
      const state = this.#stateOf(name, parameter, whole);
      parts.push({ name, parameter, gradient, state, ...(whole !== undefined && { whole }) });
    }
    return found.values();
  }

  #stateOf(name: string, parameter: Tensor, whole: Whole | undefined): Readonly<Record<string, Tensor>> {
    let state = this.#states.get(name);
    if (state === undefined) {
      const made: Record<string, Tensor> = {};
      const { shape, dtype, device: own } = parameter;
      const wholeShape = whole?.shape;
      const form = { name, shape, dtype, device: own, ...(wholeShape !== undefined && { wholeShape }) };
      for (const [entry, kept] of Object.entries(this.#forms(form))) {
        const { device = own, pagesIn } = kept;
        // pages are the processor's: a state on another device is a tensor there
        const isPaged = pagesIn !== undefined && isHost(device);
        made[entry] = keep(
          isPaged
            ? scratchZeros(kept.shape, kept.dtype, pagesIn)
            : zeros([...kept.shape], { dtype: kept.dtype, device }),
        );
      }
      state = made;
      this.#states.set(name, state);
    }
    return state;
  }

  /** Forgets every gradient. */
  zeroGrad(): void {
    for (const group of this.groups) for (const parameter of group.parameters) parameter.grad = undefined;
  }

  /** `<parameter>.<entry>`: the state itself, not copies. */
  stateDict(): Map<string, Tensor> {
    const entries = new Map<string, Tensor>();
    for (const [name, state] of this.#states)
      for (const [entry, tensor] of Object.entries(state)) entries.set(`${name}.${entry}`, tensor);
    return entries;
  }

  /**
   * Takes over copies of a saved state. Throws RangeError naming the parameter where the state does not fit:
   * one that is unknown here, incomplete, of another optimizer, or of another shape or dtype.
   */
  loadStateDict(saved: ReadonlyMap<string, Tensor>): void {
    const parameters = new Map<string, readonly [Tensor, Whole | undefined]>();
    for (const group of this.groups) {
      for (const [i, name] of group.names.entries())
        parameters.set(name, [group.parameters[i] as Tensor, group.wholes?.[i]]);
    }
    const names = new Set([...saved.keys()].map((key) => key.slice(0, key.lastIndexOf("."))));
    for (const name of names)
      if (!parameters.has(name)) throw new RangeError(`optimizer state of "${name}", which is not trained`);
    this.dispose();
    let taken = 0;
    for (const name of names) {
      const own = parameters.get(name) as readonly [Tensor, Whole | undefined];
      for (const [entry, into] of Object.entries(this.#stateOf(name, ...own))) {
        const from = saved.get(`${name}.${entry}`);
        if (from === undefined) throw new RangeError(`optimizer state of "${name}" lacks ${entry}`);
        checkForm(`${name}.${entry}`, from, into);
        noGrad(() => into.copy_(from));
        taken++;
      }
    }
    if (taken < saved.size)
      throw new RangeError(`optimizer state "${strange(saved, this)}", which this optimizer does not keep`);
  }

  /** Frees the state. */
  dispose(): void {
    for (const tensor of this.stateDict().values()) tensor.dispose();
    this.#states.clear();
  }
}

function checkForm(name: string, from: { shape: readonly number[]; dtype: DType }, into: Tensor): void {
  if (from.shape.join() === into.shape.join() && from.dtype === into.dtype) return;
  throw new RangeError(
    `optimizer state "${name}" is ${from.dtype} [${from.shape}], not ${into.dtype} [${into.shape}]`,
  );
}

/** The first saved name that this optimizer has no place for. */
function strange(saved: ReadonlyMap<string, Tensor>, optimizer: Optimizer): string {
  const known = optimizer.stateDict();
  return [...saved.keys()].find((name) => !known.has(name)) ?? "";
}
