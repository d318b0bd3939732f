// training_loss.png: what was logged, as a raw and a smoothed curve.
import path from "node:path";
import { writeWhole } from "../../files/output-file.js";
import { pythonFloat } from "../../files/python-json.js";
import type { LogEntry } from "../checkpoint/trainer-state.js";
import { drawChart } from "./chart.js";
import { type Figure, type Mark, type NumberAxis, roundInterval, shorten } from "./figure.js";

const BLUE = "#1f77b4";
const LIGHT_BLUE = "#a5c9e1";
const RED = "#d62728";

/** Exponential moving average with TensorBoard's recursion and LLaMA-Factory's weight for n points,
 * 1.8 * (sigmoid(0.05 n) - 0.5). Values that are not finite are skipped: they come out as they went in. */
export function smooth(values: readonly number[]): number[] {
  const finite = values.filter(Number.isFinite);
  const weight = 1.8 * (1 / (1 + Math.exp(-0.05 * values.length)) - 0.5);
  let last = finite[0] ?? 0;
  return values.map((value) => {
    if (!Number.isFinite(value)) return value;
    last = last * weight + (1 - weight) * value;
    return last;
  });
}

/** A logged metric over steps. */
export interface Curve {
  title: string;
  /** The y axis: the metric's name. */
  label: string;
  steps: readonly number[];
  values: readonly number[];
}

/** Draws a curve as a PNG. Throws UserError where resvg, an optional dependency, is not installed. */
export async function drawCurve(curve: Curve): Promise<Uint8Array> {
  return drawChart(figureOf(curve));
}

/** Labels with as many decimals as the interval between them needs: 2.0, 2.5, 3.0. */
function axisNumber(interval: number): (value: number) => string {
  const decimals = Math.max(0, -Math.floor(Math.log10(interval) + 1e-9));
  return (value) => (decimals > 6 ? pythonFloat(Number(value.toPrecision(6))) : value.toFixed(decimals));
}

function figureOf({ title, label, steps, values }: Curve): Figure {
  const range = valueRange(values);
  const points = (heights: readonly number[]) =>
    steps.flatMap((step, index) => {
      const height = heights[index] ?? Number.NaN;
      return Number.isFinite(height) ? [[step, height] as const] : [];
    });
  const broken = steps
    .filter((_, index) => !Number.isFinite(values[index]))
    .map((step) => [step, range.min] as const);
  const marks: Mark[] = [
    { kind: "curve", name: "original", color: LIGHT_BLUE, points: points(values) },
    { kind: "curve", name: "smoothed", color: BLUE, points: points(smooth(values)) },
  ];
  // a value that is no number has no height; it is marked on the axis instead of being left out
  if (broken.length > 0) marks.push({ kind: "diamonds", name: "not finite", color: RED, points: broken });
  return {
    title: shorten(title, 66),
    x: stepAxis(steps),
    y: { name: label, ...range, label: axisNumber(range.interval) },
    marks,
    legend: "inside",
  };
}

/** The x axis ends where the steps do, and starts at 0 unless the run was resumed far on; a single step gets room. */
function stepAxis(steps: readonly number[]): NumberAxis {
  const first = steps[0] ?? 0;
  const last = steps.at(-1) ?? 1;
  const [min, max] = first === last ? [first - 1, last + 1] : [first <= last / 10 ? 0 : first, last];
  const interval = Math.max(1, roundInterval(max - min, 8));
  return { name: "step", min, max, interval, label: (value) => value.toLocaleString("en-US") };
}

/** The y axis: a round interval for about six lines, and the ends that it gives. A flat curve gets room around it. */
function valueRange(values: readonly number[]): { min: number; max: number; interval: number } {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) return { min: 0, max: 1, interval: 0.2 };
  const room = high - low > Math.abs(high) * 1e-9 ? (high - low) * 0.04 : Math.abs(high) * 0.05 || 0.5;
  const interval = roundInterval(high - low + 2 * room, 6);
  const round = (value: number) => Number(value.toPrecision(12));
  const floor = Math.floor((low - room) / interval) * interval;
  // a loss is never negative, and the axis need not pretend so
  return {
    min: round(low >= 0 ? Math.max(0, floor) : floor),
    max: round(Math.ceil((high + room) / interval) * interval),
    interval: round(interval),
  };
}

/** Draws `training_<key>.png` for each key that was logged (a `/` in a key becomes `_`). Returns the paths written and
 * the keys of which nothing was logged. Throws UserError where the disk refuses. */
export async function plotMetrics(
  outputDir: string,
  history: readonly LogEntry[],
  keys: readonly string[] = ["loss"],
): Promise<{ files: string[]; missing: string[] }> {
  const files: string[] = [];
  const missing: string[] = [];
  for (const key of keys) {
    const entries = history.filter((entry) => key in entry);
    if (entries.length === 0) {
      missing.push(key);
      continue;
    }
    const steps = entries.map((entry) => entry.step ?? 0);
    const values = entries.map((entry) => entry[key] ?? Number.NaN);
    const file = path.join(outputDir, `training_${key.replaceAll("/", "_")}.png`);
    writeWhole(
      file,
      await drawCurve({ title: `training ${key} of ${outputDir}`, label: key, steps, values }),
    );
    files.push(file);
  }
  return { files, missing };
}
