// Drawing by age: the weights against their formula, the draws against their chances by chi-square, the expected counts
// by year against theory and against many draws.
import { describe, expect, it } from "vitest";
import { parseDate, parseSpan } from "../../../lib/config/index.js";
import { NumpyGenerator } from "../../../lib/data/random/numpy-generator.js";
import {
  countsByYear,
  drawWeighted,
  expectedDraws,
  logWeights,
  totalWeight,
} from "../../../lib/methods/index.js";

const days = (...dates: (string | number)[]): Float64Array =>
  Float64Array.from(dates, (date) => parseDate(date)! / 86_400_000);

/** Sum of (found - wanted)^2 / wanted. */
const chiSquare = (found: ArrayLike<number>, wanted: ArrayLike<number>): number =>
  Array.from(found, (count, i) => (count - wanted[i]) ** 2 / wanted[i]).reduce((a, b) => a + b, 0);

describe("weights", () => {
  it("halve with every half-life, have a floor, and do not rise beyond the reference", () => {
    const dates = days("2024-01-01", "2023-01-01", "2022-01-01", "2025-01-01");
    const [reference] = days("2024-01-01");
    const weights = logWeights(dates, { halfLife: 365, reference, floor: 0 }).map(Math.exp);
    expect([...weights].map((weight) => Number(weight.toFixed(12)))).toEqual([1, 0.5, 0.25, 1]);
    expect(totalWeight(logWeights(dates, { halfLife: 365, reference, floor: 0 }))).toBeCloseTo(2.75, 12);
    const floored = logWeights(dates, { halfLife: 365, reference, floor: 0.3 }).map(Math.exp);
    expect(floored[2]).toBeCloseTo(0.3, 12);
  });

  it("of a thousand years ago vanish without breaking the draw", () => {
    const dates = days(1080, 1081);
    const logs = logWeights(dates, { halfLife: 1, reference: days(2024)[0], floor: 0 });
    expect(Math.exp(logs[0])).toBe(0);
    const drawn = drawWeighted(logs, 1000, true, new NumpyGenerator(1));
    expect([...drawn].every((place) => place === 1)).toBe(true); // 2^366 times as likely
    expect([...drawWeighted(logs, 1, false, new NumpyGenerator(1))]).toEqual([1]);
  });
});

describe("draws", () => {
  const dates = days(2024, 2023, 2022, 2021, 2020, 2019, 2018, 2017);
  const logs = logWeights(dates, { halfLife: 730, reference: dates[0], floor: 0.05 });

  it("with replacement follow the weights: chi-square over 20,000", () => {
    const counts = new Float64Array(8);
    for (const place of drawWeighted(logs, 20000, true, new NumpyGenerator(7))) counts[place]++;
    // 7 degrees of freedom: 99.9 % below 24.3
    expect(chiSquare(counts, expectedDraws(logs, 20000, true))).toBeLessThan(24.3);
  });

  it("without replacement, the first is drawn by weight and pairs by Efraimidis and Spirakis' law", () => {
    const weights = [...logs].map(Math.exp);
    const sum = weights.reduce((a, b) => a + b, 0);
    // p(pair) = w_a / W x w_b / (W - w_a) + the other way round
    const wanted = new Map<string, number>();
    for (let a = 0; a < 8; a++)
      for (let b = a + 1; b < 8; b++) {
        const [x, y] = [weights[a], weights[b]];
        wanted.set(`${a},${b}`, (x / sum) * (y / (sum - x)) + (y / sum) * (x / (sum - y)));
      }
    const counts = new Map<string, number>([...wanted.keys()].map((key) => [key, 0]));
    const random = new NumpyGenerator(11);
    const runs = 20000;
    for (let i = 0; i < runs; i++) {
      const key = [...drawWeighted(logs, 2, false, random)].join();
      counts.set(key, counts.get(key)! + 1);
    }
    const chi = chiSquare(
      [...counts.values()],
      [...wanted.values()].map((p) => p * runs),
    );
    expect(chi).toBeLessThan(55.5); // 27 degrees of freedom, 99.9 %
  });

  it("without replacement take each document once at most, in order, and refuse to take more than there are", () => {
    const drawn = drawWeighted(logs, 5, false, new NumpyGenerator(3));
    expect([...drawn]).toEqual([...new Set(drawn)].sort((a, b) => a - b));
    expect([...drawWeighted(logs, 8, false, new NumpyGenerator(3))]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(() => drawWeighted(logs, 9, false, new NumpyGenerator(3))).toThrow(RangeError);
  });

  it("depend on the generator alone", () => {
    const draw = (seed: number) => [...drawWeighted(logs, 50, true, new NumpyGenerator(seed))];
    expect(draw(5)).toEqual(draw(5));
    expect(draw(6)).not.toEqual(draw(5));
  });
});

describe("expected counts", () => {
  // 200 documents a year over 12 years
  const dates = Float64Array.from({ length: 2400 }, (_, i) => days(2024 - (i % 12))[0] + (i % 300));
  const reference = days("2024-12-31")[0];
  const logs = logWeights(dates, { halfLife: 1000, reference, floor: 0 });

  it("by year with replacement: n w / W, and the draws are as near as chance lets them be", () => {
    const drawn = drawWeighted(logs, 5000, true, new NumpyGenerator(42));
    const table = countsByYear(dates, expectedDraws(logs, 5000, true), drawn);
    expect(table.map(({ from }) => from)).toEqual(Array.from({ length: 12 }, (_, i) => 2013 + i));
    const sum = totalWeight(logs);
    for (const { from, documents, expected } of table) {
      const own = [...logs].filter((_, i) => 2024 - (i % 12) === from);
      expect(documents).toBe(200);
      expect(expected).toBeCloseTo((5000 * own.reduce((a, log) => a + Math.exp(log), 0)) / sum, 6);
    }
    const [found, wanted] = [table.map(({ drawn }) => drawn), table.map(({ expected }) => expected)];
    expect(chiSquare(found, wanted)).toBeLessThan(31.3); // 11 degrees of freedom, 99.9 %
  });

  it("by year without replacement: what 60 draws give on average", () => {
    const expected = expectedDraws(logs, 600, false);
    expect(expected.reduce((a, b) => a + b, 0)).toBeCloseTo(600, 6);
    const sums = new Float64Array(12);
    const random = new NumpyGenerator(9);
    for (let run = 0; run < 60; run++)
      for (const place of drawWeighted(logs, 600, false, random)) sums[place % 12] += 1 / 60;
    const table = countsByYear(dates, expected, new Int32Array(0));
    for (const [i, count] of sums.entries()) {
      const wanted = table.find(({ from }) => from === 2024 - i)!.expected;
      // four standard errors of a mean of 60 counts, a binomial's variance being more than theirs
      expect(Math.abs(count - wanted)).toBeLessThan(4 * Math.sqrt(wanted / 60) + 0.01);
    }
  });

  it("many years are counted in spans", () => {
    const poems = Float64Array.from({ length: 600 }, (_, i) => days(618 + i)[0]);
    const table = countsByYear(poems, new Float64Array(600).fill(1), new Int32Array([0, 0, 599]));
    expect(table.length).toBeLessThanOrEqual(24);
    expect(table[0]).toEqual({ from: 600, to: 649, documents: 32, expected: 32, drawn: 2 });
    expect(table.reduce((sum, { documents }) => sum + documents, 0)).toBe(600);
  });
});

describe("dates and spans", () => {
  it.each([
    ["2024-05-01", "2024-05-01T00:00:00.000Z"],
    ["2024-05", "2024-05-01T00:00:00.000Z"],
    ["2024", "2024-01-01T00:00:00.000Z"],
    [2024, "2024-01-01T00:00:00.000Z"],
    [1080, "1080-01-01T00:00:00.000Z"],
    ["1080", "1080-01-01T00:00:00.000Z"],
    [87, "0087-01-01T00:00:00.000Z"],
    [-300, "-000300-01-01T00:00:00.000Z"],
    ["-300", "-000300-01-01T00:00:00.000Z"],
    ["20240501", "2024-05-01T00:00:00.000Z"],
    [20240501, "2024-05-01T00:00:00.000Z"],
    [1714521600, "2024-05-01T00:00:00.000Z"],
    ["1714521600", "2024-05-01T00:00:00.000Z"],
    [1714521600000, "2024-05-01T00:00:00.000Z"],
    [1714521600000n, "2024-05-01T00:00:00.000Z"],
    ["2024-05-01T08:30:15.5+08:00", "2024-05-01T00:30:15.500Z"],
    ["2024-05-01 12:00", "2024-05-01T12:00:00.000Z"],
    [new Date("2024-05-01"), "2024-05-01T00:00:00.000Z"],
  ])("%o is %s", (value, wanted) => {
    expect(new Date(parseDate(value)!).toISOString()).toBe(wanted);
  });

  it.each(["", "May 2024", "2024-13-01", "2024-02-30", "宋", null, undefined, Number.NaN, {}, true, 1e20])(
    "%o is no date",
    (value) => expect(parseDate(value)).toBeUndefined(),
  );

  it("spans are days, weeks, months of a twelfth of a year, and years", () => {
    expect(["180d", "2w", "6m", "2y", "1.5y"].map(parseSpan)).toEqual([180, 14, 182.625, 730.5, 547.875]);
    expect(["180", "0d", "-1y", "2 years", 180, "", "y"].map(parseSpan)).toEqual(Array(7).fill(undefined));
  });
});
