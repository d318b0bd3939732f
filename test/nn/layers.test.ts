// The layers and losses that loops begin with, against torch's (test/fixtures/nn/make.py).
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  binaryCrossEntropyWithLogits,
  crossEntropyLoss,
  Dropout,
  Embedding,
  klDivLoss,
  LayerNorm,
  Linear,
  l1Loss,
  Module,
  mseLoss,
  type Reduction,
  RMSNorm,
  Sequential,
  smoothL1Loss,
} from "../../lib/public/nn.js";
import { AdamW } from "../../lib/public/optim.js";
import { manualSeed, noGrad, ops, randn, type Tensor, tensor } from "../../lib/public/torch.js";

type Nested = number | Nested[];
interface Given {
  out: Nested;
  gradient: Nested;
}
const found = JSON.parse(readFileSync(new URL("../fixtures/nn/layers.json", import.meta.url), "utf8")) as {
  x: number[][];
  y: number[][];
  weight: number[];
  classes: number[];
  losses: (Given & { name: string; reduction: Reduction | "batchmean" })[];
  norm: Given & { weight: number[]; bias: number[] };
  "bare norm": Given;
  sequential: Given & { state: Record<string, number[][]> };
};

const of = (values: Nested): Tensor => tensor(values as number[]);
const classes = (): Tensor => tensor(found.classes, { dtype: "int64" });

function expectClose(got: Tensor, expected: Nested): void {
  expect(got.shape).toEqual(of(expected).shape);
  expect(got.allclose(of(expected), { rtol: 1e-5, atol: 1e-6 }), `${got} and ${of(expected)}`).toBe(true);
}

/** What a function makes of the fixture's x, and the gradient of its sum there. */
function expectBoth(make: (x: Tensor) => Tensor, { out, gradient }: Given): void {
  const x = of(found.x).requiresGrad_();
  const made = make(x);
  expectClose(made.detach(), out);
  made.sum().backward();
  expectClose(x.grad as Tensor, gradient);
}

const losses: Record<string, (x: Tensor, reduction: never) => Tensor> = {
  "cross entropy": (x, reduction) => crossEntropyLoss(x, classes(), { reduction }),
  "cross entropy, smoothed and weighted": (x, reduction) =>
    crossEntropyLoss(x, classes(), { reduction, weight: of(found.weight), labelSmoothing: 0.1 }),
  "cross entropy, another index ignored": (x, reduction) =>
    crossEntropyLoss(x, classes().clamp(0), { reduction, ignoreIndex: 1 }),
  "cross entropy of probabilities": (x, reduction) =>
    crossEntropyLoss(x, of(found.y).softmax(-1), { reduction }),
  mse: (x, reduction) => mseLoss(x, of(found.y), { reduction }),
  l1: (x, reduction) => l1Loss(x, of(found.y), { reduction }),
  "smooth l1": (x, reduction) => smoothL1Loss(x, of(found.y), { reduction, beta: 0.5 }),
  kl: (x, reduction) => klDivLoss(x.logSoftmax(-1), of(found.y).softmax(-1), { reduction }),
  "kl, logarithms": (x, reduction) =>
    klDivLoss(x.logSoftmax(-1), of(found.y).logSoftmax(-1), { reduction, logTarget: true }),
  bce: (x, reduction) => binaryCrossEntropyWithLogits(x, of(found.y).sigmoid(), { reduction }),
  "bce, weighted": (x, reduction) =>
    binaryCrossEntropyWithLogits(x, of(found.y).sigmoid(), {
      reduction,
      weight: of(found.weight),
      posWeight: of(found.weight).mul(2),
    }),
};

describe("losses", () => {
  it.each(found.losses)("$name, $reduction", ({ name, reduction, ...given }) => {
    expectBoth((x) => (losses[name] as (typeof losses)[string])(x, reduction as never), given);
  });

  it("take the mean where nothing is said, and refuse another word", () => {
    const [x, y] = [of(found.x), of(found.y)];
    expect(mseLoss(x, y).equal(mseLoss(x, y, { reduction: "mean" }))).toBe(true);
    expect(() => mseLoss(x, y, { reduction: "average" as never })).toThrow(
      'reduction: "average" is not one of none, mean, sum',
    );
  });
});

describe("LayerNorm", () => {
  it("computes as torch's, with its gradient", () => {
    const norm = new LayerNorm(5, { eps: 1e-3 });
    norm.loadStateDict({ weight: of(found.norm.weight), bias: of(found.norm.bias) });
    expectBoth((x) => norm.forward(x), found.norm);
    expect(norm.bias?.grad?.toArray()).toEqual(Float32Array.of(3, 3, 3, 3, 3));
  });

  it("over several dimensions, and without weights", () => {
    const norm = new LayerNorm([3, 5], { elementwiseAffine: false });
    expect(norm.parameters()).toEqual([]);
    expectBoth((x) => norm.forward(x), found["bare norm"]);
    expect([...new LayerNorm(4, { bias: false }).stateDict().keys()]).toEqual(["weight"]);
  });
});

describe("Sequential", () => {
  const net = () => new Sequential(new Linear(5, 4, { bias: true }), ops.relu, new Linear(4, 2));

  it("has PyTorch's names, draws and results", () => {
    manualSeed(7);
    const made = net();
    expect([...made.stateDict().keys()]).toEqual(Object.keys(found.sequential.state));
    for (const [name, values] of Object.entries(found.sequential.state))
      expectClose((made.stateDict().get(name) as Tensor).detach(), values);
    expectBoth((x) => made.forward(x), found.sequential);
  });

  it("is a tree: its layers are found, replaced and switched like others", () => {
    const made = new Sequential(new Linear(2, 2), new Sequential(new Dropout(0.1)));
    made.eval();
    expect((made.find("1.0") as Dropout).training).toBe(false);
    made.replace("0", new Linear(2, 3));
    expect(made.forward(randn([1, 2])).shape).toEqual([1, 3]);
    expect([...made].length).toBe(2);
  });

  it("refuses what is no step", () => {
    expect(() => new Sequential(new Linear(2, 2), 3 as never)).toThrow(
      "step 1 is neither a layer nor a function",
    );
    expect(() => new Sequential(Linear as never)).toThrow("step 0");
    expect(() => new Sequential(new (class extends Module {})() as never)).toThrow("step 0");
  });
});

describe("Dropout", () => {
  it("drops p of the elements in training, scales the rest, and nothing after eval()", () => {
    manualSeed(0);
    const layer = new Dropout(0.25);
    const out = layer.forward(tensor(new Float32Array(10_000).fill(1)));
    const kept = out.ne(0).float().mean().item() as number;
    expect(Math.abs(kept - 0.75)).toBeLessThan(0.02); // 4.6 standard deviations
    expect(out.max().item()).toBeCloseTo(1 / 0.75, 6);
    const x = randn([4]);
    expect(layer.eval().forward(x).equal(x)).toBe(true);
    expect(() => new Dropout(1.5)).toThrow("p is 1.5; a probability is from 0 to 1");
  });
});

describe("layers that a program makes", () => {
  it("train by default, and are frozen on request", () => {
    for (const layer of [
      new Linear(2, 2, { bias: true }),
      new Embedding(3, 2),
      new RMSNorm(2, 1e-6),
      new LayerNorm(2),
    ])
      expect(layer.parameters().every((parameter) => parameter.requiresGrad && parameter.isLeaf)).toBe(true);
    expect(new Linear(2, 2, { requiresGrad: false }).weight.requiresGrad).toBe(false);
    expect(new Linear(2, 2, { device: "meta" }).weight.requiresGrad).toBe(true);
  });

  it("learn with a flat list of parameters", () => {
    manualSeed(0);
    const net = new Sequential(new Linear(5, 16, { bias: true }), ops.silu, new Linear(16, 1));
    const optimizer = new AdamW(net.parameters(), { learningRate: 0.02 });
    const x = randn([64, 5]);
    const y = x.select(1, 0).mul(x.select(1, 1)).unsqueeze(1);
    const losses: number[] = [];
    for (let step = 0; step < 100; step++) {
      const loss = mseLoss(net.forward(x), y);
      loss.backward();
      optimizer.step();
      optimizer.zeroGrad();
      losses.push(loss.item() as number);
    }
    expect(losses.at(-1)).toBeLessThan(0.2 * (losses[0] as number));
  });
});

describe("loadStateDict", () => {
  const net = () => new Sequential(new Linear(2, 3), new LayerNorm(3));

  it("copies values of another dtype into the parameters, which stay the same tensors", () => {
    const made = net();
    const before = made.parameters();
    const state = new Map(
      [...net().stateDict()].map(([name, one]) => [name, noGrad(() => one.detach().add(1).double())]),
    );
    expect(made.loadStateDict(state)).toEqual({ missing: [], unexpected: [] });
    expect(made.parameters()).toEqual(before);
    for (const [name, value] of state)
      expect((made.stateDict().get(name) as Tensor).detach().equal(value.float())).toBe(true);
    expect(before.every((one) => one.requiresGrad && one.isLeaf)).toBe(true);
  });

  it("names what does not fit, and then changes nothing", () => {
    const made = net();
    const before = made.parameters().map((one) => one.detach().clone());
    const state: Record<string, Tensor> = { "0.weight": randn([3, 2]), "1.weight": randn([3]) };
    expect(() => made.loadStateDict({ ...state, extra: randn([1]) })).toThrow(
      "loadStateDict: no value for 1.bias; no parameter for extra; { strict: false } takes what fits",
    );
    expect(() => made.loadStateDict({ ...state, "1.bias": randn([4]) })).toThrow(
      "1.bias: the value is [4], the parameter [3]",
    );
    expect(made.parameters().every((one, i) => one.detach().equal(before[i] as Tensor))).toBe(true);
    expect(made.loadStateDict({ ...state, extra: randn([1]) }, { strict: false })).toEqual({
      missing: ["1.bias"],
      unexpected: ["extra"],
    });
    expect((made.find("0") as Linear).weight.detach().equal(state["0.weight"] as Tensor)).toBe(true);
  });

  it("takes a tied parameter by either name, and refuses one without memory", () => {
    class Tied extends Module {
      embed = new Embedding(3, 2);
      head = new Linear(2, 3);
    }
    const tied = new Tied();
    tied.head.weight = tied.embed.weight;
    const value = randn([3, 2]);
    expect(tied.loadStateDict({ "head.weight": value })).toEqual({ missing: [], unexpected: [] });
    expect(tied.embed.weight.detach().equal(value)).toBe(true);
    expect(() => new Linear(2, 3, { device: "meta" }).loadStateDict({ weight: value })).toThrow(
      'weight is on meta and holds no values; make the module on "cpu" to load into it',
    );
  });
});
