// Lifetime. The garbage collector does not see native memory, so scopes free it: everything made inside a scope is
// released when it closes, except what it returns. Autograd keeps what backward needs, so a scope may close in the
// middle of a forward pass.
import { guarded, ScopeError } from "../errors.js";
import { type Handle, native } from "../native.js";
import type { Tensor } from "../tensor.js";
import { TensorHandle } from "./handle.js";

/** The tensors in a value: itself, or in arrays, Maps, Sets and plain objects, however deep. */
function tensorsIn(value: unknown, found: Handle[] = [], seen = new Set<unknown>()): Handle[] {
  if (typeof value !== "object" || value === null || seen.has(value)) return found;
  if (value instanceof TensorHandle) {
    found.push(value._handle);
    return found;
  }
  if (ArrayBuffer.isView(value)) return found;
  seen.add(value);
  const items =
    value instanceof Map ? [...value.values()] : value instanceof Set ? [...value] : Object.values(value);
  for (const item of items) tensorsIn(item, found, seen);
  return found;
}

function isPromise(value: unknown): value is Promise<unknown> {
  return (
    typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function"
  );
}

/**
 * Runs `body` and frees every tensor made inside, except those in what it returns, which move to the enclosing scope.
 * Scopes nest. An asynchronous body is awaited; two asynchronous scopes must not overlap.
 * @example const norm = scope(() => x.mul(x).sum().sqrt()); // x*x and its sum are freed here
 * @throws ScopeError where scopes overlap; whatever `body` throws, after freeing everything it made.
 */
export function scope<T>(body: () => T): T {
  const addon = native();
  const id = addon.openScope();
  const close = (keep: Handle[]): void => guarded(() => addon.closeScope(id, keep));
  const abandon = (error: unknown): never => {
    try {
      close([]);
    } catch (closing) {
      if (!(closing instanceof ScopeError)) throw closing;
    }
    throw error;
  };
  let result: T;
  try {
    result = body();
  } catch (error) {
    return abandon(error);
  }
  if (isPromise(result)) {
    return result.then((value) => {
      close(tensorsIn(value));
      return value;
    }, abandon) as T;
  }
  close(tensorsIn(result));
  return result;
}

/** Takes a tensor out of every scope: it lives until `dispose()` or until the collector finds it. Returns it. */
export function keep<T extends Tensor>(tensor: T): T {
  guarded(() => native().keepTensor(tensor._handle));
  return tensor;
}

/** How many tensors this thread holds. Constant over any number of training steps. */
export function liveTensors(): number {
  return native().liveTensors();
}
