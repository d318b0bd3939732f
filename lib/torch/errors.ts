// What libtorch's and the binding's errors become in JavaScript. Native code throws plain errors with a code;
// they are given their class here, once.

/** An error of libtorch or of the binding. `operator` names the operator that was called, where there was one. */
export class TorchError extends Error {
  /** The class's name, as `Error.name` has it. */
  override readonly name: string = "TorchError";
  constructor(
    message: string,
    readonly code: string = "ERR_TORCH",
    options?: { cause?: unknown }, // not ErrorOptions: the declarations then need no newer library than theirs
  ) {
    super(message, options);
  }
}

/** No memory left, on the host or on a device. */
export class OutOfMemoryError extends TorchError {
  /** The class's name. */
  override readonly name = "OutOfMemoryError";
}

/** A tensor was used after it was disposed of, or after the scope that owned it closed. */
export class DisposedError extends TorchError {
  /** The class's name. */
  override readonly name = "DisposedError";
}

/** Scopes were closed out of order: asynchronous scopes that overlap. */
export class ScopeError extends TorchError {
  /** The class's name. */
  override readonly name = "ScopeError";
}

/** An argument of the wrong type, missing, or one too many. */
export class ArgumentError extends TorchError {
  /** The class's name. */
  override readonly name = "ArgumentError";
}

/** Another thread is computing: one thread at a time drives libtorch. */
export class LeaseError extends TorchError {
  /** The class's name. */
  override readonly name = "LeaseError";
}

const classes: Record<string, new (message: string, code: string) => TorchError> = {
  ERR_OUT_OF_MEMORY: OutOfMemoryError,
  ERR_DISPOSED: DisposedError,
  ERR_SCOPE: ScopeError,
  ERR_ARGUMENT: ArgumentError,
  ERR_LEASE: LeaseError,
};

/** libtorch's advice in this package's words, and remedies where it gives none. */
const WORDS: readonly (readonly [found: RegExp, instead: string])[] = [
  [
    /Trying to backward through the graph a second time.*$/s,
    "this graph was freed by an earlier backward pass; compute the loss again, or pass { retainGraph: true } to the first pass",
  ],
  [
    /element \d+ of tensors does not require grad and does not have a grad_fn/,
    "the output depends on nothing that requires a gradient: call requiresGrad_() on what trains (addLora and trainAll do it for a model), and compute it outside noGrad",
  ],
  [
    /grad can be implicitly created only for scalar outputs/,
    "an output of several elements needs its gradients; reduce it with sum() or mean(), or pass gradients of its shape",
  ],
  [
    /a (?:view of a )?leaf Variable that requires grad is being used in an in-place operation\./,
    "a parameter cannot be changed in place while autograd records; change it inside noGrad(() => ...)",
  ],
  [
    /(?:One|element \d+) ?of the differentiated Tensors appears to not have been used in the graph\..*$/s,
    "the outputs do not depend on one of the inputs; { allowUnused: true } gives undefined for it",
  ],
  [
    /^index out of range in self/,
    "an index is beyond the table's last row; token ids go from 0 to the vocabulary's size - 1",
  ],
  [/\bretain_graph=True\b/g, "{ retainGraph: true }"],
  [/\bcreate_graph=True\b/g, "{ createGraph: true }"],
  [/\ballow_unused=True\b/g, "{ allowUnused: true }"],
  [/\btorch\.no_grad\(\)/g, "noGrad(() => ...)"],
];

function inOwnWords(message: string): string {
  return WORDS.reduce((text, [found, instead]) => text.replace(found, instead), message);
}

/** Gives a native error its class and this package's words; anything else passes through. */
export function toTorchError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof TorchError) return error;
  const code = (error as NodeJS.ErrnoException).code;
  if (code === undefined || !code.startsWith("ERR_")) return error;
  const Class = classes[code] ?? TorchError;
  return new Class(inOwnWords(error.message), code);
}

/** Runs native code and types what it throws. */
export function guarded<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw toTorchError(error);
  }
}
