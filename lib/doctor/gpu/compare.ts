// How far a result is from its reference, and what counts as near: the vocabulary of the parity checks.
import type { Device, DType, Tensor } from "../../torch/index.js";

/** The dtypes that are compared, and the largest relative L2 distance from float64 that is expected of each. */
export const BOUNDS = { float64: 1e-9, float32: 1e-5, bfloat16: 2e-2 } as const satisfies Partial<
  Record<DType, number>
>;

export type ComparedDType = keyof typeof BOUNDS;
export const DTYPES = Object.keys(BOUNDS) as ComparedDType[];

/** One comparison of a device's results with the processor's in float64. */
export interface Parity {
  readonly name: string;
  readonly dtype: ComparedDType;
  /** Largest relative L2 distance over values and gradients; undefined where it could not be computed. */
  readonly distance?: number;
  /** What it belongs to: "value", "gradient of x0", a parameter's name. */
  readonly worst?: string;
  readonly bound: number;
  readonly passed: boolean;
  /** Why nothing was computed. */
  readonly error?: string;
}

/** |a - b| / |b| in L2, in float64 on the processor. */
export function distance(a: Tensor, b: Tensor): number {
  const [x, y] = [a, b].map((tensor) =>
    tensor
      .detach()
      .to({ device: "cpu" as Device })
      .double(),
  ) as [Tensor, Tensor];
  const size = Number(y.norm().item());
  const difference = Number(x.sub(y).norm().item());
  return size === 0 ? difference : difference / size;
}

/** The parity of named pairs: results on the device, references. */
export function parityOf(
  name: string,
  dtype: ComparedDType,
  pairs: Iterable<readonly [name: string, result: Tensor, reference: Tensor]>,
): Parity {
  const bound = BOUNDS[dtype];
  let [largest, worst] = [-1, ""];
  for (const [what, result, reference] of pairs) {
    const now = distance(result, reference);
    // a NaN is the worst there is, and stays it
    if (Number.isNaN(largest)) break;
    if (!(now <= largest)) [largest, worst] = [now, what];
  }
  return { name, dtype, distance: largest, worst, bound, passed: largest <= bound };
}
