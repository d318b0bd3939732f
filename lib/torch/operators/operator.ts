// Calls any operator that libtorch registers, by its schema. `op` gives one a static type; `call` takes any name.
// Arguments go by position in the schema's order; an options object in the last place names the rest, in camelCase
// or as the schema spells them.
import { ArgumentError, toTorchError } from "../errors.js";
import { Generator, TensorHandle, wrapHandle } from "../lifetime/handle.js";
import { type Handle, type Native, native, type OperatorInfo } from "../native.js";
import type { Tensor } from "../tensor.js";

interface Resolved extends OperatorInfo {
  /** Position by name, in both spellings; made when an options object first comes. */
  positions?: Map<string, number>;
}

const resolved = new Map<string, Resolved>();
let binding: Native | undefined;

/** `keepDim` and `keep_dim` for `keep_dim`. */
export function camelCase(name: string): string {
  return name.replace(/(?<=[a-zA-Z0-9])_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function resolve(name: string): Resolved {
  let info = resolved.get(name);
  if (info === undefined) {
    binding ??= native();
    try {
      info = binding.resolve(name);
    } catch (error) {
      throw toTorchError(error);
    }
    resolved.set(name, info);
  }
  return info;
}

function isOptions(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    !(value instanceof TensorHandle) &&
    !Array.isArray(value) &&
    !(value instanceof Generator) &&
    !ArrayBuffer.isView(value)
  );
}

/** Puts the entries of an options object at their positions. */
function spread(info: Resolved, args: unknown[]): unknown[] {
  const options = args[args.length - 1] as Record<string, unknown>;
  const all = args.slice(0, -1);
  info.positions ??= new Map(
    info.parameters.flatMap(({ name }, index) => [
      [name, index],
      [camelCase(name), index],
    ]),
  );
  for (const [name, value] of Object.entries(options)) {
    const index = info.positions.get(name);
    if (index === undefined) {
      const known = info.parameters.map((parameter) => camelCase(parameter.name)).join(", ");
      throw new ArgumentError(
        `${info.name}: no argument is called '${name}'; it takes ${known}`,
        "ERR_ARGUMENT",
      );
    }
    if (index < args.length - 1) {
      throw new ArgumentError(`${info.name}: argument '${name}' was given twice`, "ERR_ARGUMENT");
    }
    all[index] = value;
  }
  return all;
}

function unwrap(value: unknown): unknown {
  if (value instanceof TensorHandle) return value._handle;
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(unwrap);
  if (value instanceof Generator) return value._handle;
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<number>);
  return value;
}

function wrap(result: unknown): unknown {
  if (typeof result !== "object" || result === null) return result;
  if (Array.isArray(result)) return result.map(wrap);
  return wrapHandle(result as Handle);
}

function invoke(info: Resolved, args: unknown[]): unknown {
  let given = args;
  const last = args[args.length - 1];
  if (typeof last === "object" && isOptions(last)) given = spread(info, args);
  const { id, alias } = info;
  const call = (binding as Native).invoke;
  try {
    let result: unknown;
    switch (given.length) {
      case 1:
        result = call(id, unwrap(given[0]));
        break;
      case 2:
        result = call(id, unwrap(given[0]), unwrap(given[1]));
        break;
      case 3:
        result = call(id, unwrap(given[0]), unwrap(given[1]), unwrap(given[2]));
        break;
      default: {
        const unwrapped: unknown[] = [id];
        for (let i = 0; i < given.length; i++) unwrapped.push(unwrap(given[i]));
        result = call.apply(undefined, unwrapped as Parameters<Native["invoke"]>);
      }
    }
    if (alias < 0) return wrap(result);
    const changed = given[alias];
    if (changed instanceof TensorHandle) changed._forget();
    return changed;
  } catch (error) {
    throw toTorchError(error);
  }
}

/**
 * A typed operator: `const silu = op<(self: Tensor) => Tensor>("aten::silu")`. It is looked up at its first call.
 * An in-place operator returns the tensor that it changed.
 * @throws TorchError that names the operator, the argument and the operands' dtypes and shapes.
 */
export function op<F extends (...args: never[]) => unknown>(name: string): F {
  let info: Resolved | undefined;
  const operator = (...args: unknown[]): unknown => {
    info ??= resolve(name);
    return invoke(info, args);
  };
  return operator as unknown as F;
}

/**
 * Calls any operator by name, `call("aten::topk", logits, 5)` or `call("aten::sum.dim_IntList", x, [0], { keepdim: true })`.
 * Tensors, numbers, strings, arrays and generators go in; tensors, numbers, arrays of them come out.
 * @throws TorchError for an unknown operator, a wrong argument, or what libtorch reports.
 */
export function call(name: string, ...args: unknown[]): unknown {
  return invoke(resolve(name), args);
}

/** The schema of an operator: its arguments, in order, with types. */
export function schemaOf(name: string): OperatorInfo {
  return resolve(name);
}

/** Every operator that this libtorch registers, by name and overload, sorted. */
export function operators(): string[] {
  return native().operators();
}

/** What most operators take beside a tensor: another one, or a number that takes the tensor's dtype. */
export type Operand = Tensor | number;
