// Figures as SVG: where things stand, and which font sets which letters.
import { expect, it } from "vitest";
import {
  drawFigure,
  type Figure,
  needsOtherFonts,
  roundInterval,
  shorten,
} from "../../../lib/train/output/figure.js";

/** Letters that are all half as wide as high. */
const measure = (text: string, size: number) => [...text].length * size * 0.5;
const axis = (name: string, min: number, max: number, interval: number) => ({
  name,
  min,
  max,
  interval,
  label: String,
});
const curve: Figure = {
  title: "loss of saves/古文/a & b",
  x: axis("step", 0, 100, 50),
  y: axis("loss", 2, 4, 1),
  marks: [
    {
      kind: "curve",
      name: "original",
      color: "#123456",
      points: [
        [0, 2],
        [50, 3],
        [100, 4],
      ],
    },
  ],
  legend: "inside",
};

interface Piece {
  x: number;
  size: number;
  family: string | undefined;
  text: string;
}
function textsOf(svg: string): Piece[] {
  const found = svg.matchAll(
    /<text x="([-\d.]+)" y="[-\d.]+" font-size="(\d+)"[^>]*?(?: font-family="([^"]+)")?>([^<]*)</g,
  );
  return [...found].map(([, x, size, family, text]) => ({
    x: Number(x),
    size: Number(size),
    family,
    text: text ?? "",
  }));
}

it("puts points where the axes say", () => {
  const points = /<polyline points="([^"]+)"/.exec(drawFigure(curve, measure))?.[1];
  expect(points).toBe("78,422 345,237 612,52");
});

it("sets the letters that the shipped font has by it, and others by fonts of the system, one after the other", () => {
  const title = textsOf(drawFigure(curve, measure)).filter(({ size }) => size === 15);
  expect(title.map(({ text }) => text)).toEqual(["loss of saves/", "古文", "/a &amp; b"]);
  expect(title.map(({ family }) => family?.includes("CJK"))).toEqual([undefined, true, undefined]);
  const [first, second, third] = title.map(({ x }) => x) as [number, number, number];
  expect([second - first, third - second]).toEqual([14 * 7.5, 2 * 15]);
  // the whole of it stands in the middle
  expect((first + third + 6 * 7.5) / 2).toBe(320);
  expect([needsOtherFonts(curve.title), needsOtherFonts("a…b é ж")]).toEqual([true, false]);
});

it("moves the axis to the right of long numbers, clear of its name", () => {
  const long = { ...curve, y: { ...curve.y, label: () => "0.000000123456" } };
  const left = (figure: Figure) => Number(/points="(\d+)/.exec(drawFigure(figure, measure))?.[1]);
  expect([left(curve), left(long)]).toEqual([78, 44 + 14 * 6]);
});

it("draws bars from the axis to their values, which stand above them", () => {
  const bars: Figure = {
    title: "bits",
    x: ["a", "b"],
    y: axis("bits per character", 0, 10, 5),
    marks: ["before", "after"].map((name, i) => ({
      kind: "bars" as const,
      name,
      color: i === 0 ? "#111111" : "#222222",
      heights: [5 + i, 10 - i],
    })),
    legend: "above",
  };
  const svg = drawFigure(bars, measure);
  const heights = [
    ...svg.matchAll(/<rect x="[\d.]+" y="([\d.]+)" width="46" height="([\d.]+)" fill="(#\d+)"/g),
  ].map(([, y, height, color]) => [color, Number(y) + Number(height), Number(height)]);
  const whole = 422 - 80;
  expect(heights).toEqual([
    ["#111111", 422, whole / 2],
    ["#111111", 422, whole],
    ["#222222", 422, Number((whole * 0.6).toFixed(2))],
    ["#222222", 422, Number((whole * 0.9).toFixed(2))],
  ]);
  expect(textsOf(svg).map(({ text }) => text)).toEqual(
    expect.arrayContaining(["5.000", "10.000", "6.000", "9.000", "before", "after"]),
  );
});

it("rounds intervals to 1, 2 or 5 and keeps a long path's end", () => {
  expect([roundInterval(10, 5), roundInterval(0.9, 6), roundInterval(70, 6), roundInterval(3, 6)]).toEqual([
    2, 0.2, 20, 0.5,
  ]);
  const short = shorten(`training loss of ${"a/".repeat(40)}end`, 30);
  expect([[...short].length, short.startsWith("training"), short.endsWith("/end")]).toEqual([30, true, true]);
});
