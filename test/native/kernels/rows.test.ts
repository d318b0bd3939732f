// RMS normalisation, the rotation after it and SwiGLU's product on the CPU against compositions of ATen operators; their
// hand-derived gradients against autograd's of those and against finite differences.
import { afterEach, describe, expect, it } from "vitest";
import { swiglu } from "../../../lib/nn/index.js";
import {
  backward,
  call,
  type DType,
  grad,
  manualSeed,
  noGrad,
  randn,
  setNumThreads,
  type Tensor,
  zeros,
} from "../../../lib/torch/index.js";

/** An operator of tensors; the composition has the same name behind `composite_`. */
interface Kernel {
  name: string;
  /** The operands in float64. Dtypes of weights may differ from the first operand's. */
  operands: () => Tensor[];
  numbers: number[];
  /** Operands that are tables of angles, and have no gradient. */
  constant: number[];
  /** Operands that are weights. */
  weights: number[];
}

const table = (...shape: number[]): Tensor => randn(shape, { dtype: "float64" });
const angles = (shape: number[]): Tensor => table(...shape).mul(2);

const kernels: Kernel[] = [
  {
    name: "rms_norm",
    operands: () => [table(3, 37, 80).mul(3), table(80)],
    numbers: [1e-6],
    constant: [],
    weights: [1],
  },
  {
    name: "rms_norm",
    operands: () => [table(2, 5), table(5)],
    numbers: [0.5],
    constant: [],
    weights: [1],
  },
  {
    name: "norm_rope",
    operands: () => {
      const angle = angles([1, 1, 23, 66]);
      return [table(2, 23, 3, 66), table(66), angle.cos(), angle.sin()];
    },
    numbers: [1e-6],
    constant: [2, 3],
    weights: [1],
  },
  {
    name: "norm_rope",
    operands: () => {
      const angle = angles([2, 1, 9, 128]);
      return [table(2, 9, 4, 128), table(128), angle.cos(), angle.sin()];
    },
    numbers: [1e-6],
    constant: [2, 3],
    weights: [1],
  },
  {
    name: "swiglu",
    operands: () => [table(7, 301).mul(4), table(7, 301)],
    numbers: [],
    constant: [],
    weights: [],
  },
];

const make = ({ operands }: Kernel): Tensor[] => {
  manualSeed(5);
  return operands();
};

function distance(a: Tensor, b: Tensor): number {
  return a.sub(b).norm().item() / b.norm().item();
}

/** The output and the gradients, in float64, and the output's dtype. */
function run(kernel: Kernel, name: string, operands: Tensor[]): { all: Tensor[]; dtype: DType } {
  const leaves = operands.map((x, i) => x.detach().requiresGrad_(!kernel.constant.includes(i)));
  const out = call(name, ...leaves, ...kernel.numbers) as Tensor;
  expect(out.shape).toEqual(leaves[0]?.shape);
  manualSeed(6);
  backward(
    out,
    randn([...out.shape], { dtype: "float64" })
      .bfloat16()
      .to({ dtype: out.dtype }),
  );
  const grads = leaves.filter((leaf) => leaf.requiresGrad).map((leaf) => leaf.grad as Tensor);
  for (const [i, g] of grads.entries()) expect(g.dtype).toBe(operands[i]?.dtype);
  return { all: [out.detach(), ...grads].map((x) => x.double()), dtype: out.dtype };
}

afterEach(() => setNumThreads(1));

describe.each(kernels.map((kernel, i) => [`${kernel.name} (${i})`, kernel] as const))("%s", (_, kernel) => {
  it.each([
    ["float64", "float64", 1e-14],
    ["float32", "float32", 1e-6],
    ["bfloat16", "bfloat16", 8e-3],
    ["float16", "float16", 1e-3],
    ["bfloat16", "float32", 6e-3],
    ["float64", "float32", 1e-6],
  ] as const)("of %s, weights %s: values and gradients are the composition's", (dtype, weights, bound) => {
    if (dtype !== weights && kernel.weights.length === 0) return;
    const operands = make(kernel).map((x, i) =>
      x.to({ dtype: kernel.weights.includes(i) || kernel.constant.includes(i) ? weights : dtype }),
    );
    const ours = run(kernel, `qwen_pt::${kernel.name}`, operands);
    const same = run(kernel, `qwen_pt::composite_${kernel.name}`, operands);
    expect(ours.dtype).toBe(same.dtype);
    const exact = run(
      kernel,
      `qwen_pt::composite_${kernel.name}`,
      operands.map((x) => x.double()),
    ).all;
    for (const [i, one] of ours.all.entries()) {
      expect(distance(one, exact[i] as Tensor), `${i}`).toBeLessThan(bound);
      if (i === 0 && ours.dtype === "bfloat16") {
        // forward rounds where the composition does, so that hardly an element differs
        const differing = one
          .ne(same.all[0] as Tensor)
          .double()
          .mean()
          .item();
        expect(differing).toBeLessThan(2e-2);
      }
    }
  });

  it("the gradient agrees with finite differences", () => {
    const operands = make(kernel);
    const leaves = operands.map((x, i) => x.detach().requiresGrad_(!kernel.constant.includes(i)));
    const seed = operands[0] as Tensor;
    const loss = (step: number, moved?: number): Tensor =>
      (
        call(
          `qwen_pt::${kernel.name}`,
          ...leaves.map((x, i) => (i === moved ? x.add(x.cos().mul(step)) : x)),
          ...kernel.numbers,
        ) as Tensor
      )
        .mul(seed.sin())
        .sum();
    for (const [i, leaf] of leaves.entries()) {
      if (kernel.constant.includes(i)) continue;
      const [gradient] = grad(loss(0), [leaf]) as [Tensor];
      const along = gradient.mul(leaf.cos()).sum().item();
      const measured = noGrad(() => (loss(1e-5, i).item() - loss(-1e-5, i).item()) / 2e-5);
      expect(Math.abs(measured - along) / Math.max(1, Math.abs(along))).toBeLessThan(1e-7);
    }
  });

  it("threads share the rows", () => {
    const operands = make(kernel).map((x) => x.repeat([40, ...x.shape.slice(1).map(() => 1)]));
    const whole = kernel.name === "swiglu" ? operands : make(kernel);
    const alone = run(kernel, `qwen_pt::${kernel.name}`, whole).all;
    setNumThreads(3);
    const shared = run(kernel, `qwen_pt::${kernel.name}`, whole).all;
    for (const [i, one] of shared.entries()) expect(distance(one, alone[i] as Tensor)).toBeLessThan(1e-14);
  });

  it("runs on the meta device, and gives no gradient that was not asked for", () => {
    const operands = make(kernel);
    const [first, ...others] = operands.map((x) => zeros([...x.shape], { device: "meta" }));
    const leaf = (first as Tensor).requiresGrad_();
    const out = call(`qwen_pt::${kernel.name}`, leaf, ...others, ...kernel.numbers) as Tensor;
    backward(out.sum());
    expect([leaf.grad?.shape, others[0]?.grad]).toEqual([leaf.shape, undefined]);

    const [x, ...fixed] = operands as [Tensor, ...Tensor[]];
    const input = x.detach().requiresGrad_();
    backward((call(`qwen_pt::${kernel.name}`, input, ...fixed, ...kernel.numbers) as Tensor).sum());
    expect([input.grad?.shape, fixed[0]?.grad]).toEqual([x.shape, undefined]);
    const quiet = noGrad(() => call(`qwen_pt::${kernel.name}`, input, ...fixed, ...kernel.numbers) as Tensor);
    expect(quiet.requiresGrad).toBe(false);
  });
});

it("large gates neither overflow nor make a NaN", () => {
  for (const dtype of ["float32", "bfloat16"] as const) {
    const gate = zeros([1, 4], { dtype }).add(1).mul(200).cumsum(1).sub(500).requiresGrad_(); // -300, -100, 100, 300
    const out = swiglu(gate, gate.detach());
    backward(out.sum());
    expect(out.detach().isfinite().all().item()).toBeTruthy();
    expect(((gate.grad as Tensor).float().tolist() as number[][])[0]).toEqual(
      [0, 0, 100, 300].map((x) => expect.closeTo(x, 0)),
    );
  }
});

it("what does not fit is refused, or left to the composition", () => {
  const [x, weight] = [zeros([2, 3, 1, 8]), zeros([8])];
  const short = zeros([1, 1, 2, 8]);
  expect(() => call("qwen_pt::norm_rope", x, weight, short, short, 1e-6)).toThrow(
    /\[1 or batch, 1, seq, dim\]/,
  );
  expect((call("qwen_pt::rms_norm", x, zeros([1]), 1e-6) as Tensor).shape).toEqual([2, 3, 1, 8]);
  expect((swiglu(x, zeros([8])) as Tensor).shape).toEqual([2, 3, 1, 8]);
});
