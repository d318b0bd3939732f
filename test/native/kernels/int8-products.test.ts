// Products in 8-bit integers against the same arithmetic in float64, where every step of it is exact, and against the
// product of what was rounded. Extremes included: the sums of 16 bits inside must not saturate.
import { afterEach, describe, expect, it } from "vitest";
import {
  call,
  type DType,
  getNumThreads,
  manualSeed,
  noGrad,
  ones,
  randn,
  scope,
  setNumThreads,
  type Tensor,
  zeros,
} from "../../../lib/torch/index.js";

type Parts = [Tensor, Tensor, Tensor, Tensor];
const quantize = (w: Tensor): Parts => call("qwen_pt::quantize_int8", w) as Parts;
const product = (x: Tensor, [codes, ...state]: Parts, transposed: boolean): Tensor =>
  call("qwen_pt::product_int8", x, codes, state, transposed) as Tensor;
const distance = (a: Tensor, reference: Tensor): number =>
  a.double().sub(reference).norm().item() / reference.norm().item();
const hasKernel = call("qwen_pt::has_int8_products") as boolean;
/** AVX-512's sums have 32 bits from the start: there a row has 8 bits of its largest. */
const saturates = !(call("qwen_pt::kernel_capability") as string).startsWith("AVX512");

const threads = getNumThreads();
afterEach(() => setNumThreads(threads));

/** The kernel's arithmetic: each row of x in 127ths of its largest, all sums exact. */
function composed(x: Tensor, [codes, scales]: Parts, transposed: boolean): Tensor {
  const rows = transposed ? x.float() : x.float().mul(scales);
  const largest = rows.abs().amax([1], true);
  const rounded = rows.mul(largest.reciprocal().mul(127)).round();
  const sums = rounded.double().matmul(transposed ? codes.double().t() : codes.double());
  const out = sums.mul(largest.double().div(127));
  return transposed ? out.mul(scales.double()) : out;
}

// [tokens, out, in]: none of a whole tile, few rows, a long sum, several slabs
const shapes = [
  [128, 96, 64],
  [67, 35, 70],
  [1, 40, 33],
  [66, 24, 5000],
  [17, 20_000, 256],
  [64, 700, 9000],
] as const;

describe.skipIf(!hasKernel)("products in 8-bit integers", () => {
  it.each(shapes)("are exact in their integers, %i x %i x %i, both directions", (tokens, out, inner) => {
    scope(() =>
      noGrad(() => {
        manualSeed(tokens);
        const [x, dOut] = [randn([tokens, inner]), randn([tokens, out])];
        const parts = quantize(randn([out, inner]).mul(0.02));
        // 127 / largest is rounded once in float32: now and then a number at a half goes the other way
        expect(distance(product(x, parts, true), composed(x, parts, true))).toBeLessThan(1e-4);
        expect(distance(product(dOut, parts, false), composed(dOut, parts, false))).toBeLessThan(1e-4);
      }),
    );
  });

  it.each(["bfloat16", "float16", "float32"] as const)(
    "are within 2.2 percent of exact ones in %s",
    (dtype: DType) => {
      scope(() =>
        noGrad(() => {
          manualSeed(3);
          const [x, dOut] = [randn([128, 512]).to(dtype), randn([128, 384]).to(dtype)];
          const w = randn([384, 512]).mul(0.02).to(dtype);
          const parts = quantize(w);
          const [y, dX] = [product(x, parts, true), product(dOut, parts, false)];
          expect([y.dtype, y.shape, dX.shape]).toEqual([dtype, [128, 384], [128, 512]]);
          for (const [given, exact] of [
            [y, x.double().matmul(w.double().t())],
            [dX, dOut.double().matmul(w.double())],
          ] as const) {
            expect(distance(given, exact)).toBeLessThan(0.022);
            expect(distance(given, exact)).toBeGreaterThan(0.005);
          }
        }),
      );
    },
  );

  it.each([
    "all alike",
    "all alike and negative",
    "with one row far larger",
    "with one column far larger",
  ] as const)("do not saturate: weights %s meet the largest inputs", (name) => {
    const w = ones([64, 96]).mul(name.includes("negative") ? -1 : 1);
    if (name.includes("row")) w.select(0, 5).mul_(1000);
    if (name.includes("column")) w.select(1, 7).mul_(1000);
    const parts = quantize(w);
    for (const sign of [1, -1]) {
      const [x, dOut] = [ones([20, 96]).mul(sign), ones([20, 64]).mul(sign)];
      expect(distance(product(x, parts, true), composed(x, parts, true))).toBeLessThan(1e-6);
      expect(distance(product(dOut, parts, false), composed(dOut, parts, false))).toBeLessThan(1e-4);
    }
  });

  it("have the sums of their integers", () => {
    const [codes, , rowSums, columnSums] = quantize(randn([61, 93]));
    expect(rowSums.toArray()).toEqual(codes.to("int32").sum([1]).to("int32").toArray());
    expect(columnSums.toArray()).toEqual(codes.to("int32").sum([0]).to("int32").toArray());
  });

  it.runIf(!saturates)("have 8 bits of each row's largest weight", () => {
    manualSeed(4);
    const w = randn([61, 93]).to("bfloat16");
    const [codes, scales] = quantize(w);
    const largest = w.float().abs().amax([1], true);
    const rounded = w.float().mul(largest.pow(-1).mul(127)).round();
    expect(
      scales
        .sub(largest.reshape([61]).div(127))
        .abs()
        .max()
        .item(),
    ).toBe(0);
    // 127 / largest is rounded once: a number at a half may go the other way
    expect(codes.float().sub(rounded).abs().sum().item()).toBeLessThan(5);
    expect(codes.float().abs().amax([1], true).sub(127).abs().max().item()).toBe(0);
  });

  it.runIf(saturates)("keep what meets in 16 bits below their limit, along rows and across them", () => {
    manualSeed(4);
    const w = randn([64, 96]);
    w.select(0, 3).mul_(50);
    w.select(1, 9).mul_(50);
    const [codes] = quantize(w);
    const meets = (list: Tensor): number => {
      // the pairs 0, 1 and 4, 5 of eight, and the pairs between them
      const eights = list.float().reshape([-1, 2, 2, 2]);
      const positive = eights.clamp(0, 255).sum([1, 3]).max().item();
      const negative = eights.clamp(-255, 0).sum([1, 3]).min().item();
      return Math.max(Number(positive), -Number(negative));
    };
    expect(meets(codes)).toBeLessThanOrEqual(128);
    expect(meets(codes.t().contiguous())).toBeLessThanOrEqual(128);
    expect(meets(quantize(randn([64, 96]))[0])).toBeGreaterThan(90);
  });

  it("are no numbers where an operand is none, and zero where one is", () => {
    const [x, w] = [randn([70, 32]), randn([48, 32])];
    x.select(0, 3).select(0, 5).fill_(Number.NaN);
    w.select(0, 7).select(0, 1).fill_(Number.POSITIVE_INFINITY);
    w.select(0, 9).zero_();
    const y = product(x, quantize(w), true);
    expect(Number(y.select(0, 3).isnan().all().item())).toBe(1);
    expect(Number(y.select(1, 7).isfinite().any().item())).toBe(0);
    expect(Number(y.narrow(0, 4, 60).narrow(1, 10, 38).isfinite().all().item())).toBe(1);
    expect(y.narrow(0, 4, 60).select(1, 9).abs().max().item()).toBe(0);
    expect(
      product(zeros([70, 32]), quantize(randn([48, 32])), true)
        .abs()
        .max()
        .item(),
    ).toBe(0);
  });

  it("depend on no number of threads", () => {
    manualSeed(5);
    const [x, parts] = [randn([300, 200]), quantize(randn([333, 200]))];
    const bytes = (count: number): string => {
      setNumThreads(count);
      return Buffer.from(product(x, parts, true).toBytes()).toString("hex");
    };
    expect(bytes(1)).toBe(bytes(2));
  });
});
