// Layers that multiply in 8-bit floats: what they round to, their products forward and in both gradients, and what they
// refuse. The reference decodes bytes by the formats' definition (OCP's OFP8) and multiplies in float64.
import { describe, expect, it } from "vitest";
import { quantizationConfig } from "../../../lib/models/files/quantization.js";
import { Float8Linear, FrozenFloat8Linear, Linear, recalling, remembering } from "../../../lib/nn/index.js";
import { LoraLinear } from "../../../lib/peft/index.js";
import {
  autocast,
  empty,
  manualSeed,
  noGrad,
  op,
  randn,
  type Tensor,
  tensor,
  zeros,
} from "../../../lib/torch/index.js";

const quantize = op<(numbers: Tensor, wide: boolean) => [Tensor, Tensor]>(
  "qwen_pt::composite_quantize_float8",
);

/** What a byte stands for: `mantissa` bits of mantissa, the rest below the sign exponent. */
function decode(byte: number, mantissa: number): number {
  const bias = mantissa === 3 ? 7 : 15;
  const exponent = (byte & 127) >> mantissa;
  const digits = (byte & ((1 << mantissa) - 1)) / (1 << mantissa);
  const size = exponent === 0 ? digits * 2 ** (1 - bias) : (1 + digits) * 2 ** (exponent - bias);
  return byte & 128 ? -size : size;
}

/** A matrix as 8 bits have it, float64; with the unit. */
function rounded(x: Tensor, wide: boolean): { values: Tensor; unit: number } {
  const [codes, unit] = quantize(x.detach(), wide);
  const scale = unit.item();
  const numbers = Array.from(codes.toArray() as Uint8Array, (byte) => decode(byte, wide ? 2 : 3) * scale);
  return { values: tensor(numbers, { dtype: "float64" }).view([...x.shape]), unit: scale };
}

const off = (a: Tensor, b: Tensor): number =>
  Number(a.detach().double().sub(b.detach().double()).norm().div(b.detach().double().norm()).item());

/** Few digits, so that every sum of products is exact in float32, whatever its order. */
const plain = (shape: readonly number[]): Tensor => randn(shape).mul(4).round().clamp(-15, 15);

describe("rounding to 8-bit floats", () => {
  const LEAST = { e4m3: 2 ** -9, e5m2: 2 ** -16 };

  it.each([
    ["e4m3", false, 448, 3],
    ["e5m2", true, 57344, 2],
  ] as const)("of %s: to nearest, ties to even", (format, wide, largest, mantissa) => {
    const levels = Array.from({ length: 128 }, (_, byte) => decode(byte, mantissa)).filter(
      (level) => level <= largest,
    );
    const middles = levels.slice(1).map((level, i) => (level + (levels[i] as number)) / 2);
    // the largest sets the unit to 1
    const given = [...levels, ...middles, ...middles.map((middle) => middle * 1.001)].map(Math.fround);
    const { values, unit } = rounded(tensor(given).view([1, given.length]), wide);
    expect(unit).toBe(1);
    const got = Array.from(values.toArray() as Float64Array);
    given.forEach((x, i) => {
      const distance = Math.abs((got[i] as number) - x);
      const best = Math.min(...levels.map((level) => Math.abs(level - x)));
      expect([x, distance]).toEqual([x, best]);
      // half of the steps are even: their code is
      const nearest = levels.filter((level) => Math.abs(level - x) === best);
      if (nearest.length === 2) expect(levels.indexOf(got[i] as number) % 2).toBe(0);
    });
    expect(Math.min(...got.filter((x) => x > 0))).toBe(LEAST[format]);
  });

  it("by the least power of two that reaches the largest", () => {
    for (const wide of [false, true]) {
      const top = wide ? 57344 : 448;
      for (const most of [1, 1.75, Math.fround(1.7500001), 447, 449, 3e-5, 1e30]) {
        const { unit } = rounded(tensor([[most, 0]]), wide);
        expect(Number.isInteger(Math.log2(unit))).toBe(true);
        expect(most / unit).toBeLessThanOrEqual(top);
        expect(most / unit).toBeGreaterThan(top / 2);
      }
    }
    expect(
      rounded(zeros([2, 2]), false)
        .values.abs()
        .max()
        .item(),
    ).toBe(0);
  });

  it("loses nothing when it is done again, in any dtype", () => {
    for (const dtype of ["float32", "bfloat16", "float16"] as const) {
      const { values } = rounded(randn([8, 32]).mul(1e-3).to(dtype), false);
      expect(off(rounded(values.to(dtype), false).values, values)).toBe(0);
    }
  });

  it("is no number anywhere where a number is not finite", () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const layer = new Float8Linear(16, 16);
      const x = zeros([3, 16]);
      x.select(0, 1).fill_(bad);
      const out = layer.forward(x);
      expect(out.isnan().all().item()).toBeTruthy();
    }
  });
});

describe("a layer that trains", () => {
  const made = (tokens: number, make = randn) => {
    manualSeed(3);
    const layer = new Float8Linear(48, 32);
    noGrad(() => layer.weight.copy_(make([32, 48])));
    const x = make([1, tokens, 48]).requiresGrad_();
    const seed = make([1, tokens, 32]);
    const out = layer.forward(x);
    out.backward(seed);
    const rows = (t: Tensor): Tensor => t.detach().view([tokens, -1]);
    const [w, input, gradient] = [layer.weight.detach(), rows(x), rows(seed)];
    const [qw, qx] = [rounded(w, false).values, rounded(input, false).values];
    const qg = rounded(gradient, true).values;
    return [
      [rows(out), qx.matmul(qw.t()), input.matmul(w.t())],
      [rows(x.grad as Tensor), qg.matmul(qw), gradient.matmul(w)],
      [layer.weight.grad as Tensor, qg.t().matmul(qx), gradient.t().matmul(input)],
    ] as [Tensor, Tensor, Tensor][];
  };

  it.each([16, 7, 33])("multiplies what was rounded, exactly: %i tokens", (tokens) => {
    for (const [got, reference] of made(tokens, plain)) expect(off(got, reference)).toBe(0);
  });

  it("is as near to the plain product as 4 and 3 digits are", () => {
    const [forward, dX, dW] = made(64).map(([got, reference, exact]) => {
      expect(off(got, reference)).toBeLessThan(1e-6);
      return off(got, exact);
    });
    expect(forward).toBeGreaterThan(0.02);
    expect(forward).toBeLessThan(0.05);
    for (const each of [dX, dW]) {
      expect(each).toBeGreaterThan(0.04);
      expect(each).toBeLessThan(0.08);
    }
  });

  it("computes in autocast's dtype, and has its gradient in the weight's", () => {
    const layer = new Float8Linear(16, 32, { bias: true });
    const out = autocast("bfloat16", () => layer.forward(randn([5, 16])));
    expect(out.dtype).toBe("bfloat16");
    out.sum().backward();
    expect(layer.weight.grad?.dtype).toBe("float32");
    expect(layer.bias?.grad?.dtype).toBe("float32");
  });

  it("takes from a first pass what it has computed", () => {
    const layer = new Float8Linear(16, 16);
    const x = randn([4, 16]);
    const kept: Tensor[][] = [];
    const gradient = (body: () => Tensor): Tensor => {
      layer.weight.grad = undefined;
      body().square().sum().backward();
      return layer.weight.grad as unknown as Tensor;
    };
    const once = gradient(() => layer.forward(x)).clone();
    noGrad(() => remembering(kept, "expensive", () => layer.forward(x)));
    const twice = gradient(() => recalling(kept, "expensive", () => layer.forward(x)));
    expect(off(twice, once)).toBe(0);
  });

  it("takes a plain layer's parameters", () => {
    const layer = new Linear(16, 32, { bias: true });
    const made = Float8Linear.of(layer);
    expect([made.weight, made.bias]).toEqual([layer.weight, layer.bias]);
  });

  it("has sides of sixteens", () => {
    expect(() => new Float8Linear(24, 16).forward(randn([2, 24]))).toThrow(/multiples of 16, not \[16, 24\]/);
  });

  it("gives a card what it asks for", () => {
    // the kernel of meta refuses what a card would: rows, columns, multiples of 16
    const layer = new Float8Linear(48, 32, { device: "meta" });
    const x = empty([1, 7, 48], { device: "meta" }).requiresGrad_();
    layer.forward(x).sum().backward();
    expect([x.grad?.shape, layer.weight.grad?.shape]).toEqual([
      [1, 7, 48],
      [32, 48],
    ]);
  });
});

describe("a frozen layer", () => {
  const layer = (make = randn) => {
    manualSeed(1);
    const weight = make([32, 48]).to("bfloat16");
    const made = new FrozenFloat8Linear(48, 32);
    made.quantize(weight);
    return { made, weight, values: rounded(weight, false).values };
  };

  it("has the values of its codes, in the dtype that it had", () => {
    const { made, values } = layer();
    expect(made.values().dtype).toBe("bfloat16");
    expect(off(made.values(), values)).toBe(0);
  });

  it("multiplies what was rounded, exactly, and passes a gradient on", () => {
    const { made, values } = layer(plain);
    const x = plain([7, 48]).requiresGrad_();
    const seed = plain([7, 32]);
    const out = made.forward(x);
    out.backward(seed);
    expect(off(out, rounded(x, false).values.matmul(values.t()))).toBe(0);
    expect(off(x.grad as Tensor, rounded(seed, true).values.matmul(values))).toBe(0);
  });

  it("has an adapter beside it, which sees its input as it is", () => {
    const { made, values } = layer(plain);
    const loras = [new LoraLinear(made, 4, 2, 0), new LoraLinear(layer(plain).made, 4, 2, 0)];
    for (const lora of loras) noGrad(() => lora.lora_B.weight.copy_(randn([32, 4])));
    const x = plain([16, 48]).requiresGrad_();
    const seed = plain([16, 32]);
    const outs = (loras[0] as LoraLinear).forwardTogether(loras, x) as Tensor[];
    const [base, gradient] = [rounded(x, false).values.matmul(values.t()), rounded(seed, true).values];
    let dX = zeros([16, 48], { dtype: "float64" });
    outs.forEach((out, i) => {
      const { lora_A, lora_B } = loras[i] as LoraLinear;
      const [a, b] = [lora_A.weight.detach().double(), lora_B.weight.detach().double()];
      expect(off(out, base.add(x.detach().double().matmul(a.t()).matmul(b.t()).mul(2)))).toBeLessThan(1e-6);
      dX = dX.add(gradient.matmul(values)).add(seed.double().matmul(b).matmul(a).mul(2));
    });
    (outs[0] as Tensor).add(outs[1] as Tensor).backward(seed);
    expect(off(x.grad as Tensor, dX)).toBeLessThan(1e-6);
    const { lora_A, lora_B } = loras[0] as LoraLinear;
    const dA = seed.double().matmul(lora_B.weight.detach().double()).mul(2).t().matmul(x.detach().double());
    expect(off(lora_A.weight.grad as Tensor, dA)).toBeLessThan(1e-6);
  });

  it("takes no other weights, and is not saved", () => {
    const { made } = layer();
    expect(() => made.rewrite()).toThrow(/a weight of 8 bits takes no new values/);
    expect(() => made.adopt(new Map(), "model.safetensors: q")).toThrow(/quantized already/);
    expect(() => quantizationConfig({ type: "fp8 products", skipped: [] }, "bfloat16")).toThrow(
      "a frozen model in fp8 is not saved: save the original weights",
    );
  });
});
