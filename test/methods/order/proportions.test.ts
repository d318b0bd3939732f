// Whose turn it is: what has been drawn of each source follows its share after every draw. Held against Tijdeman's bound
// (1980), which is the best that any rule can keep.
import { describe, expect, it } from "vitest";
import { Proportions } from "../../../lib/methods/index.js";

/** The largest distance of any source from its share, in amount, after any of `draws` draws. */
function worst(shares: number[], draws: number, sizes: (source: number, n: number) => number, unit: number) {
  const order = new Proportions(shares, unit);
  const amounts = shares.map(() => 0);
  let total = 0;
  let distance = 0;
  for (let n = 0; n < draws; n++) {
    const source = order.next();
    const size = sizes(source, n);
    order.add(source, size);
    amounts[source] += size;
    total += size;
    for (const [i, share] of shares.entries())
      distance = Math.max(distance, Math.abs(amounts[i] - share * total));
  }
  return { distance, amounts, total };
}

const drawn = (shares: number[], draws: number): number[] => {
  const order = new Proportions(shares, 1);
  return Array.from({ length: draws }, () => {
    const source = order.next();
    order.add(source, 1);
    return source;
  });
};

/** Shares that are anything: a fixed sequence of fractions of the golden ratio. */
function someShares(k: number, seed: number): number[] {
  const raw = Array.from({ length: k }, (_, i) => 0.01 + (((seed + 1) * (i + 1) * 0.6180339887) % 1) ** 2);
  const sum = raw.reduce((a, b) => a + b, 0);
  return raw.map((share) => share / sum);
}

describe("shares over every prefix", () => {
  it.each([0.05, 0.1, 0.25, 1 / 3, 0.5, 0.9, 0.003])(
    "two sources, %f of one: never further than half a draw",
    (ratio) => {
      const { distance } = worst([1 - ratio, ratio], 5000, () => 1, 1);
      expect(distance).toBeLessThanOrEqual(0.5 + 1e-9);
    },
  );

  it("a tenth: the sixth of ten, then every tenth", () => {
    const order = drawn([0.9, 0.1], 40);
    expect(order.flatMap((source, n) => (source === 1 ? [n] : []))).toEqual([5, 15, 25, 35]);
  });

  it.each([3, 4, 5, 8, 20])("%i sources: within 1 - 1/(2k-2) draws, Tijdeman's bound", (k) => {
    for (let seed = 0; seed < 20; seed++) {
      const { distance } = worst(someShares(k, seed), 3000, () => 1, 1);
      expect(distance).toBeLessThanOrEqual(1 - 1 / (2 * k - 2) + 1e-6);
    }
  });

  it("amounts that differ, two sources: within the largest one", () => {
    const sizes = (source: number, n: number) => 1 + ((n * 7919 + source * 104729) % 100);
    for (const ratio of [0.05, 0.3, 0.5])
      expect(worst([1 - ratio, ratio], 4000, sizes, 50.5).distance).toBeLessThanOrEqual(100);
  });

  it("a share of 0 is never drawn, a share of 1 always", () => {
    expect(new Set(drawn([0.5, 0, 0.5], 100))).toEqual(new Set([0, 2]));
    expect(new Set(drawn([0, 1], 100))).toEqual(new Set([1]));
  });
});
