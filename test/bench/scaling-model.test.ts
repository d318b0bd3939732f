// The model of clusters (bench/harness/scaling-model.mjs) against what is known elsewhere: the sizes' parameters, a ring's
// bytes, and that more processes never send less.
import { expect, it } from "vitest";
import { gatherSeconds, parametersOf, predict, SIZES, sentOf } from "../../bench/harness/scaling-model.mjs";
import { QWEN3_SIZES } from "../fixtures/qwen3-sizes.js";

it.each(Object.entries(QWEN3_SIZES))("Qwen3-%s has as many parameters", (name, { parameters }) => {
  expect(parametersOf(SIZES[name as keyof typeof SIZES]).all).toBe(parameters);
});

it("bytes are those of a ring, and nothing where a process is alone", () => {
  expect(sentOf(100, 4, 1, "full_shard")).toBe(0);
  expect(4 * sentOf(100, 4, 4, "none")).toBe(2 * 3 * 400);
  expect(2 * sentOf(100, 4, 2, "full_shard")).toBe(3 * 400);
});

it("a gathering takes what its slowest link takes, and longer for more", () => {
  expect(gatherSeconds(450e9 * 0.8, 8)).toBeCloseTo(7 / 8, 3);
  expect(gatherSeconds(8 * 50e9 * 0.8, 1 << 14)).toBeCloseTo(1, 2);
  const counts = [8, 64, 1024, 16384];
  for (const size of Object.values(SIZES)) {
    const found = counts.map((ranks) => predict(size, ranks, { tokens: 8192, row: 4096 }));
    for (const [at, { sent, asItIs, prefetched }] of found.entries()) {
      if (at > 0) expect(sent).toBeGreaterThanOrEqual(found[at - 1]!.sent);
      expect(asItIs).toBeLessThan(prefetched);
    }
  }
});
