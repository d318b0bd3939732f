// LoRA layers as one node of autograd, one layer or several of one input, against the composition of linear layers and
// against finite differences.
import { describe, expect, it } from "vitest";
import { type Layer, Linear } from "../../../lib/nn/index.js";
import { LoraLinear } from "../../../lib/peft/index.js";
import {
  autocast,
  backward,
  call,
  type DType,
  dropout as drop,
  grad,
  manualSeed,
  noGrad,
  randn,
  scope,
  type Tensor,
  zeros,
} from "../../../lib/torch/index.js";

interface Operands {
  /** The share that is dropped, drawn from the same state each time. */
  dropout?: number;
  x: Tensor;
  weights: Tensor[];
  a: Tensor[];
  b: Tensor[];
  scalings: number[];
}

const sizes = [
  { out: 40, rank: 4, scaling: 2 },
  { out: 24, rank: 3, scaling: 0.5 },
  { out: 24, rank: 8, scaling: 1 },
];

function make(count: number, dropout = 0): Operands {
  manualSeed(count);
  const used = sizes.slice(0, count);
  const table = (...shape: number[]): Tensor => randn(shape, { dtype: "float64" });
  return {
    x: table(2, 9, 32),
    weights: used.map(({ out }) => table(out, 32)),
    a: used.map(({ rank }) => table(rank, 32)),
    b: used.map(({ out, rank }) => table(out, rank)),
    scalings: used.map(({ scaling }) => scaling),
    dropout,
  };
}

const lora = (name: string, { x, weights, a, b, scalings, dropout = 0 }: Operands): Tensor[] => {
  manualSeed(5);
  return call(`qwen_pt::${name}`, x, weights, a, b, scalings, dropout) as Tensor[];
};

function distance(a: Tensor, b: Tensor): number {
  return a.sub(b).norm().item() / b.norm().item();
}

/** Outputs and gradients of x, A and B, in float64. */
function run(name: string, of: Operands, dtype: DType): Tensor[] {
  const leaf = (x: Tensor): Tensor => x.to({ dtype }).detach().requiresGrad_();
  const [x, a, b] = [leaf(of.x), of.a.map(leaf), of.b.map(leaf)];
  const weights = of.weights.map((weight) => weight.to({ dtype }));
  const outs = lora(name, { ...of, x, weights, a, b });
  const total = outs
    .map((out, i) =>
      out
        .double()
        .mul(i + 1)
        .sin()
        .sum(),
    )
    .reduce((sum, one) => sum.add(one));
  backward(total);
  for (const weight of weights) expect(weight.grad).toBeUndefined();
  return [...outs.map((out) => out.detach()), ...[x, ...a, ...b].map((one) => one.grad as Tensor)].map(
    (one) => one.double(),
  );
}

describe.each([
  [1, 0],
  [2, 0],
  [3, 0],
  [1, 0.3],
  [3, 0.3],
])("%i layers of one input, dropout %d", (count, dropout) => {
  it.each([
    ["float64", 1e-13],
    ["float32", 3e-5], // of a sine of sums: what the sums lack is turned into angles
  ] as const)("%s: outputs and gradients are the composition's", (dtype, bound) => {
    const theirs = run("composite_lora_linear", make(count, dropout), "float64");
    for (const [i, one] of run("lora_linear", make(count, dropout), dtype).entries())
      expect(distance(one, theirs[i] as Tensor), `${i}`).toBeLessThan(bound);
  });

  it("the gradients agree with finite differences", () => {
    const of = make(count, dropout);
    const leaves = [of.x, ...of.a, ...of.b].map((x) => x.detach().requiresGrad_());
    const loss = (step: number, moved?: number): Tensor => {
      const at = leaves.map((x, i) => (i === moved ? x.add(x.cos().mul(step)) : x));
      const outs = lora("lora_linear", {
        ...of,
        x: at[0] as Tensor,
        a: at.slice(1, 1 + count),
        b: at.slice(1 + count),
      });
      return outs.map((out) => out.square().sum()).reduce((sum, one) => sum.add(one));
    };
    for (const [i, leaf] of leaves.entries()) {
      const [gradient] = grad(loss(0), [leaf]) as [Tensor];
      const along = gradient.mul(leaf.cos()).sum().item();
      const measured = noGrad(() => (loss(1e-5, i).item() - loss(-1e-5, i).item()) / 2e-5);
      expect(Math.abs(measured - along) / Math.abs(along)).toBeLessThan(1e-7);
    }
  });

  it("runs on the meta device", () => {
    const on = (x: Tensor): Tensor => zeros([...x.shape], { device: "meta" });
    const { x, weights, a, b, scalings } = make(count, dropout);
    const [input, as] = [on(x).requiresGrad_(), a.map((one) => on(one).requiresGrad_())];
    const outs = lora("lora_linear", {
      x: input,
      weights: weights.map(on),
      a: as,
      b: b.map(on),
      scalings,
      dropout,
    });
    expect(outs.map((out) => out.shape[2])).toEqual(sizes.slice(0, count).map(({ out }) => out));
    for (const out of outs) backward(out.sum(), undefined, { retainGraph: true });
    expect([input.grad?.shape, as.map((one) => one.grad?.shape)]).toEqual([
      x.shape,
      a.map((one) => one.shape),
    ]);
  });
});

it("an output that nothing uses costs nothing and sends back nothing", () => {
  const of = make(2);
  const [x, b] = [of.x.detach().requiresGrad_(), of.b.map((one) => one.detach().requiresGrad_())];
  const [first] = lora("lora_linear", { ...of, x, b }) as [Tensor];
  backward(first.sum());
  expect(b.map((one) => one.grad !== undefined)).toEqual([true, false]);
  const alone = of.x.detach().requiresGrad_();
  backward((lora("composite_lora_linear", { ...of, x: alone })[0] as Tensor).sum());
  expect(distance(x.grad as Tensor, alone.grad as Tensor)).toBeLessThan(1e-14);
});

it("weights that train are refused, and operands that do not fit", () => {
  const of = make(2);
  expect(() =>
    lora("lora_linear", { ...of, weights: of.weights.map((w) => w.detach().requiresGrad_()) }),
  ).toThrow(/frozen/);
  expect(() => lora("lora_linear", { ...of, a: of.a.map((a) => a.float()) })).toThrow(/cast one/);
  expect(() => lora("lora_linear", { ...of, a: of.b })).toThrow(/do not belong together/);
  expect(() => lora("lora_linear", { ...of, scalings: [1] })).toThrow(/as many/);
  expect(() => lora("lora_linear", { ...of, dropout: 1 })).toThrow(/dropout must be in \[0, 1\)/);
});

describe("layers", () => {
  const adapted = (dropout: number, bias = false): LoraLinear => {
    const layer = new LoraLinear(new Linear(16, 12, { bias }), 4, 2, dropout);
    noGrad(() => layer.lora_B.weight.normal_(0, 1));
    return layer;
  };
  const slowly = (layer: LoraLinear, x: Tensor): Tensor =>
    layer.base_layer.forward(x).add(layer.lora_B.forward(layer.lora_A.forward(x)).mul(layer.scaling));

  it("share one node where all are plain; each result is its own", () => {
    manualSeed(2);
    const layers = [adapted(0), adapted(0)];
    const x = randn([3, 16]);
    const outs = (layers[0] as LoraLinear).forwardTogether(layers, x) as Tensor[];
    for (const [i, layer] of layers.entries()) {
      expect(distance(outs[i] as Tensor, slowly(layer, x))).toBeLessThan(1e-6);
      expect((outs[i] as Tensor).equal(layer.forward(x))).toBe(true);
    }
  });

  it("with another dropout, a bias, another kind of layer or mixed dtypes they go their own way", () => {
    const x = randn([3, 16]);
    const plain = adapted(0);
    const others: Layer[] = [adapted(0.1), adapted(0, true), new Linear(16, 12)];
    for (const other of others) expect(plain.forwardTogether([plain, other], x)).toBeUndefined();
    const dropping = adapted(0.1);
    expect(distance(dropping.eval().forward(x), slowly(dropping, x))).toBeLessThan(1e-6);
    expect(plain.forwardTogether([plain], x.double())).toBeUndefined();
  });

  it("dropout takes the same elements as one layer after the other, each its own", () => {
    const layers = [adapted(0.5), adapted(0.5)];
    const x = randn([3, 16]);
    manualSeed(3);
    const outs = (layers[0] as LoraLinear).forwardTogether(layers, x) as Tensor[];
    manualSeed(3);
    for (const [i, { base_layer, lora_A, lora_B, scaling }] of layers.entries()) {
      const update = lora_B.forward(lora_A.forward(drop(x, 0.5, true))).mul(scaling);
      expect(distance(outs[i] as Tensor, base_layer.forward(x).add(update))).toBeLessThan(1e-6);
    }
  });

  it.each([0, 0.5])("under autocast, dropout %d: in its dtype, and A and B get float32 gradients", (rate) => {
    const layer = adapted(rate);
    const x = randn([3, 16]).requiresGrad_();
    scope(() => {
      manualSeed(4);
      const out = autocast("bfloat16", () => layer.forward(x));
      expect(out.dtype).toBe("bfloat16");
      const { base_layer, lora_A, lora_B, scaling } = layer;
      manualSeed(4);
      const update = lora_B.forward(lora_A.forward(drop(x, rate, true))).mul(scaling);
      expect(distance(out.float(), base_layer.forward(x).add(update))).toBeLessThan(2e-2);
      backward(out.float().sum());
    });
    expect([x.grad?.dtype, layer.lora_A.weight.grad?.dtype, layer.lora_B.weight.grad?.dtype]).toEqual([
      "float32",
      "float32",
      "float32",
    ]);
  });
});
