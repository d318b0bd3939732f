// The experiments' statistics against worked cases: tables are only as honest as these.
import { expect, it } from "vitest";
import {
  advantage,
  chiSquareChance,
  deviation,
  lossAtGain,
  verdict,
} from "../../bench/experiments/statistics.mjs";

it("a chi-square's chance is that of the tables", () => {
  // critical values at 5 and 1 percent
  for (const [value, degrees, chance] of [
    [11.07, 5, 0.05],
    [15.086, 5, 0.01],
    [18.307, 10, 0.05],
    [4.351, 5, 0.5],
  ] as const)
    expect(Math.abs(chiSquareChance(value, degrees) - chance)).toBeLessThan(0.003);
});

it("a plain rate's loss at a gain lies on the line between its neighbours, and nowhere beyond the curve", () => {
  const curve = [
    { gain: 2, loss: 0.4 },
    { gain: 1, loss: 0.1 },
    { gain: 3, loss: 1.4 },
  ];
  expect(lossAtGain(curve, 1.5)).toBeCloseTo(0.25, 12);
  expect(lossAtGain(curve, 2.5)).toBeCloseTo(0.9, 12);
  expect([lossAtGain(curve, 0.9), lossAtGain(curve, 3.1)]).toEqual([undefined, undefined]);
});

it("a method that is on the curve of plain rates is called no better, whatever it forgets", () => {
  const curve = [
    { gain: 1, loss: 0.1 },
    { gain: 3, loss: 1.1 },
  ];
  const curves = { 1: curve, 2: curve, 3: curve };
  const at = (...points: [number, number][]) =>
    verdict(advantage(curves, Object.fromEntries(points.map(([gain, loss], i) => [i + 1, { gain, loss }]))));
  expect(at([1.2, 0.2], [1.4, 0.31], [1.6, 0.39])).toBe("same");
  expect(at([1.2, 0.1], [1.4, 0.2], [1.6, 0.31])).toBe("better");
  expect(at([1.2, 0.3], [1.4, 0.41], [1.6, 0.5])).toBe("worse");
  expect(at([2, 0.1], [2, 1.1], [2, 0.6])).toBe("same"); // the seeds do not agree
  expect(at([2, 0.1])).toBe("single");
  expect(at([4, 0.1])).toBe("beyond");
  expect(deviation([1, 2, 3])).toBe(1);
});
