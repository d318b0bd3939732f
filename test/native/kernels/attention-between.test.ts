// Attention between runs of queries and runs of other tokens' keys, against products and a softmax in double precision;
// and whole attention put together from two parts of the keys, gradients included.
import { describe, expect, it } from "vitest";
import { causalAttention } from "../../../lib/nn/attention.js";
import {
  backward,
  call,
  type DType,
  manualSeed,
  noGrad,
  randn,
  setNumThreads,
  type Tensor,
  tensor,
} from "../../../lib/torch/index.js";

type Run = readonly [query: number, queries: number, key: number, keys: number];

const between = (q: Tensor, k: Tensor, v: Tensor, runs: readonly Run[], causal = false) =>
  noGrad(() => call("qwen_pt::attention_between", q, k, v, tableOf(runs), causal)) as [Tensor, Tensor];

const tableOf = (runs: readonly Run[]): Tensor =>
  tensor(Int32Array.from(runs.flat()), { shape: [runs.length, 4], dtype: "int32" });

/** softmax(q k^T / sqrt(dim)) v of one run, and the logarithms of the sums: [queries, heads, dim], [heads, queries]. */
function plain(q: Tensor, k: Tensor, v: Tensor, [query, queries, key, keys]: Run): [Tensor, Tensor] {
  const groups = q.size(2) / k.size(2);
  const rows = (x: Tensor, from: number, count: number) =>
    x.flatten(0, 1).narrow(0, from, count).transpose(0, 1);
  const wide = (x: Tensor) => rows(x, key, keys).repeatInterleave(groups, 0);
  const scores = rows(q, query, queries)
    .matmul(wide(k).transpose(1, 2))
    .mul(q.size(3) ** -0.5);
  return [
    scores.softmax(-1).matmul(wide(v)).transpose(0, 1),
    call("aten::logsumexp", scores, [-1]) as Tensor,
  ];
}

const far = (a: Tensor, b: Tensor) => a.double().sub(b).norm().item() / Math.max(b.norm().item(), 1e-9);

describe.each([
  ["float64", 1e-13],
  ["float32", 2e-6],
  ["bfloat16", 1.2e-2],
] as [DType, number][])("%s", (dtype, bound) => {
  it.each([1, 5])("runs of other tokens, %i threads", (threads) => {
    manualSeed(3);
    const [heads, kvHeads, dim] = [4, 2, 40];
    const made = (rows: number, count: number) =>
      randn([2, rows, count, dim], { dtype: "float64" }).to({ dtype }).double();
    const [q, k, v] = [made(230, heads), made(700, kvHeads), made(700, kvHeads)];
    const runs: Run[] = [
      [0, 1, 3, 1],
      [7, 200, 10, 650],
      [231, 97, 700, 5],
      [400, 60, 800, 513],
    ];
    setNumThreads(threads);
    const [out, sums] = between(q.to({ dtype }), k.to({ dtype }), v.to({ dtype }), runs);
    setNumThreads(1);
    const flat = out.flatten(0, 1);
    const met = new Set<number>();
    for (const run of runs) {
      const [o, s] = plain(q, k, v, run);
      const [query, queries] = run;
      expect(far(flat.narrow(0, query, queries), o)).toBeLessThan(bound);
      expect(far(sums.narrow(1, query, queries), s)).toBeLessThan(bound);
      for (let at = query; at < query + queries; at++) met.add(at);
    }
    for (let at = 0; at < 460; at++) {
      if (met.has(at)) continue;
      expect(flat.narrow(0, at, 1).abs().sum().item()).toBe(0);
      expect(sums.narrow(1, at, 1).max().item()).toBe(Number.NEGATIVE_INFINITY);
    }
  });

  it("whole attention from its halves, and its gradients", () => {
    manualSeed(4);
    const [heads, kvHeads, dim, half] = [4, 2, 32, 203];
    const made = (count: number) => randn([1, 2 * half, count, dim], { dtype: "float64" }).to({ dtype });
    const [q, k, v, seed] = [made(heads), made(kvHeads), made(kvHeads), made(heads)];
    const leaves = [q, k, v].map((x) => x.double().detach().requiresGrad_());
    const [a, b, c] = leaves as [Tensor, Tensor, Tensor];
    const exact = causalAttention(a, b, c);
    backward(exact, seed.double());

    // the second half of the queries sees the first half's keys whole, and its own causally
    const second = (x: Tensor) => x.narrow(1, half, half).contiguous();
    const [own, ownSums] = between(second(q), second(k), second(v), [[0, half, 0, half]], true);
    const [other, otherSums] = between(second(q), k, v, [[0, half, 0, half]]);
    const sums = call("aten::logaddexp", ownSums, otherSums) as Tensor;
    const weigh = (o: Tensor, s: Tensor) =>
      o.double().mul(s.double().sub(sums.double()).exp().t().unsqueeze(0).unsqueeze(3));
    const out = weigh(own, ownSums).add(weigh(other, otherSums));
    expect(far(out, second(exact.detach()))).toBeLessThan(bound);

    const gradients = (keys: Tensor, values: Tensor, causal: boolean) =>
      noGrad(() =>
        call(
          "qwen_pt::attention_between_backward",
          ...[second(seed), second(q), keys, values, out.to({ dtype }), sums],
          ...[tableOf([[0, half, 0, half]]), causal],
        ),
      ) as [Tensor, Tensor, Tensor];
    const near = gradients(second(k), second(v), true);
    const across = gradients(k, v, false);
    const [dq, dk, dv] = leaves.map(({ grad }) => grad as Tensor) as [Tensor, Tensor, Tensor];
    expect(far(near[0].double().add(across[0].double()), second(dq))).toBeLessThan(3 * bound);
    expect(far(near[1], second(dk))).toBeLessThan(3 * bound);
    expect(far(near[2], second(dv))).toBeLessThan(3 * bound);
    // the first half's keys have the gradients of both halves of the queries; nobody has met the second half's
    for (const x of [across[1], across[2]]) expect(second(x).abs().max().item()).toBe(0);
  });
});

it.each([
  [[[0, 3, 0, 9]], /meeting 0 \(0, 3, 0, 9\) is none among 4 queries and 8 keys/],
  [[[0, 5, 0, 8]], /is none among/],
  [[[-1, 2, 0, 8]], /is none among/],
  [
    [
      [2, 1, 0, 4],
      [1, 1, 4, 4],
    ],
    /meeting 1/,
  ],
] as [Run[], RegExp][])("%j is refused", (runs, line) => {
  const of = (rows: number) => randn([1, rows, 1, 8]);
  expect(() => between(of(4), of(8), of(8), runs)).toThrow(line);
});
