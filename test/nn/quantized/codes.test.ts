// Weights of 4 bits against bitsandbytes 0.50.2's native kernels on the CPU: codes, scales, state and values, bit for bit;
// and the 8-bit dynamic maps that its scales and its optimizers use.
import { describe, expect, it } from "vitest";
import { dynamicLevels, type FourBitType, Linear4bit } from "../../../lib/nn/index.js";
import { noGrad, op, type Tensor, tensor } from "../../../lib/torch/index.js";
import * as fixture from "../../fixtures/quantized/read.js";

const stored = fixture.tensors("codes");
const at = (name: string): Tensor => stored.get(name) as Tensor;
const bytes = (t: Tensor): string => Buffer.from(t.contiguous().toBytes()).toString("hex");
const formats = (["nf4", "fp4"] as const).flatMap((type) =>
  [false, true].map((nested) => ({ type, nested })),
);
const weights = ["float32", "bfloat16", "float16", "straddling", "rest", "odd"];
const cases = weights.flatMap((weight) => formats.map((format) => ({ weight, ...format })));

function layer(weight: string, type: FourBitType, nested: boolean): Linear4bit {
  const [rows, columns] = at(`${weight}.weight`).shape as [number, number];
  return new Linear4bit(columns, rows, { type, nested, run: 64 });
}

function partsOf(key: string): Map<string, Tensor> {
  const parts = new Map([["", at(`${key}.codes`)]]);
  for (const [name, value] of stored) {
    const part = name.startsWith(`${key}.`) ? name.slice(key.length + 1) : "values";
    if (!/^(codes|values|nested\..*)$/.test(part)) parts.set(part, value);
  }
  return parts;
}

describe("a weight of 4 bits", () => {
  it.each(cases)(
    "$weight as $type, nested: $nested, has bitsandbytes' bytes and values",
    ({ weight, type, nested }) => {
      const key = `${weight}.${type}${nested ? ".nested" : ""}`;
      const made = layer(weight, type, nested);
      made.quantize(at(`${weight}.weight`));
      const parts = partsOf(key);
      expect(parts.size).toBe(nested ? 6 : 4);
      for (const [part, expected] of parts) {
        const found = made[(part === "" ? "weight" : `weight.${part}`) as "weight"];
        expect([part, found.dtype, bytes(found)]).toEqual([part, expected.dtype, bytes(expected)]);
      }
      expect(bytes(made.values())).toBe(bytes(at(`${key}.values`)));
    },
  );

  it.each(cases)(
    "$weight as $type, nested: $nested, is the same through ATen operators",
    ({ weight, type, nested }) => {
      const made = layer(weight, type, nested);
      made.quantize(at(`${weight}.weight`));
      const [codes, ...state] = made.operands() as [Tensor, ...Tensor[]];
      const composed = op<
        (codes: Tensor, state: readonly Tensor[], columns: number, stored: string, dtype: string) => Tensor
      >("qwen_pt::composite_dequantize")(codes, state, made.inFeatures, made.dtype, made.dtype);
      expect(composed.shape).toEqual(at(`${weight}.weight`).shape);
      expect(bytes(composed)).toBe(bytes(made.values()));
    },
  );
});

describe("the dynamic map of 8 bits", () => {
  const quantize = op<(numbers: Tensor, levels: Tensor, run: number) => [Tensor, Tensor]>(
    "qwen_pt::quantize_blockwise",
  );
  const dequantize = op<(codes: Tensor, levels: Tensor, absmax: Tensor, run: number) => Tensor>(
    "qwen_pt::dequantize_blockwise",
  );

  it.each(["signed", "unsigned"])("%s has bitsandbytes' levels, codes, scales and values", (name) => {
    const levels = tensor(dynamicLevels(name === "signed"));
    expect(bytes(levels)).toBe(bytes(at(`${name}.levels`)));
    const numbers = name === "signed" ? at("numbers") : noGrad(() => at("numbers").square());
    const [codes, absmax] = quantize(numbers, levels, 256);
    expect(bytes(absmax)).toBe(bytes(at(`${name}.absmax`)));
    expect(bytes(codes)).toBe(bytes(at(`${name}.codes`)));
    expect(bytes(dequantize(codes, levels, absmax, 256))).toBe(bytes(at(`${name}.values`)));
  });
});
