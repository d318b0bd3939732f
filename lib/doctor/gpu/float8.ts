// A layer that multiplies in 8-bit floats, where a device has such products: beside the processor's, which rounds to the
// same codes, and in time.
import { messageOf } from "../../errors.js";
import { FLOAT8_CAPABILITY, Float8Linear } from "../../nn/index.js";
import {
  backward,
  type Device,
  type DType,
  fusedKernels,
  manualSeed,
  noGrad,
  randn,
  scope,
  type Tensor,
} from "../../torch/index.js";
import { type Parity, parityOf } from "./compare.js";

/** Whether a device multiplies 8-bit floats: the processor does, a card from some capability on. */
export function multipliesFloat8(device: Device): boolean {
  const capability = fusedKernels(device)?.capability ?? 0;
  return capability === 0 || capability >= FLOAT8_CAPABILITY;
}

const [TOKENS, IN, OUT] = [37, 96, 48]; // tokens that no 16 divides

function compute(device: Device, x: Tensor, weight: Tensor, seed: Tensor) {
  const leaf = x.detach().to({ device }).requiresGrad_();
  const layer = new Float8Linear(IN, OUT, { device: "meta" });
  layer.weight = weight.detach().to({ device }).requiresGrad_();
  const value = layer.forward(leaf);
  backward(value, seed.to({ device }));
  return { value, dX: leaf.grad as Tensor, dWeight: layer.weight.grad as Tensor };
}

/** Value and both gradients on a device beside the processor's, in the dtypes that runs compute in. */
export function float8Parity(device: Device): Parity[] {
  if (!multipliesFloat8(device)) return [];
  return (["float32", "bfloat16"] as const).map((dtype) => {
    const name = "linear in 8-bit floats";
    try {
      return scope(() => {
        manualSeed(21);
        const [x, weight, seed] = [
          [TOKENS, IN],
          [OUT, IN],
          [TOKENS, OUT],
        ].map((shape) => randn(shape).to({ dtype })) as [Tensor, Tensor, Tensor];
        const [given, exact] = [device, "cpu"].map((at) => compute(at, x, weight, seed));
        const pairs = (["value", "dX", "dWeight"] as const).map(
          (what) => [what, given?.[what] as Tensor, exact?.[what] as Tensor] as const,
        );
        return parityOf(name, dtype, pairs);
      });
    } catch (error) {
      return { name, dtype, bound: 0, passed: false, error: messageOf(error) };
    }
  });
}

interface Work {
  name: string;
  shape: string;
  dtype: DType;
  flop: number;
  bytes?: number;
  prepare(): () => void;
}

/** What is timed of it: the product with both roundings, and forward and backward with all of them. */
export function float8Works(tokens: number, into: number, out: number, device: Device): Work[] {
  if (!multipliesFloat8(device)) return [];
  const shape = `[${tokens}, ${into}] x [${into}, ${out}]`;
  const flop = 2 * tokens * into * out;
  const made = () => {
    const layer = new Float8Linear(into, out, { device: "meta" });
    layer.weight = randn([out, into], { dtype: "bfloat16", device, requiresGrad: true });
    return { layer, x: randn([tokens, into], { dtype: "bfloat16", device, requiresGrad: true }) };
  };
  return [
    {
      ...{ name: "product in 8-bit floats, rounding included", shape, dtype: "bfloat16", flop },
      prepare: () => {
        const { layer, x } = made();
        return () => noGrad(() => void layer.forward(x));
      },
    },
    {
      ...{ name: "the same forward and backward", shape, dtype: "bfloat16", flop: 3 * flop },
      prepare: () => {
        const { layer, x } = made();
        return () => {
          backward(layer.forward(x).sum());
          x.grad = undefined;
          layer.weight.grad = undefined;
        };
      },
    },
  ];
}
