// What a model's forward pass is given, checked before libtorch would speak of operators that the caller never named.

import { ArgumentError, Tensor } from "../../torch/index.js";

/**
 * Token ids are a tensor [batch, sequence] of int64 or int32. Whether they are below the vocabulary's size is the
 * embedding's to say: to look would mean to wait for a device.
 * @throws ArgumentError with what was given instead
 */
export function checkIds(input: { readonly inputIds?: unknown } | undefined): void {
  const ids = input?.inputIds;
  if (!(ids instanceof Tensor))
    throw wrong(
      `inputIds is ${ids === undefined ? "missing" : "not a tensor"}; write forward({ inputIds }) with a tensor [batch, sequence] such as tensor([[1, 2, 3]], { dtype: "int64" })`,
    );
  if (ids.dtype !== "int64" && ids.dtype !== "int32")
    throw wrong(`inputIds is ${ids.dtype}; token ids are int64: make them with { dtype: "int64" }`);
  if (ids.ndim !== 2)
    throw wrong(
      `inputIds is [${ids.shape}]; it takes [batch, sequence]${ids.ndim === 1 ? ": inputIds.unsqueeze(0) is a batch of one" : ""}`,
    );
}

function wrong(problem: string): ArgumentError {
  return new ArgumentError(`forward: ${problem}`, "ERR_ARGUMENT");
}
