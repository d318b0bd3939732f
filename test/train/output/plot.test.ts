// training_loss.png: the smoothing against LLaMA-Factory's own function, and the picture by its pixels.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { inflateSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LogEntry } from "../../../lib/train/checkpoint/trainer-state.js";
import { drawCurve, plotMetrics, smooth } from "../../../lib/train/output/plot.js";

const numbers = JSON.parse(
  readFileSync(new URL("../../fixtures/output/numbers.json", import.meta.url), "utf8"),
);

/** An 8-bit RGBA PNG without interlacing, as resvg writes it: undoes the five row filters. */
function decode(png: Uint8Array): { width: number; height: number; at(x: number, y: number): number[] } {
  const file = Buffer.from(png);
  expect(file.subarray(0, 8).toString("latin1")).toBe("\x89PNG\r\n\x1a\n");
  const [width, height] = [file.readUInt32BE(16), file.readUInt32BE(20)];
  expect([...file.subarray(24, 29)]).toEqual([8, 6, 0, 0, 0]);
  const parts: Buffer[] = [];
  for (let at = 8; at < file.length; at += 12 + file.readUInt32BE(at)) {
    if (file.toString("latin1", at + 4, at + 8) === "IDAT")
      parts.push(file.subarray(at + 8, at + 8 + file.readUInt32BE(at)));
  }
  const raw = inflateSync(Buffer.concat(parts));
  const stride = width * 4;
  const pixels = Buffer.alloc(stride * height);
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (stride + 1)];
    for (let i = 0; i < stride; i++) {
      const a = i < 4 ? 0 : (pixels[y * stride + i - 4] as number);
      const b = y === 0 ? 0 : (pixels[(y - 1) * stride + i] as number);
      const c = i < 4 || y === 0 ? 0 : (pixels[(y - 1) * stride + i - 4] as number);
      const p = a + b - c;
      const [pa, pb, pc] = [Math.abs(p - a), Math.abs(p - b), Math.abs(p - c)];
      const paeth = pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
      const add = [0, a, b, (a + b) >> 1, paeth][filter as number] as number;
      pixels[y * stride + i] = (raw[y * (stride + 1) + 1 + i] as number) + add;
    }
  }
  return { width, height, at: (x, y) => [...pixels.subarray(y * stride + x * 4, y * stride + x * 4 + 4)] };
}

type Picture = ReturnType<typeof decode>;
function count(
  picture: Picture,
  box: [number, number, number, number],
  color: [number, number, number],
): number {
  let found = 0;
  for (let y = box[1]; y < box[3]; y++) {
    for (let x = box[0]; x < box[2]; x++) {
      if (
        picture
          .at(x, y)
          .slice(0, 3)
          .every((part, i) => Math.abs(part - (color[i] as number)) < 24)
      )
        found++;
    }
  }
  return found;
}
const BLUE: [number, number, number] = [0x1f, 0x77, 0xb4];
const LIGHT: [number, number, number] = [0xa5, 0xc9, 0xe1];
const RED: [number, number, number] = [0xd6, 0x27, 0x28];
const INK: [number, number, number] = [0x33, 0x33, 0x33];
const TITLE: [number, number, number, number] = [200, 20, 1100, 90];
const INSIDE: [number, number, number, number] = [180, 240, 1200, 830];

describe("smooth", () => {
  it("is LLaMA-Factory's", () => {
    const { raw, smoothed, one } = numbers.smooth;
    smooth(raw).forEach((value, i) => {
      expect(value).toBeCloseTo(smoothed[i], 14);
    });
    expect(smooth([2])).toEqual(one);
    expect(smooth([])).toEqual([]);
  });

  it("passes over a NaN", () => {
    const values = smooth([2, Number.NaN, 2]);
    expect(values).toEqual([2, Number.NaN, 2]);
  });
});

describe("the picture", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), "qwen-pt-plot-"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("shows both curves, a title and axis labels", async () => {
    const steps = Array.from({ length: 40 }, (_, i) => (i + 1) * 10);
    const values = steps.map((step, i) => 3 + Math.exp(-step / 100) + (i % 2) * 0.3);
    const picture = decode(
      await drawCurve({ title: "training loss of saves/run", label: "loss", steps, values }),
    );
    expect([picture.width, picture.height]).toEqual([1280, 960]);
    expect(picture.at(3, 3)).toEqual([255, 255, 255, 255]);
    expect(count(picture, INSIDE, BLUE)).toBeGreaterThan(1500);
    expect(count(picture, INSIDE, LIGHT)).toBeGreaterThan(1500);
    // letters: dark pixels where no axis and no curve is
    expect(count(picture, TITLE, INK)).toBeGreaterThan(300);
    expect(count(picture, [0, 400, 60, 560], INK)).toBeGreaterThan(30);
    expect(count(picture, [560, 895, 760, 950], INK)).toBeGreaterThan(30);
    const untitled = decode(await drawCurve({ title: "", label: "loss", steps, values }));
    expect(count(untitled, TITLE, INK)).toBe(0);
  });

  it("marks a value that is not finite, and draws the rest", async () => {
    const steps = [1, 2, 3, 4];
    const broken = decode(
      await drawCurve({ title: "t", label: "loss", steps, values: [3, Number.NaN, 2, Infinity] }),
    );
    expect(count(broken, [0, 0, 1280, 960], RED)).toBeGreaterThan(40);
    expect(count(broken, INSIDE, BLUE)).toBeGreaterThan(1000);
    const sound = decode(await drawCurve({ title: "t", label: "loss", steps, values: [3, 2.5, 2, 1] }));
    expect(count(sound, [0, 0, 1280, 960], RED)).toBe(0);
  });

  it.each([
    ["a single step", [10], [0.00012]],
    ["a flat curve", [1, 2, 3], [2, 2, 2]],
    ["zeros", [1, 2], [0, 0]],
    ["nothing finite", [1, 2], [Number.NaN, Number.NaN]],
    ["a tiny range on a large value", [1, 2], [123456.5, 123456.6]],
    ["negative values", [1, 2, 3], [-1, 0.5, -7]],
  ])("draws %s", async (_what, steps, values) => {
    expect(decode(await drawCurve({ title: "t", label: "loss", steps, values })).width).toBe(1280);
  });

  it("writes one file a key and names what was never logged", async () => {
    const history: LogEntry[] = [
      { loss: 3, "a/b": 1, step: 1, epoch: 1 },
      { loss: 2, "a/b": 2, step: 2, epoch: 2 },
      { train_loss: 2.5, step: 2, epoch: 2 },
    ];
    const result = await plotMetrics(folder, history, ["loss", "a/b", "eval_loss"]);
    expect(result.missing).toEqual(["eval_loss"]);
    expect(result.files.map((file) => path.basename(file))).toEqual([
      "training_loss.png",
      "training_a_b.png",
    ]);
    expect(readdirSync(folder).sort()).toEqual(["training_a_b.png", "training_loss.png"]);
  });
});
