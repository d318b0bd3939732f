// Attention as a card has it, on meta: what a second pass takes from the first, and how long documents may be. What is
// computed, only a card can show; that it is computed once can be counted here.
import { describe, expect, it } from "vitest";
import { causalAttention } from "../../../lib/nn/attention.js";
import { type Recalled, recalling, remembering } from "../../../lib/nn/recall.js";
import {
  backward,
  call,
  type DType,
  noGrad,
  randn,
  type Tensor,
  tensor,
  zeros,
} from "../../../lib/torch/index.js";
import { native } from "../../../lib/torch/native.js";

const on = (dtype: DType, heads: number, dim = 64): Tensor =>
  zeros([2, 9, heads, dim], { device: "meta", dtype, requiresGrad: true });

/** Kernels of attention that a body asks for. */
function launched(body: () => void): Record<string, number> {
  native().startRecording();
  try {
    body();
  } finally {
    const { launches } = native().stopRecording();
    // biome-ignore lint/correctness/noUnsafeFinally: nothing is thrown away where the body passes
    return Object.fromEntries(Object.entries(launches).filter(([name]) => /attention/.test(name)));
  }
}

describe.each([
  ["bfloat16", "flash", true],
  ["float16", "flash", false],
  ["float32", "efficient", true],
  ["float32", "efficient", false],
] as const)("in %s, by %s attention (documents: %s)", (dtype, kernel, packed) => {
  it("the second pass takes the result of the first and goes back from it", () => {
    const [q, k, v] = [on(dtype, 4), on(dtype, 2), on(dtype, 2)];
    const documents = packed ? zeros([4], { device: "meta", dtype: "int32" }) : undefined;
    const results: Recalled = [];
    const attend = (): Tensor => causalAttention(q, k, v, documents, { longest: 9 });
    const first = launched(() => noGrad(() => remembering(results, "expensive", attend)));
    expect(first).toEqual({ [`aten::_${kernel}_attention_forward`]: 1 });
    const second = launched(() => {
      const out = recalling(results, "expensive", attend);
      expect([out.shape, out.dtype, out.requiresGrad]).toEqual([q.shape, dtype, true]);
      backward(out, out.detach());
    });
    expect(second).toEqual({ [`aten::_${kernel}_attention_backward`]: 1 });
    for (const x of [q, k, v]) expect([x.grad?.shape, x.grad?.dtype]).toEqual([x.shape, dtype]);
    for (const result of results.flat()) result.dispose();
  });
});

it("float64, which has no such kernel, is computed again", () => {
  const [q, k, v] = [on("float64", 4), on("float64", 2), on("float64", 2)];
  const results: Recalled = [];
  noGrad(() => remembering(results, "expensive", () => causalAttention(q, k, v)));
  const out = recalling(results, "expensive", () => causalAttention(q, k, v));
  backward(out, out.detach());
  expect(k.grad?.shape).toEqual(k.shape);
});

it("what is given of a first pass is looked at", () => {
  const [q, k, v] = [on("bfloat16", 4), on("bfloat16", 2), on("bfloat16", 2)];
  const sums = zeros([2, 4, 9], { device: "meta" });
  const again = (out: Tensor, logsumexp: Tensor) =>
    call("qwen_pt::causal_attention_recalled", q, k, v, out, logsumexp);
  expect(() => again(q.narrow(1, 0, 3), sums)).toThrow(/the given result is/);
  expect(() => again(q.detach(), sums.narrow(0, 0, 1))).toThrow(/the given logsumexp is/);
});

it("a document longer than it is said to be is refused where cu_seqlens can be read", () => {
  const q = randn([2, 8, 2, 8]);
  const documents = tensor(Int32Array.of(0, 3, 12, 16));
  expect(() => causalAttention(q, q, q, documents, { longest: 8 })).toThrow(
    /a document of 9 tokens is longer/,
  );
  const whole = causalAttention(q, q, q, documents);
  expect(causalAttention(q, q, q, documents, { longest: 9 }).equal(whole)).toBe(true);
});
