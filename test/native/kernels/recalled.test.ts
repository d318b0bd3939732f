// The operators of a second pass: given the results of the first, they return these and have the gradients that
// computing them would have given. And the trained linear layer whose narrow weight is not kept.
import { describe, expect, it } from "vitest";
import {
  autocast,
  backward,
  call,
  type DType,
  grad,
  linear,
  manualSeed,
  noGrad,
  randn,
  type Tensor,
  zeros,
} from "../../../lib/torch/index.js";

const operator = (name: string, ...args: unknown[]): unknown => call(`qwen_pt::${name}`, ...args);

function distance(a: Tensor, b: Tensor): number {
  return a.double().sub(b.double()).norm().item() / b.double().norm().item();
}

interface Recallable {
  operands: Tensor[];
  /** Results that are kept. */
  first(operands: Tensor[]): Tensor[];
  again(operands: Tensor[], kept: Tensor[]): Tensor[];
  plain(operands: Tensor[]): Tensor[];
}

/** The same draws each time. */
function seeded<T>(body: () => T): T {
  manualSeed(11);
  return body();
}

function cases(dtype: DType): Record<string, Recallable> {
  manualSeed(7);
  const make = (...shape: number[]): Tensor => randn(shape, { dtype: "float64" }).to(dtype);
  const weights = [make(24, 16), make(8, 16)];
  const lora = (name: string, [x, a, b, c, d]: Tensor[], ...more: unknown[]): Tensor[] =>
    operator(
      name,
      x,
      weights.map((one) => one.to({ device: (x as Tensor).device })),
      [a, c],
      [b, d],
      [2, 0.5],
      ...more,
    ) as Tensor[];
  return {
    lora_linear: {
      operands: [make(2, 5, 16), make(4, 16), make(24, 4), make(2, 16), make(8, 2)],
      first: (operands) => lora("lora_linear", operands),
      again: (operands, kept) => lora("lora_linear_recalled", operands, kept),
      plain: (operands) => lora("lora_linear", operands),
    },
    "lora_linear, dropout": {
      operands: [make(2, 5, 16), make(4, 16), make(24, 4), make(2, 16), make(8, 2)],
      first: (operands) => seeded(() => lora("lora_linear", operands, 0.3)),
      again: (operands, kept) => seeded(() => lora("lora_linear_recalled", operands, kept, 0.3)),
      plain: (operands) => seeded(() => lora("lora_linear", operands, 0.3)),
    },
    linear_recast: {
      operands: [make(2, 5, 16), make(24, 16)],
      first: (operands) => [operator("linear_recast", ...operands) as Tensor],
      again: (operands, [kept]) => [operator("linear_recast_recalled", ...operands, kept) as Tensor],
      plain: ([x, weight]) => [linear(x as Tensor, weight as Tensor)],
    },
    causal_attention: {
      operands: [make(1, 37, 4, 16), make(1, 37, 2, 16), make(1, 37, 2, 16)],
      first: (operands) => operator("causal_attention_kept", ...operands) as Tensor[],
      again: (operands, kept) => [operator("causal_attention_recalled", ...operands, ...kept) as Tensor],
      plain: (operands) => [operator("causal_attention", ...operands) as Tensor],
    },
  };
}

const sumOf = (results: Tensor[]): Tensor =>
  results
    .map((one, i) =>
      one
        .double()
        .mul(i + 1)
        .sin()
        .sum(),
    )
    .reduce((sum, one) => sum.add(one));

/** Results and gradients. */
function differentiated(of: Recallable, run: (leaves: Tensor[]) => Tensor[]): Tensor[] {
  const leaves = of.operands.map((x) => x.detach().requiresGrad_());
  const results = run(leaves);
  backward(sumOf(results));
  return [...results, ...leaves.map((leaf) => leaf.grad as Tensor)];
}

describe.each(["lora_linear", "lora_linear, dropout", "linear_recast", "causal_attention"])("%s", (name) => {
  it.each([
    ["float64", 1e-13],
    ["float32", 1e-5],
    ["bfloat16", 2e-2],
  ] as const)(
    "%s: results and gradients of the first pass's results are those of computing",
    (dtype, bound) => {
      const of = cases(dtype)[name] as Recallable;
      const kept = noGrad(() => of.first(of.operands));
      const computed = differentiated(of, of.plain);
      for (const [i, one] of differentiated(of, (leaves) => of.again(leaves, kept)).entries())
        expect(distance(one, computed[i] as Tensor), `${i}`).toBeLessThan(bound);
    },
  );

  it("gradients agree with finite differences", () => {
    const of = cases("float64")[name] as Recallable;
    const kept = noGrad(() => of.first(of.operands));
    const leaves = of.operands.map((x) => x.detach().requiresGrad_());
    for (const [i, leaf] of leaves.entries()) {
      const [gradient] = grad(sumOf(of.again(leaves, kept)), [leaf]) as [Tensor];
      const along = gradient.mul(leaf.cos()).sum().item();
      const loss = (step: number): number =>
        sumOf(of.plain(leaves.map((x, j) => (j === i ? x.add(x.cos().mul(step)) : x)))).item();
      const measured = noGrad(() => (loss(1e-6) - loss(-1e-6)) / 2e-6);
      expect(Math.abs(measured - along) / Math.abs(along)).toBeLessThan(1e-6);
    }
  });

  it("without recording it returns what it was given, and leaves no graph", () => {
    const of = cases("float32")[name] as Recallable;
    const kept = noGrad(() => of.first(of.operands));
    const [again] = of.again(of.operands, kept) as [Tensor];
    expect(again.requiresGrad).toBe(false);
    expect(again.tolist()).toEqual(kept[0]?.tolist());
  });

  it("refuses results of another shape", () => {
    const of = cases("float32")[name] as Recallable;
    const kept = noGrad(() => of.first(of.operands)).map((one) => one.narrow(1, 0, 3));
    expect(() => of.again(of.operands, kept)).toThrow(/given result is/);
  });

  it("runs on the meta device", () => {
    const of = cases("float32")[name] as Recallable;
    const on = (x: Tensor): Tensor => zeros([...x.shape], { device: "meta" });
    const leaves = of.operands.map((x) => on(x).requiresGrad_());
    const kept = noGrad(() => of.first(leaves));
    backward(of.again(leaves, kept).map((one) => one.sum()));
    expect(leaves.map((leaf) => leaf.grad?.shape)).toEqual(leaves.map((leaf) => leaf.shape));
  });
});

describe("causal_attention_recalled looks at what it is given", () => {
  const start = (): { leaves: Tensor[]; out: Tensor; sums: Tensor } => {
    manualSeed(5);
    const shape = (heads: number): Tensor => randn([2, 9, heads, 16]);
    const operands = [shape(4), shape(2), shape(2)];
    const [out, sums] = noGrad(() => operator("causal_attention_kept", ...operands)) as [Tensor, Tensor];
    return { leaves: operands.map((x) => x.requiresGrad_()), out, sums };
  };
  const gradients = (leaves: Tensor[], out: Tensor, sums: Tensor): Tensor[] => {
    const result = operator("causal_attention_recalled", ...leaves, out, sums) as Tensor;
    return grad(result.sin().sum(), leaves) as Tensor[];
  };

  it.each([
    ["an empty logsumexp", (sums: Tensor) => sums.narrow(1, 0, 0)],
    ["one of another length", (sums: Tensor) => sums.narrow(1, 0, 17)],
    ["one of other heads", (sums: Tensor) => sums.narrow(0, 0, 3)],
    ["one of another dtype", (sums: Tensor) => sums.to("float16")],
    ["one of float64", (sums: Tensor) => sums.to("float64")],
    ["one of whole numbers", (sums: Tensor) => sums.to("int32")],
    ["a flat one", (sums: Tensor) => sums.flatten(0, 1)],
  ])("%s is refused", (_, change) => {
    const { leaves, out, sums } = start();
    expect(() => gradients(leaves, out, change(sums))).toThrow(/given logsumexp is/);
  });

  it("what is given on another device is refused", () => {
    const { leaves, out, sums } = start();
    for (const [result, kept] of [
      [out, sums.to("meta")],
      [out.to("meta"), sums],
    ] as const)
      expect(() => gradients(leaves, result, kept)).toThrow(
        /what is given is on (?:cpu|meta), the query on cpu/,
      );
  });

  it.each([
    ["batch and seq", 0, 1],
    ["heads and dim", 2, 3],
    ["seq and heads", 1, 2],
    ["batch and dim", 0, 3],
  ] as const)("a result whose %s lie the other way round in memory has the same gradients", (_, a, b) => {
    const { leaves, out, sums } = start();
    const laid = (x: Tensor, i: number, j: number): Tensor => x.transpose(i, j).contiguous().transpose(i, j);
    const expected = gradients(leaves, out, sums);
    for (const [i, one] of gradients(leaves, laid(out, a, b), laid(sums, 0, 1)).entries())
      expect(distance(one, expected[i] as Tensor), `${i}`).toBe(0);
  });
});

it("under autocast the trained weight's gradient is that of libtorch's linear, in the weight's dtype", () => {
  manualSeed(3);
  const [x, weight] = [randn([2, 5, 16]), randn([24, 16])];
  const run = (layer: (x: Tensor, weight: Tensor) => Tensor): Tensor[] => {
    const leaves = [x, weight].map((one) => one.detach().requiresGrad_()) as [Tensor, Tensor];
    const out = autocast("bfloat16", () => layer(...leaves));
    backward(out.float().sin().sum());
    return [out, ...leaves.map((leaf) => leaf.grad as Tensor)];
  };
  const theirs = run(linear);
  for (const [i, one] of run((a, b) => operator("linear_recast", a, b) as Tensor).entries()) {
    expect(one.dtype).toBe(theirs[i]?.dtype);
    expect(distance(one, theirs[i] as Tensor)).toBe(0);
  }
});
