// A layer that multiplies in 8-bit integers: which products it makes, their gradients, and what it refuses. The products
// themselves: test/native/kernels/int8-products.test.ts.
import { describe, expect, it } from "vitest";
import { quantizationConfig } from "../../../lib/models/files/quantization.js";
import { hasInt8Products, IntegerLinear } from "../../../lib/nn/index.js";
import { LoraLinear } from "../../../lib/peft/index.js";
import { empty, manualSeed, noGrad, op, randn, type Tensor } from "../../../lib/torch/index.js";

const off = (a: Tensor, b: Tensor): number =>
  Number(a.detach().double().sub(b.detach().double()).norm().div(b.detach().double().norm()).item());

describe.skipIf(!hasInt8Products())("a layer in integers", () => {
  const layer = (): { made: IntegerLinear; weight: Tensor } => {
    manualSeed(1);
    const weight = randn([48, 80]).mul(0.05).to("bfloat16");
    const made = new IntegerLinear(80, 48);
    made.quantize(weight);
    return { made, weight };
  };

  it("has values near the weight's, the same by the kernel and by ATen operators", () => {
    const { made, weight } = layer();
    expect(off(made.values(), weight)).toBeLessThan(0.02);
    const [codes, ...state] = made.operands() as [Tensor, ...Tensor[]];
    const composed = op<
      (codes: Tensor, state: readonly Tensor[], columns: number, stored: string, dtype: string) => Tensor
    >("qwen_pt::composite_dequantize")(codes, state, 80, "bfloat16", "bfloat16");
    expect(off(made.values(), composed)).toBe(0);
  });

  it("rounds its input too from 16 rows on, and a gradient likewise", () => {
    const { made, weight } = layer();
    const run = (rows: number): { values: number; exact: number; dX: number } => {
      const x = randn([1, rows, 80]).requiresGrad_();
      const seed = randn([1, rows, 48]);
      const out = made.forward(x);
      out.backward(seed);
      const values = made.values().float();
      return {
        values: off(out, x.matmul(values.t())),
        exact: off(out, x.matmul(weight.float().t())),
        dX: off(x.grad as Tensor, seed.matmul(values)),
      };
    };
    const [few, many] = [run(15), run(16)];
    // values() are rounded to bfloat16 once more
    expect(few.values).toBeLessThan(2e-3);
    expect(few.dX).toBeLessThan(2e-3);
    for (const each of [many.values, many.exact, many.dX]) {
      expect(each).toBeGreaterThan(4e-3);
      expect(each).toBeLessThan(0.03);
    }
  });

  it("has the gradient of its adapter, which sees the input as it is", () => {
    const { made, weight } = layer();
    const lora = new LoraLinear(made, 4, 2, 0);
    noGrad(() => lora.lora_B.weight.copy_(randn([48, 4])));
    const x = randn([32, 80]).requiresGrad_();
    const seed = randn([32, 48]);
    lora.forward(x).backward(seed);
    const [a, b] = [lora.lora_A.weight, lora.lora_B.weight];
    const exact = seed.matmul(weight.float()).add(seed.matmul(b).matmul(a).mul(2));
    expect(off(x.grad as Tensor, exact)).toBeLessThan(0.03);
    expect(off(a.grad as Tensor, seed.matmul(b).t().matmul(x).mul(2))).toBeLessThan(1e-5);
    expect(off(b.grad as Tensor, seed.t().matmul(x.matmul(a.t())).mul(2))).toBeLessThan(1e-5);
  });

  it("has shapes alone on meta", () => {
    const made = new IntegerLinear(80, 48);
    const out = made.forward(empty([2, 20, 80], { device: "meta" }));
    expect([out.shape, out.device]).toEqual([[2, 20, 48], "meta"]);
  });

  it("takes no new values, and comes from no checkpoint", () => {
    const { made } = layer();
    expect(() => made.rewrite()).toThrow("a weight of 8 bits takes no new values: merge the adapter");
    expect(() => made.adopt(new Map(), "file: a.weight")).toThrow("file: a.weight: quantized already; take");
    expect(() => quantizationConfig({ type: "int8 products", skipped: [] }, "bfloat16")).toThrow(
      "a model in integers (quantization_compute) is not saved",
    );
  });
});
