// training_loss.png: what was logged, as a raw and a smoothed curve.
import path from "node:path";
import type { EChartsOption } from "echarts";
import { writeWhole } from "../../files/output-file.js";
import { pythonFloat } from "../../files/python-json.js";
import type { LogEntry } from "../checkpoint/trainer-state.js";
import { drawChart, FAMILY, INK } from "./chart.js";

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

/** Draws a curve as a PNG. Throws UserError where ECharts and resvg, optional dependencies, are not installed. */
export async function drawCurve(curve: Curve): Promise<Uint8Array> {
  return drawChart(chartOptions(curve), curve.title + curve.label);
}

/** Labels with as many decimals as the interval between them needs: 2.0, 2.5, 3.0. */
function axisNumber(interval: number): (value: number) => string {
  const decimals = Math.max(0, -Math.floor(Math.log10(interval) + 1e-9));
  return (value) => (decimals > 6 ? pythonFloat(Number(value.toPrecision(6))) : value.toFixed(decimals));
}

/** Half of the canvas is about 50 characters of title; the end of a path says more than its start. */
function shorten(title: string): string {
  return title.length <= 66 ? title : `${title.slice(0, 20)}…${title.slice(-45)}`;
}

function chartOptions({ title, label, steps, values }: Curve): EChartsOption {
  const range = valueRange(values);
  const points = (heights: readonly number[]) =>
    steps.map((step, index) => [step, heights[index]]).filter(([, height]) => Number.isFinite(height));
  const broken = steps.filter((_, index) => !Number.isFinite(values[index])).map((step) => [step, range.min]);
  const text = { fontFamily: FAMILY, color: INK };
  const axis = {
    type: "value" as const,
    scale: true,
    axisLine: { show: true, onZero: false, lineStyle: { color: INK } },
    axisTick: { show: true, lineStyle: { color: INK } },
    axisLabel: { ...text, fontSize: 12, hideOverlap: true },
    splitLine: { lineStyle: { color: "#e6e6e6" } },
    nameLocation: "middle" as const,
    nameTextStyle: { ...text, fontSize: 13 },
  };
  // a line needs two points; a single logged step is a dot
  const single = points(values).length === 1;
  const line = { type: "line" as const, showSymbol: single, symbol: "circle", symbolSize: 7 };
  return {
    animation: false,
    backgroundColor: "#ffffff",
    textStyle: text,
    title: {
      text: shorten(title),
      left: "center",
      top: 14,
      textStyle: { ...text, fontSize: 15, fontWeight: "normal" },
    },
    grid: { left: 78, right: 28, top: 52, bottom: 58, show: true, borderColor: INK, borderWidth: 1 },
    legend: {
      right: 36,
      top: 60,
      orient: "vertical",
      icon: "path://M0 4H24V6H0Z",
      itemWidth: 24,
      itemHeight: 3,
      padding: [6, 14, 6, 10],
      backgroundColor: "rgba(255,255,255,0.8)",
      borderColor: "#cccccc",
      borderWidth: 1,
      borderRadius: 3,
      textStyle: { ...text, fontSize: 12 },
    },
    xAxis: { ...axis, name: "step", nameGap: 32, minInterval: 1, ...stepRange(steps) },
    yAxis: {
      ...axis,
      name: label,
      nameGap: 56,
      ...range,
      axisLabel: { ...axis.axisLabel, formatter: axisNumber(range.interval) },
    },
    series: [
      { ...line, name: "original", data: points(values), color: LIGHT_BLUE, lineStyle: { width: 1.6 } },
      { ...line, name: "smoothed", data: points(smooth(values)), color: BLUE, lineStyle: { width: 1.8 } },
      // a value that is no number has no height; it is marked on the axis instead of being left out
      ...(broken.length > 0
        ? [
            {
              type: "scatter" as const,
              name: "not finite",
              data: broken,
              color: RED,
              symbol: "diamond",
              symbolSize: 9,
              clip: false,
              itemStyle: { opacity: 1 },
            },
          ]
        : []),
    ],
  };
}

/** The x axis ends where the steps do, and starts at 0 unless the run was resumed far on; a single step gets room. */
function stepRange(steps: readonly number[]): { min: number; max: number } {
  const first = steps[0] ?? 0;
  const last = steps.at(-1) ?? 1;
  return first === last
    ? { min: first - 1, max: last + 1 }
    : { min: first <= last / 10 ? 0 : first, max: last };
}

/** The y axis: a round interval for about six lines, and the ends that it gives. A flat curve gets room around it.
 * (ECharts' own choice trips over its rounding when all values are equal and small.) */
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
  const raw = (high - low + 2 * room) / 6;
  const power = 10 ** Math.floor(Math.log10(raw));
  const interval = power * ([1, 2, 5, 10].find((factor) => factor * power >= raw) ?? 10);
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
