// Weights of 8 bits with a scale a row (LLM.int8) against bitsandbytes 0.50.2 on the CPU: codes and scales bit for bit,
// products as it trains and as it reads, and what a checkpoint may lack.
import { describe, expect, it } from "vitest";
import { Linear8bit } from "../../../lib/nn/index.js";
import { type DType, noGrad, op, scope, type Tensor, tensor } from "../../../lib/torch/index.js";
import * as fixture from "../../fixtures/quantized/read.js";

const stored = fixture.tensors("rows");
const at = (name: string): Tensor => stored.get(name) as Tensor;
const bytes = (t: Tensor): string => Buffer.from(t.contiguous().toBytes()).toString("hex");
const off = (a: Tensor, b: Tensor): number =>
  scope(() =>
    Number(a.detach().double().sub(b.detach().double()).norm().div(b.detach().double().norm()).item()),
  );

function layer(dtype: DType): Linear8bit {
  const made = new Linear8bit(40, 24, { type: "int8", threshold: 6 }, { dtype });
  made.quantize(at(`${dtype}.weight`));
  return made;
}

// a sum's order decides the last bit of bfloat16
describe.each([
  ["float32", 1e-6],
  ["bfloat16", 4e-3],
] as const)("a weight of 8 bits from %s", (dtype, close) => {
  it("has bitsandbytes' codes and scales", () => {
    const made = layer(dtype);
    expect(bytes(made.weight)).toBe(bytes(at(`${dtype}.codes`)));
    expect(bytes(made.SCB)).toBe(bytes(at(`${dtype}.scales`)));
    expect([made.weight.dtype, made.weight_format.dtype, made.weight_format.shape]).toEqual([
      "int8",
      "uint8",
      [],
    ]);
  });

  it("is multiplied as bitsandbytes trains, with its gradient", () => {
    const made = layer(dtype);
    const x = at(`${dtype}.x`).clone().detach().requiresGrad_();
    const out = made.forward(x);
    expect(off(out, at(`${dtype}.trained`))).toBeLessThan(close);
    out.backward(at(`${dtype}.dout`));
    expect(off(x.grad as Tensor, at(`${dtype}.dx`))).toBeLessThan(close);
  });

  it.each([
    ["with outliers", "read", (x: Tensor) => x],
    ["one row", "row", (x: Tensor) => x.narrow(0, 1, 1).narrow(1, 0, 1)],
    ["without outliers", "plain", (x: Tensor) => x.select(0, 1).narrow(0, 5, 4)],
  ] as const)("is read as bitsandbytes reads it, %s", (_, name, part) => {
    const made = layer(dtype);
    made.eval();
    const out = noGrad(() => made.forward(part(at(`${dtype}.x`))));
    expect(off(out, at(`${dtype}.${name}`))).toBeLessThan(close);
    // rounding the input is no rounding error of the product
    made.train();
    const trained = noGrad(() => made.forward(part(at(`${dtype}.x`))));
    expect(off(trained, at(`${dtype}.${name}`))).toBeGreaterThan(3e-3);
  });

  it("has the same values by the kernel and by ATen operators", () => {
    const made = layer(dtype);
    const [codes, ...state] = made.operands() as [Tensor, ...Tensor[]];
    const composed = op<
      (codes: Tensor, state: readonly Tensor[], columns: number, stored: string, dtype: string) => Tensor
    >("qwen_pt::composite_dequantize")(codes, state, 40, dtype, dtype);
    expect(bytes(made.values())).toBe(bytes(composed));
    expect(off(made.values(), at(`${dtype}.weight`))).toBeLessThan(0.01);
  });
});

describe("a checkpoint's parts", () => {
  const parts = (change: Record<string, Tensor | undefined>): Map<string, Tensor> => {
    const made = layer("float32");
    const all = { "": made.weight, SCB: made.SCB, weight_format: made.weight_format, ...change };
    return new Map(Object.entries(all).filter((one): one is [string, Tensor] => one[1] !== undefined));
  };
  const adopt = (change: Record<string, Tensor | undefined>) => () =>
    new Linear8bit(40, 24, { type: "int8", threshold: 6 }).adopt(parts(change), "file: a.weight");

  it("are taken as they are, without the number of their format too", () => {
    const made = new Linear8bit(40, 24, { type: "int8", threshold: 6 });
    made.adopt(parts({ weight_format: undefined }), "file: a.weight");
    expect(bytes(made.weight)).toBe(bytes(layer("float32").weight));
  });

  it.each([
    ["no scales", { SCB: undefined }, "file: a.SCB: missing: the scales of the codes; copy"],
    [
      "scales of another layer",
      { SCB: tensor([1, 2]) },
      "file: a.SCB: float32 [2] where 24 of float32 belong; copy",
    ],
    [
      "numbers for codes",
      { "": tensor([1, 2]) },
      "file: a.weight: float32 where codes of 8 bits (int8) belong; copy",
    ],
    [
      "codes in tiles",
      { weight_format: tensor(Uint8Array.of(2), { shape: [] }) },
      "file: a.weight_format: 2: only rows (0) are read; copy",
    ],
  ])("are refused in a line: %s", (_, change, line) => {
    expect(adopt(change as Record<string, Tensor>)).toThrow(line);
  });
});
