// Numbers that a step leaves on its device, brought to the host in one copy: a step waits for the device once.
import { noGrad, scope, stack, type Tensor } from "../torch/index.js";

/** The values of 0-dimensional floating-point tensors of one device, exactly, in one copy to the host. */
export function readScalars(tensors: readonly Tensor[]): number[] {
  if (tensors.length === 0) return [];
  return scope(() =>
    noGrad(() => {
      const wide = tensors.some(({ dtype }) => dtype === "float64") ? "float64" : "float32";
      return Array.from(stack(tensors.map((tensor) => tensor.to(wide))).toArray() as Float32Array);
    }),
  );
}
