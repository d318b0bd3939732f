// numpy.random.default_rng, draw by draw (test/fixtures/data/make_mixed.py).

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { NumpyGenerator } from "../../../lib/data/random/numpy-generator.js";

interface Draws {
  seed: string;
  integers: number[];
  wide: string;
  random: number[];
  small: number[];
  permutation: number[];
  choice: number[];
  shuffled: number[];
  again: number[];
}
const fixture = JSON.parse(
  readFileSync(path.join(import.meta.dirname, "../../fixtures/data/generator.json"), "utf8"),
) as { draws: Draws[]; "permutation of 100000": string };

describe("draws equal numpy's", () => {
  for (const draws of fixture.draws) {
    it(`from seed ${draws.seed}`, () => {
      const generator = new NumpyGenerator(BigInt(draws.seed));
      expect(draws.integers.map(() => generator.below(16384))).toEqual(draws.integers);
      const copy = generator.clone();
      for (const each of [copy, generator]) {
        expect(each.below63()).toBe(BigInt(draws.wide));
        expect(draws.random.map(() => each.random())).toEqual(draws.random);
        expect(draws.small.map(() => each.below(3))).toEqual(draws.small);
        expect(Array.from(each.permutation(23))).toEqual(draws.permutation);
        expect(Array.from(each.choice(11, [0.1, 0.2, 0.3, 0.4]))).toEqual(draws.choice);
        const items = Array.from({ length: 17 }, (_, i) => i);
        each.shuffle(items);
        expect(items).toEqual(draws.shuffled);
        expect(each.random()).toBe(draws.again[0]);
      }
    });
  }

  it("a permutation of 100,000", () => {
    const order = new NumpyGenerator(42).permutation(100_000);
    const digest = createHash("sha256").update(order.join(",")).digest("hex");
    expect(digest).toBe(fixture["permutation of 100000"]);
  });

  it("a bound out of range is refused", () => {
    for (const bound of [0, 1.5, 2 ** 32])
      expect(() => new NumpyGenerator(1).below(bound)).toThrow(RangeError);
  });
});
