// Head and loss in one operator: against cross entropy of the whole logits (Python's, in fixtures/torch/loss), against
// finite differences, and what it must not do: silently lose a gradient, or compute one that nobody asked for.
import { describe, expect, it } from "vitest";
import {
  call,
  type DType,
  grad,
  linearCrossEntropy,
  linearCrossEntropyInto,
  loadSafetensors,
  noGrad,
  type Tensor,
  TorchError,
  tensor,
  zeros,
} from "../../lib/torch/index.js";

const fixture = loadSafetensors(new URL("../fixtures/torch/loss.safetensors", import.meta.url).pathname);
const stored = (name: string): Tensor => fixture.get(name) as Tensor;
const target = stored("target");
const [ROWS, VOCABULARY] = [11, 13];

function leaves(dtype: DType): { hidden: Tensor; weight: Tensor } {
  const leaf = (name: string): Tensor => stored(name).to({ dtype }).clone().requiresGrad_();
  return { hidden: leaf("hidden"), weight: leaf("weight") };
}

/** |a - b| / |b|, in float64. */
function distance(a: Tensor | undefined, b: Tensor): number {
  if (a === undefined) throw new Error("no gradient");
  expect(a.dtype).toBe(b.dtype);
  const [x, y] = [a.detach().double(), b.double()];
  return x.sub(y).norm().item() / y.norm().item();
}

/** Bytes of logits that make chunks of this many rows. */
const chunkOf = (rows: number): number => rows * VOCABULARY * 4;

// bfloat16: the logits are rounded alike, the gradients of the head are added up in float32 here, in bfloat16 there.
const bounds: [DType, number, number][] = [
  ["float64", 1e-14, 1e-14],
  ["float32", 1e-6, 1e-6],
  ["bfloat16", 1e-6, 8e-3],
];

describe.each(bounds)("in %s", (dtype, lossBound, gradientBound) => {
  it.each([1, 2, 3, 4, 10, 11, 100])("chunks of %i rows give the loss and gradients of the whole", (rows) => {
    const { hidden, weight } = leaves(dtype);
    const loss = linearCrossEntropy(hidden, weight, target, 0.25, -100, chunkOf(rows));
    loss.backward();
    expect(loss.shape).toEqual([]);
    expect(distance(loss, stored(`${dtype}.loss`))).toBeLessThan(lossBound);
    expect(distance(hidden.grad, stored(`${dtype}.hidden`))).toBeLessThan(gradientBound);
    expect(distance(weight.grad, stored(`${dtype}.weight`))).toBeLessThan(gradientBound);
  });
});

it("agrees with finite differences", () => {
  const { hidden, weight } = leaves("float64");
  const direction = { hidden: stored("hidden").sin(), weight: stored("weight").cos() };
  const loss = (step: number): number =>
    noGrad(() =>
      linearCrossEntropy(
        hidden.add(direction.hidden.mul(step)),
        weight.add(direction.weight.mul(step)),
        target,
        0.5,
      ).item(),
    );
  linearCrossEntropy(hidden, weight, target, 0.5, -100, chunkOf(4)).backward();
  const along =
    (hidden.grad as Tensor).mul(direction.hidden).sum().item() +
    (weight.grad as Tensor).mul(direction.weight).sum().item();
  const step = 1e-5;
  expect((loss(step) - loss(-step)) / (2 * step)).toBeCloseTo(along, 7);
});

it("ignored rows count for nothing and get a gradient of zero", () => {
  const { hidden, weight } = leaves("float64");
  linearCrossEntropy(hidden, weight, target).backward();
  const rows = (hidden.grad as Tensor).norm(2, 1).tolist() as number[];
  expect(rows.map((size) => size === 0)).toEqual(
    (target.tolist() as number[]).map((label) => label === -100),
  );

  const shifted = target.clone().maskedFill(target.eq(-100), 7);
  const ignoring7 = linearCrossEntropy(hidden, weight, shifted, 1, 7);
  const { hidden: h, weight: w } = leaves("float64");
  const seven = shifted.maskedFill(shifted.eq(7), -100);
  expect(ignoring7.item()).toBe(linearCrossEntropy(h, w, seven).item());

  const nothing = linearCrossEntropy(hidden, weight, target.clone().fill_(-100));
  expect(nothing.item()).toBe(0);
  const [none] = grad(nothing, [hidden]) as [Tensor];
  expect(none.abs().sum().item()).toBe(0);
});

it("scale multiplies loss and gradients; so does what comes from above", () => {
  const gradientOf = (scale: number, above: number): Tensor => {
    const { hidden, weight } = leaves("float64");
    linearCrossEntropy(hidden, weight, target, scale).mul(above).backward();
    return hidden.grad as Tensor;
  };
  expect(distance(gradientOf(0.5, 3), gradientOf(1.5, 1))).toBeLessThan(1e-15);
  expect(gradientOf(0, 1).abs().sum().item()).toBe(0);
});

it("large logits do not overflow", () => {
  const hidden = tensor([[1000], [-1000]], { requiresGrad: true });
  const loss = linearCrossEntropy(hidden, tensor([[1], [-1]]), tensor([1n, 1n]));
  loss.backward();
  expect(loss.item()).toBe(2000);
  expect(hidden.grad?.tolist()).toEqual([[2], [0]]);
});

describe("gradients are made for those who ask", () => {
  it("a frozen weight gets none, a frozen input gets none", () => {
    const { hidden, weight } = leaves("float32");
    weight.requiresGrad = false;
    linearCrossEntropy(hidden, weight, target, 0.25).backward();
    expect(weight.grad).toBeUndefined();
    expect(distance(hidden.grad, stored("float32.hidden"))).toBeLessThan(1e-6);

    const again = leaves("float32");
    again.hidden.requiresGrad = false;
    linearCrossEntropy(again.hidden, again.weight, target, 0.25).backward();
    expect(again.hidden.grad).toBeUndefined();
    expect(distance(again.weight.grad, stored("float32.weight"))).toBeLessThan(1e-6);
  });

  it("a frozen weight costs no memory: no [vocabulary, d] is made", () => {
    const weight = zeros([50_000, 256], { device: "meta" });
    const hidden = zeros([8, 256], { device: "meta", requiresGrad: true });
    const labels = zeros([8], { device: "meta", dtype: "int64" });
    linearCrossEntropy(hidden, weight, labels).backward();
    expect(hidden.grad?.shape).toEqual([8, 256]);
    expect(weight.grad).toBeUndefined();
  });

  it("without gradients, by frozen operands or by noGrad, the loss is the same and needs none", () => {
    const { hidden, weight } = leaves("float64");
    const expected = stored("float64.loss").item();
    const quiet = noGrad(() => linearCrossEntropy(hidden, weight, target, 0.25));
    expect(quiet.requiresGrad).toBe(false);
    expect(quiet.item()).toBeCloseTo(expected, 12);
    const frozen = linearCrossEntropy(hidden.detach(), weight.detach(), target, 0.25);
    expect(frozen.requiresGrad).toBe(false);
    expect(frozen.item()).toBeCloseTo(expected, 12);
  });

  it("a chain through both operands is followed", () => {
    const { hidden, weight } = leaves("float64");
    linearCrossEntropy(hidden.mul(1), weight.mul(1), target, 0.25).backward();
    expect(distance(hidden.grad, stored("float64.hidden"))).toBeLessThan(1e-14);
    expect(distance(weight.grad, stored("float64.weight"))).toBeLessThan(1e-14);
  });

  it("two backward passes of a kept graph add up", () => {
    const { hidden, weight } = leaves("float64");
    const loss = linearCrossEntropy(hidden, weight, target, 0.25);
    loss.backward(undefined, { retainGraph: true });
    loss.backward();
    expect(distance(hidden.grad?.div(2), stored("float64.hidden"))).toBeLessThan(1e-14);
    expect(distance(weight.grad?.div(2), stored("float64.weight"))).toBeLessThan(1e-14);
  });

  it("two uses of one weight add up", () => {
    const { hidden, weight } = leaves("float64");
    const [top, bottom] = [
      [0, 5],
      [5, 6],
    ].map(([start, length]) =>
      linearCrossEntropy(
        hidden.narrow(0, start as number, length as number),
        weight,
        target.narrow(0, start as number, length as number),
        0.25,
      ),
    ) as [Tensor, Tensor];
    top.add(bottom).backward();
    expect(distance(weight.grad, stored("float64.weight"))).toBeLessThan(1e-14);
    expect(distance(hidden.grad, stored("float64.hidden"))).toBeLessThan(1e-14);
  });

  it("a second derivative is refused, not silently wrong", () => {
    const { hidden, weight } = leaves("float64");
    const loss = linearCrossEntropy(hidden, weight, target);
    expect(() => grad(loss, [hidden], undefined, { createGraph: true })).toThrow(/second derivative/);
  });
});

it("runs on the meta device, where there is nothing to compute with", () => {
  const at = { device: "meta", dtype: "bfloat16", requiresGrad: true } as const;
  const [hidden, weight] = [zeros([ROWS, 6], at), zeros([VOCABULARY, 6], at)];
  const loss = linearCrossEntropy(hidden, weight, target.to("meta"), 1, -100, chunkOf(3));
  expect(loss).toMatchObject({ shape: [], dtype: "float32", device: "meta" });
  loss.backward();
  expect(hidden.grad).toMatchObject({ shape: [ROWS, 6], dtype: "bfloat16", device: "meta" });
  expect(weight.grad).toMatchObject({ shape: [VOCABULARY, 6], dtype: "bfloat16", device: "meta" });
});

it("no rows: a loss of zero", () => {
  const hidden = zeros([0, 6], { requiresGrad: true });
  const loss = linearCrossEntropy(hidden, zeros([13, 6]), zeros([0], { dtype: "int64" }));
  expect(loss.item()).toBe(0);
  loss.backward();
  expect(hidden.grad?.shape).toEqual([0, 6]);
});

it("refuses what does not fit, by name and shape", () => {
  const { hidden, weight } = leaves("float32");
  const wrong: [() => Tensor, RegExp][] = [
    [() => linearCrossEntropy(hidden, zeros([13, 5]), target), /\[rows, d\].*\[11, 6\].*\[13, 5\]/],
    [() => linearCrossEntropy(hidden, weight, target.narrow(0, 0, 3)), /target must be \[rows\]/],
    [() => linearCrossEntropy(hidden, weight.double(), target), /cast one of them/],
    [() => linearCrossEntropy(hidden, weight, target.clone().fill_(13)), /out of bounds/],
  ];
  for (const [body, message] of wrong) {
    expect(body).toThrow(TorchError);
    expect(body).toThrow(message);
    expect(body).toThrow(/qwen_pt::linear_cross_entropy/);
  }
});

const composite = call as (name: string, ...args: unknown[]) => unknown;

it.each(bounds)("%s: the kernel gives what ATen operators give", (dtype, lossBound, gradientBound) => {
  const results = ["linear_cross_entropy", "composite_linear_cross_entropy"].map((name) => {
    const { hidden, weight } = leaves(dtype);
    const loss = composite(`qwen_pt::${name}`, hidden, weight, target, 0.25, -100, chunkOf(4)) as Tensor;
    loss.backward();
    return [loss, hidden.grad as Tensor, weight.grad as Tensor];
  });
  const [ours, theirs] = results as [Tensor[], Tensor[]];
  expect(distance(ours[0], theirs[0] as Tensor)).toBeLessThan(lossBound);
  for (const at of [1, 2]) expect(distance(ours[at], theirs[at] as Tensor)).toBeLessThan(gradientBound);
});

it("a label outside the vocabulary is an error that names it", () => {
  const { hidden, weight } = leaves("bfloat16");
  expect(() => linearCrossEntropy(hidden, weight, target.clone().fill_(VOCABULARY))).toThrow(
    /target 13 of row 0 is out of bounds: the vocabulary has 13/,
  );
});

describe("with the weight's gradient added in place", () => {
  it.each([
    ["float64", "float64", 1e-14],
    ["float32", "float32", 1e-6],
    ["bfloat16", "float32", 8e-3],
  ] as const)("hidden states in %s, weight in %s: the same loss and gradients", (narrow, wide, bound) => {
    const own = leaves(narrow);
    const table = own.weight.detach().to({ dtype: wide }).requiresGrad_();
    const into = zeros([...table.shape], { dtype: wide });
    const loss = linearCrossEntropyInto(own.hidden, table, target, 0.25, -100, chunkOf(4), into);
    loss.backward();
    expect(table.grad).toBeUndefined();
    expect(distance(loss, stored(`${narrow}.loss`))).toBeLessThan(bound);
    expect(distance(own.hidden.grad, stored(`${narrow}.hidden`))).toBeLessThan(bound);
    expect(distance(into.to({ dtype: narrow }), stored(`${narrow}.weight`))).toBeLessThan(bound);
  });

  it("adds to what is there, and asks for no graph where the hidden states have none", () => {
    const { hidden, weight } = leaves("float64");
    const into = zeros([...weight.shape], { dtype: "float64" });
    for (let time = 0; time < 2; time++) {
      const loss = linearCrossEntropyInto(hidden.detach(), weight, target, 0.25, -100, chunkOf(4), into);
      expect(loss.requiresGrad).toBe(false);
    }
    expect(distance(into.mul(0.5), stored("float64.weight"))).toBeLessThan(1e-14);
  });
});
