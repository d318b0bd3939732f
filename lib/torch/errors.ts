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

/** Gives a native error its class; anything else passes through. */
export function toTorchError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof TorchError) return error;
  const code = (error as NodeJS.ErrnoException).code;
  if (code === undefined || !code.startsWith("ERR_")) return error;
  const Class = classes[code] ?? TorchError;
  return new Class(error.message, code);
}

/** Runs native code and types what it throws. */
export function guarded<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw toTorchError(error);
  }
}
