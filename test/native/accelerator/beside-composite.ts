// A kernel's value and gradients beside its composite's in float64. Not a test.
import { expect } from "vitest";
import { backward, call, type DType, manualSeed, randn, type Tensor } from "../../../lib/torch/index.js";
import { distance } from "../../fixtures/model/read.js";

// roundings of a result, of one that was rounded on its way, of sums in float32
export const BOUND: Partial<Record<DType, number>> = { float32: 2e-6, bfloat16: 6e-3, float16: 8e-4 };
export const DTYPES = ["float32", "bfloat16", "float16"] as const;

export interface Run {
  readonly value: Tensor;
  readonly grads: (Tensor | undefined)[];
}

/** An operator's value, and the gradients of its inputs for a fixed cotangent. */
export function run(
  name: string,
  inputs: readonly Tensor[],
  more: unknown[],
  trained: readonly boolean[],
): Run {
  const leaves = inputs.map((x, at) => (trained[at] ? x.detach().clone().requiresGrad_() : x));
  const value = call(`qwen_pt::${name}`, ...leaves, ...(more as [])) as Tensor;
  manualSeed(77);
  const seed = randn([...value.shape], { dtype: "float64" });
  if (trained.some(Boolean)) backward(value, seed.to(value.dtype));
  return { value: value.detach(), grads: leaves.map(({ grad }) => grad) };
}

/** Inputs in their dtypes, and the same numbers in float64. */
export function drawn(shapes: readonly number[][], dtypes: readonly DType[]): [Tensor[], Tensor[]] {
  manualSeed(5);
  const own = shapes.map((shape, at) => randn(shape, { dtype: "float64" }).to(dtypes[at] as DType));
  return [own, own.map((x) => x.double())];
}

export function compare(fused: Run, exact: Run, bound: number): void {
  expect(distance(fused.value, exact.value)).toBeLessThan(bound);
  expect(fused.grads.map((x) => x?.shape)).toEqual(exact.grads.map((x) => x?.shape));
  for (const [at, grad] of fused.grads.entries())
    if (grad !== undefined) expect(distance(grad, exact.grads[at] as Tensor)).toBeLessThan(2 * bound);
}

export const suffix = (dtype: DType): string =>
  ({ float32: "f32", bfloat16: "bf16", float16: "f16" })[dtype as "float32"];
