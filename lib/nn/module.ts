// A tree of parameters. Fields carry the checkpoint's names, so a parameter's path is its key in the file.
// Not here: computation (each layer writes its own forward) and files (qwen3/weights.ts).

import type { Device, DType } from "../torch/index.js";
import { holdsValues, keep, noGrad, scope, Tensor } from "../torch/index.js";

/** A field of some module that holds a parameter. */
export interface ParameterSlot {
  /** The parameter's key in a checkpoint: the path of the module and the field. */
  readonly name: string;
  /** The module whose field it is. */
  readonly owner: Module;
  /** The field's name in the owner, such as `weight`. */
  readonly field: string;
  /** The parameter itself. */
  readonly tensor: Tensor;
}

/** What {@link Module.loadStateDict} found no counterpart for. */
export interface LoadedKeys {
  /** Parameters that kept their values. */
  readonly missing: readonly string[];
  /** Values that were left aside. */
  readonly unexpected: readonly string[];
}

type Fields = Record<string, unknown>;

/**
 * Base of every layer. A public field that holds a Tensor is a parameter; one that holds a Module, or an array of
 * Modules, is a child. Order is the order of the fields. What is not a parameter (buffers, caches) goes into plain
 * objects that are neither.
 */
export abstract class Module {
  /**
   * Whether dropout drops; {@link Module.train} and {@link Module.eval} set it for a whole tree. Default
   * true.
   */
  training = true;
  /** Whether {@link Module.to} leaves the dtypes of the module's own tensors alone: codes, and what they are read with. */
  readonly keepsDTypes: boolean = false;

  /** Own children: `q_proj`, `layers.0`, `layers.1`, ... */
  *namedChildren(): IterableIterator<[string, Module]> {
    for (const [field, value] of Object.entries(this)) {
      if (value instanceof Module) yield [field, value];
      else if (Array.isArray(value)) {
        for (const [index, item] of value.entries())
          if (item instanceof Module) yield [`${field}.${index}`, item];
      }
    }
  }

  /** This module (named `prefix`) and all below it, parents first. */
  *namedModules(prefix = ""): IterableIterator<[string, Module]> {
    yield [prefix, this];
    for (const [name, child] of this.namedChildren()) yield* child.namedModules(join(prefix, name));
  }

  /** Every field with a parameter; a tied parameter comes once for each of its fields. */
  *parameterSlots(prefix = ""): IterableIterator<ParameterSlot> {
    for (const [path, owner] of this.namedModules(prefix)) {
      for (const [field, tensor] of Object.entries(owner)) {
        if (tensor instanceof Tensor) yield { name: join(path, field), owner, field, tensor };
      }
    }
  }

  /** Parameters by checkpoint name; a tied one once, under its first name (as in PyTorch). */
  *namedParameters(prefix = ""): IterableIterator<[string, Tensor]> {
    const seen = new Set<Tensor>();
    for (const { name, tensor } of this.parameterSlots(prefix)) {
      if (seen.has(tensor)) continue;
      seen.add(tensor);
      yield [name, tensor];
    }
  }

  /** Every parameter, a tied one once. */
  parameters(): Tensor[] {
    return [...this.namedParameters()].map(([, tensor]) => tensor);
  }

  /** Parameters by checkpoint name: the tensors themselves, not copies. */
  stateDict(): Map<string, Tensor> {
    return new Map(this.namedParameters());
  }

  /**
   * Copies values into the parameters by name, cast to their dtypes: what {@link Module.stateDict} or `loadSafetensors`
   * gave. A tied parameter goes by any of its names. Everything is checked before anything is copied.
   * @param options `strict`, the default: every parameter has its value, and every value its parameter; otherwise what
   *   fits is taken
   * @returns the names of parameters without a value, and of values without a parameter
   * @throws RangeError naming a parameter without a value, a value without a parameter, one of another shape, or one that
   *   has no memory to copy into
   */
  loadStateDict(
    state: ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>,
    { strict = true }: { strict?: boolean } = {},
  ): LoadedKeys {
    const given = new Map(state instanceof Map ? state : Object.entries(state));
    const slots = [...this.parameterSlots()];
    const names = new Set(slots.map(({ name }) => name));
    const filled = new Map<Tensor, Tensor>();
    for (const { name, tensor } of slots) {
      const value = given.get(name);
      if (value === undefined) continue;
      if (value.shape.join() !== tensor.shape.join())
        throw new RangeError(`${name}: the value is [${value.shape}], the parameter [${tensor.shape}]`);
      if (!holdsValues(tensor.device))
        throw new RangeError(
          `${name} is on meta and holds no values; make the module on "cpu" to load into it`,
        );
      filled.set(tensor, value);
    }
    const missing = [...this.namedParameters()].flatMap(([name, one]) => (filled.has(one) ? [] : [name]));
    const unexpected = [...given.keys()].filter((name) => !names.has(name));
    if (strict && missing.length + unexpected.length > 0) throw new RangeError(misfit(missing, unexpected));
    noGrad(() => filled.forEach((value, parameter) => void parameter.copy_(value)));
    return { missing, unexpected };
  }

  /**
   * Puts `change(parameter, name)` in each parameter's place; ties stay ties. The old tensor is disposed of
   * where another took its place.
   */
  mapParameters(change: (parameter: Tensor, name: string) => Tensor): void {
    const done = new Map<Tensor, Tensor>();
    for (const { name, owner, field, tensor } of [...this.parameterSlots()]) {
      let next = done.get(tensor);
      if (next === undefined) {
        next = keep(change(tensor, name));
        done.set(tensor, next);
      }
      (owner as unknown as Fields)[field] = next;
    }
    for (const [old, next] of done) if (old !== next) old.dispose();
  }

  /** The module at a path such as `model.layers.0.mlp`; undefined if there is none. */
  find(path: string): Module | undefined {
    let at: unknown = this;
    for (const part of path === "" ? [] : path.split(".")) {
      at = at instanceof Module || Array.isArray(at) ? (at as unknown as Fields)[part] : undefined;
    }
    return at instanceof Module ? at : undefined;
  }

  /** Puts another module at a path: this is how adapters wrap layers. Throws if there is none at that path. */
  replace(path: string, module: Module): void {
    if (this.find(path) === undefined) throw new RangeError(`no module at "${path}"`);
    const parts = path.split(".");
    const last = parts.pop() as string;
    let at: unknown = this;
    for (const part of parts) at = (at as Fields)[part];
    (at as Fields)[last] = module;
  }

  /** Training mode of this module and all below: it decides whether dropout drops. */
  train(mode = true): this {
    for (const [, module] of this.namedModules()) module.training = mode;
    return this;
  }

  /** Out of training mode: dropout drops nothing. */
  eval(): this {
    return this.train(false);
  }

  /** Moves or casts every parameter; those that already fit stay as they are, shared storage included. */
  to(options: { dtype?: DType; device?: Device }): this {
    const kept = new Set<Tensor>();
    for (const { owner, tensor } of this.parameterSlots()) if (owner.keepsDTypes) kept.add(tensor);
    const { device } = options;
    const still = device === undefined ? {} : { device };
    this.mapParameters((parameter) => {
      const wanted = kept.has(parameter) ? still : options;
      return scope(() => parameter.detach().to(wanted)).requiresGrad_(parameter.requiresGrad);
    });
    return this;
  }

  /** Whether gradients are wanted for every parameter below. */
  requiresGrad_(wanted = true): this {
    for (const parameter of this.parameters()) parameter.requiresGrad_(wanted);
    return this;
  }
}

/** A layer from one tensor to one tensor: what a wrapper such as LoRA may stand in for. */
export interface Layer extends Module {
  /** x [..., in] -> [..., out], or what the layer makes of it. */
  forward(x: Tensor): Tensor;
  /** What `layers`, this one among them, make of one input, where they have a way to share the work. */
  forwardTogether?(layers: readonly Layer[], x: Tensor): Tensor[] | undefined;
}

/** What several layers make of one input, in their order: together where they can, else one after another. */
export function forwardAll(layers: readonly Layer[], x: Tensor): Tensor[] {
  return layers[0]?.forwardTogether?.(layers, x) ?? layers.map((layer) => layer.forward(x));
}

/** A layer whose result is a table of weights applied to its input. */
export interface WeightedLayer extends Layer {
  /** [out, in] of a linear layer, [count, width] of an embedding. */
  weight: Tensor;
}

function misfit(missing: readonly string[], unexpected: readonly string[]): string {
  const some = (names: readonly string[]) =>
    names.length <= 3 ? names.join(", ") : `${names.slice(0, 3).join(", ")} and ${names.length - 3} more`;
  const parts = [
    missing.length > 0 ? `no value for ${some(missing)}` : "",
    unexpected.length > 0 ? `no parameter for ${some(unexpected)}` : "",
  ];
  return `loadStateDict: ${parts.filter((part) => part !== "").join("; ")}; { strict: false } takes what fits`;
}

function join(prefix: string, name: string): string {
  return prefix === "" ? name : `${prefix}.${name}`;
}
