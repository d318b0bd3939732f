// Products with a weight of 4 bits against the same product of its values in float64: by panels, in integers, few rows, both
// directions; a LoRA layer over it against one over a plain layer of the same values; other devices' path.
import { describe, expect, it } from "vitest";
import { Linear, Linear4bit } from "../../../lib/nn/index.js";
import { LoraLinear } from "../../../lib/peft/index.js";
import {
  autocast,
  call,
  type DType,
  empty,
  getNumThreads,
  manualSeed,
  noGrad,
  randn,
  scope,
  setNumThreads,
  type Tensor,
} from "../../../lib/torch/index.js";
import { distance } from "../../fixtures/model/read.js";

function quantized(rows: number, columns: number, dtype: DType = "float32"): Linear4bit {
  const layer = new Linear4bit(columns, rows, { type: "nf4", nested: true, run: 64 });
  layer.quantize(randn([rows, columns]).mul(0.05).to(dtype));
  return layer;
}

/** A plain layer with the same values. */
function plain(layer: Linear4bit, dtype: DType): Linear {
  const made = new Linear(layer.inFeatures, layer.outFeatures, { dtype });
  made.rewrite(() => layer.values().to(dtype));
  made.requiresGrad_(false);
  return made;
}

const shapes = [
  ["runs that fill a row", 80, 192],
  ["runs that end within a row", 70, 50],
  ["odd rows", 33, 31],
  ["long sums", 48, 4160],
  ["several panels, the last of them part of one", 300, 75],
] as const;

const hasIntegers = call("qwen_pt::has_fixed_point_products") as unknown as boolean;
const packs = call("qwen_pt::has_packed_products") as unknown as boolean;
const kinds = ["panels", ...(hasIntegers ? ["int16"] : []), ...(packs ? ["packed"] : [])];

describe.each(kinds)("by %s", (kind) => {
  describe.each(["bfloat16", "float32"] as const)("of %s", (dtype) => {
    it.each(shapes)("with %s, in both directions", (_, rows, columns) => {
      manualSeed(1);
      noGrad(() => {
        const layer = quantized(rows, columns, "bfloat16");
        const [codes, ...state] = layer.operands() as [Tensor, ...Tensor[]];
        const exact = layer.values().double();
        for (const tokens of [1, 5, 8, 67]) {
          for (const transposed of [true, false]) {
            const x = randn([tokens, transposed ? columns : rows]).to(dtype);
            const out = call(
              "qwen_pt::product_coded",
              x,
              codes,
              state,
              columns,
              layer.dtype,
              transposed,
              kind,
            ) as Tensor;
            expect(out.dtype).toBe(dtype);
            const expected = x.double().matmul(transposed ? exact.t() : exact);
            // int16 rounds to 12 bits and more, bfloat16 to 8
            const bound = dtype === "bfloat16" ? 4e-3 : kind === "int16" ? 1e-3 : 1e-6;
            expect(distance(out, expected)).toBeLessThan(bound);
          }
        }
      });
    });
  });
});

describe.skipIf(!packs)("packed from codes", () => {
  // what has fewer than 48 rows, columns or numbers in a sum is not
  const large = shapes.filter(([, rows, columns]) => rows >= 48 && columns >= 48);
  it.each([...large, ["more than is unpacked at once", 96, 704] as const])(
    "with %s, is the packed product of the same values, bit for bit",
    (_, rows, columns) => {
      manualSeed(4);
      noGrad(() => {
        const layer = quantized(rows, columns, "bfloat16");
        const [codes, ...state] = layer.operands() as [Tensor, ...Tensor[]];
        // through float32, by another kernel
        const values = call("qwen_pt::composite_dequantize", codes, state, columns, "bfloat16", "bfloat16");
        for (const transposed of [true, false]) {
          const x = randn([67, transposed ? columns : rows]).to("bfloat16");
          const given = [x, codes, state, columns, "bfloat16", transposed, "packed"] as const;
          const out = call("qwen_pt::product_coded", ...given) as Tensor;
          const expected = call("qwen_pt::product", x, values as Tensor, transposed, "packed") as Tensor;
          expect(out.toBytes()).toEqual(expected.toBytes());
        }
      });
    },
  );
});

describe("a layer of 4 bits", () => {
  it.each(["float32", "float64", "bfloat16", "float16"] as const)(
    "multiplies %s, and sends its gradient back",
    (dtype) => {
      manualSeed(2);
      const layer = quantized(80, 192);
      const reference = plain(layer, "float64");
      for (const tokens of [3, 70]) {
        const x = randn([2, tokens, 192]).to(dtype).requiresGrad_();
        const exact = noGrad(() => x.double()).requiresGrad_();
        const out = layer.forward(x);
        const expected = reference.forward(exact);
        const gradient = randn([2, tokens, 80]).to(dtype);
        out.backward(gradient);
        expected.backward(gradient.double());
        const bound = { float32: 1e-6, float64: 1e-12, bfloat16: 4e-3, float16: 1e-3 }[dtype];
        expect(out.dtype).toBe(dtype);
        expect(distance(out, expected)).toBeLessThan(bound);
        expect(distance(x.grad, exact.grad)).toBeLessThan(bound);
      }
    },
  );

  it("computes in autocast's dtype, and has a shape on meta", () => {
    const layer = quantized(80, 192);
    expect(autocast("bfloat16", () => layer.forward(randn([3, 192]))).dtype).toBe("bfloat16");
    const shape = new Linear4bit(192, 80, layer.format);
    const x = empty([2, 3, 192], { device: "meta", dtype: "bfloat16" }).requiresGrad_();
    const out = shape.forward(x);
    expect([out.shape, out.device]).toEqual([[2, 3, 80], "meta"]);
    out.sum().backward();
    expect(x.grad?.shape).toEqual([2, 3, 192]);
  });

  it("gives the same whatever the number of threads", () => {
    const layer = quantized(192, 256);
    const threads = getNumThreads();
    const x = randn([70, 256]).to("bfloat16");
    const results = [1, 2].map((count) => {
      setNumThreads(count);
      return noGrad(() => layer.values().toArray());
    });
    setNumThreads(threads);
    expect(results[0]).toEqual(results[1]);
    expect(noGrad(() => layer.forward(x)).shape).toEqual([70, 192]);
  });
});

describe("LoRA over 4 bits", () => {
  function adapted(base: Linear4bit | Linear, dropout: number): LoraLinear {
    manualSeed(4);
    const layer = new LoraLinear(base, 4, 0.5, dropout);
    noGrad(() => {
      layer.lora_A.weight.copy_(layer.lora_A.weight.to("bfloat16")); // whatever the weight's dtype
      layer.lora_B.weight.copy_(randn([base.outFeatures, 4]).mul(0.1));
    });
    return layer;
  }

  it.each([
    ["float32", undefined, 0, 1e-5],
    ["float32 with dropout", undefined, 0.3, 1e-5],
    ["bfloat16 autocast", "bfloat16", 0, 8e-3],
    ["bfloat16 autocast with dropout", "bfloat16", 0.3, 8e-3],
  ] as const)("is LoRA over the same values, gradients included: %s", (_, compute, dropout, bound) => {
    manualSeed(3);
    const base = [quantized(80, 192), quantized(48, 192)] as const;
    const run = (layers: LoraLinear[]): Tensor[] => {
      manualSeed(5);
      const x = randn([70, 192]).requiresGrad_();
      const outs = autocast(compute, () => layers[0]?.forwardTogether(layers, x)) as Tensor[];
      expect(outs.length).toBe(2);
      const sums = outs.map((out) => out.float().square().sum()) as [Tensor, Tensor];
      sums[0].add(sums[1]).backward();
      const gradients = layers.flatMap(({ lora_A, lora_B }) => [lora_A.weight.grad, lora_B.weight.grad]);
      return [...outs, x.grad, ...gradients] as Tensor[];
    };
    const stored = compute ?? "float32";
    const found = run(base.map((layer) => adapted(layer, dropout)));
    const expected = run(base.map((layer) => adapted(plain(layer, stored), dropout)));
    for (const [i, tensor] of found.entries()) expect(distance(tensor, expected[i])).toBeLessThan(bound);
  });

  it("has shapes on meta", () => {
    scope(() => {
      const layer = new LoraLinear(new Linear4bit(192, 80, { type: "nf4", nested: true, run: 64 }), 4, 1, 0);
      const x = empty([3, 192], { device: "meta" }).requiresGrad_();
      const out = layer.forward(x);
      expect(out.shape).toEqual([3, 80]);
      out.sum().backward();
      expect(layer.lora_A.weight.grad?.shape).toEqual([4, 192]);
    });
  });

  it("computes alone beside a plain layer", () => {
    const layers = [adapted(quantized(80, 192), 0), adapted(new Linear(192, 48).requiresGrad_(false), 0)];
    expect(layers[0]?.forwardTogether(layers, randn([70, 192]))).toBeUndefined();
  });
});
