// The operators that training is made of, on a device beside the processor in float64: values and gradients.
import { messageOf } from "../../errors.js";
import { causalAttention, swiglu } from "../../nn/index.js";
import {
  arange,
  backward,
  crossEntropy,
  type Device,
  embedding,
  linear,
  linearCrossEntropy,
  loraLinear,
  manualSeed,
  op,
  randn,
  rmsNorm,
  scaledDotProductAttention,
  scope,
  type Tensor,
  tensor,
} from "../../torch/index.js";
import { type ComparedDType, DTYPES, type Parity, parityOf } from "./compare.js";

interface Case {
  /** Shapes of the inputs that have gradients. */
  shapes: number[][];
  run(inputs: Tensor[], device: Device): Tensor;
}

const integers = (values: number[], device: Device): Tensor => tensor(values, { dtype: "int64", device });
const fusedNorm = op<(x: Tensor, weight: Tensor, eps: number) => Tensor>("qwen_pt::rms_norm");
const addedNorm =
  op<(x: Tensor, residual: Tensor, weight: Tensor, eps: number) => [Tensor, Tensor]>("qwen_pt::add_rms_norm");
const normRope =
  op<(x: Tensor, weight: Tensor, cos: Tensor, sin: Tensor, eps: number) => Tensor>("qwen_pt::norm_rope");
const labels = Array.from({ length: 70 }, (_, at) => (at % 7 === 3 ? -100 : (at * 37) % 101));
/** Three documents among 66 tokens. */
const documents = [0, 20, 21, 66];

const of = (inputs: Tensor[], at: number): Tensor => inputs[at] as Tensor;

const CASES: Readonly<Record<string, Case>> = {
  matmul: {
    shapes: [
      [65, 96],
      [96, 33],
    ],
    run: (x) => of(x, 0).matmul(of(x, 1)),
  },
  linear: { shapes: [[3, 21, 96], [40, 96], [40]], run: (x) => linear(of(x, 0), of(x, 1), of(x, 2)) },
  rms_norm: { shapes: [[2, 17, 96], [96]], run: (x) => rmsNorm(of(x, 0), [96], of(x, 1), 1e-6) },
  "silu times": {
    shapes: [
      [17, 96],
      [17, 96],
    ],
    run: (x) => of(x, 0).silu().mul(of(x, 1)),
  },
  // the fused kernels, of rows that 16 bytes divide and of others
  "fused rms_norm": { shapes: [[3, 17, 96], [96]], run: (x) => fusedNorm(of(x, 0), of(x, 1), 1e-6) },
  "fused rms_norm, odd rows": { shapes: [[700, 33], [33]], run: (x) => fusedNorm(of(x, 0), of(x, 1), 1e-6) },
  "fused sum and rms_norm": {
    shapes: [[17, 96], [17, 96], [96]],
    run: (x) => {
      const [sum, normed] = addedNorm(of(x, 0), of(x, 1), of(x, 2), 1e-6);
      return sum.mul(normed);
    },
  },
  "fused lora": {
    shapes: [
      [37, 64],
      [8, 64],
      [40, 8],
    ],
    run: (x) => {
      const weight = of(x, 1).detach().narrow(0, 0, 1).expand([40, 64]).contiguous();
      return loraLinear(of(x, 0), [weight], [of(x, 1)], [of(x, 2)], [0.5])[0] as Tensor;
    },
  },
  "fused norm with rope": {
    shapes: [[2, 17, 3, 64], [64]],
    run: (x, at) => {
      const angles = (turn: (x: Tensor) => Tensor) =>
        turn(arange(0, 17 * 64, 1, { dtype: "float64" }))
          .view([1, 1, 17, 64])
          .to({ dtype: of(x, 0).dtype });
      const [cos, sin] = [angles((t) => t.cos()), angles((t) => t.sin())];
      return normRope(of(x, 0), of(x, 1), cos.to({ device: at }), sin.to({ device: at }), 1e-6);
    },
  },
  "fused swiglu": {
    shapes: [
      [17, 96],
      [17, 96],
    ],
    run: (x) => swiglu(of(x, 0), of(x, 1)),
  },
  softmax: { shapes: [[17, 96]], run: (x) => of(x, 0).softmax(-1) },
  embedding: { shapes: [[50, 32]], run: (x, at) => embedding(of(x, 0), integers([3, 0, 49, 3, 7], at)) },
  "scaled dot product attention": {
    shapes: [
      [2, 4, 33, 16],
      [2, 2, 33, 16],
      [2, 2, 33, 16],
    ],
    run: (x) =>
      scaledDotProductAttention(of(x, 0), of(x, 1), of(x, 2), undefined, 0, true, {
        scale: 0.25,
        enableGqa: true,
      }),
  },
  "causal attention": {
    shapes: [
      [2, 33, 4, 16],
      [2, 33, 2, 16],
      [2, 33, 2, 16],
    ],
    run: (x) => causalAttention(of(x, 0), of(x, 1), of(x, 2)),
  },
  "causal attention, packed documents": {
    shapes: [
      [2, 33, 4, 16],
      [2, 33, 2, 16],
      [2, 33, 2, 16],
    ],
    run: (x, at) =>
      causalAttention(of(x, 0), of(x, 1), of(x, 2), tensor(documents, { dtype: "int32", device: at })),
  },
  "linear + cross entropy": {
    shapes: [
      [70, 32],
      [101, 32],
    ],
    run: (x, at) => linearCrossEntropy(of(x, 0), of(x, 1), integers(labels, at), 0.125, -100, 4096),
  },
  "cross entropy": {
    shapes: [[70, 101]],
    run: (x, at) => crossEntropy(of(x, 0), integers(labels, at), undefined, 2, -100),
  },
};

/** The value and the gradients of a case, with a fixed cotangent. */
function compute({ run }: Case, inputs: Tensor[], cotangent: Tensor | undefined, device: Device) {
  const leaves = inputs.map((input) => input.detach().clone().requiresGrad_());
  const value = run(leaves, device);
  const seed = cotangent ?? randn([...value.shape], { dtype: "float64" });
  backward(value, seed.to({ dtype: value.dtype, device }));
  return { value, seed, gradients: leaves.map((leaf) => leaf.grad as Tensor) };
}

function compare(name: string, one: Case, dtype: ComparedDType, device: Device): Parity {
  return scope(() => {
    manualSeed(20);
    // rounded to the dtype first: what is measured is the arithmetic, not the rounding of the inputs
    const inputs = one.shapes.map((shape) => randn(shape, { dtype: "float64" }).to({ dtype }));
    const exact = compute(
      one,
      inputs.map((input) => input.double()),
      undefined,
      "cpu",
    );
    const given = compute(
      one,
      inputs.map((input) => input.to({ device })),
      exact.seed,
      device,
    );
    const gradients = given.gradients.map(
      (gradient, at) => [`gradient of input ${at}`, gradient, exact.gradients[at] as Tensor] as const,
    );
    return parityOf(name, dtype, [["value", given.value, exact.value], ...gradients]);
  });
}

/** Every operator in every dtype on a device. An operator that throws is a failed comparison, not an end. */
export function operatorParity(device: Device): Parity[] {
  return Object.entries(CASES).flatMap(([name, one]) =>
    DTYPES.map((dtype) => {
      try {
        return compare(name, one, dtype, device);
      } catch (error) {
        return { name, dtype, bound: 0, passed: false, error: messageOf(error) };
      }
    }),
  );
}
