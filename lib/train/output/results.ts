// train_results.json and all_results.json, and the figures in them: what a run amounted to.
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { writeWhole } from "../../files/output-file.js";
import {
  parsePythonJson,
  pythonFloat,
  pythonJson,
  pythonRound,
  pythonTimedelta,
} from "../../files/python-json.js";
import { INTEGER_KEYS } from "../checkpoint/trainer-state.js";

/** What a finished run amounted to. */
export interface RunFigures {
  runtimeSeconds: number;
  /** Blocks times epochs, or max_steps times the total batch where max_steps is given. */
  samples: number;
  /** The run's planned number of steps. */
  steps: number;
  totalFlos: number;
  trainLoss: number;
  epoch: number;
  /** Only with include_num_input_tokens_seen. */
  tokensSeen?: number;
}

/** The metrics of a finished run, in log_history's order, rounded as transformers does: seconds to 4 digits, rates
 * to 3, the loss not at all. */
export function trainMetrics(run: RunFigures): Record<string, number> {
  const metrics: Record<string, number> = { train_runtime: pythonRound(run.runtimeSeconds, 4) };
  if (run.runtimeSeconds > 0) {
    metrics.train_samples_per_second = pythonRound(run.samples / run.runtimeSeconds, 3);
    metrics.train_steps_per_second = pythonRound(run.steps / run.runtimeSeconds, 3);
  }
  metrics.total_flos = run.totalFlos;
  metrics.train_loss = run.trainLoss;
  metrics.epoch = run.epoch;
  if (run.tokensSeen !== undefined) metrics.num_input_tokens_seen = run.tokensSeen;
  return metrics;
}

/** The text of a results file: indented by 4, keys sorted, no newline at the end. */
export function formatResults(metrics: Record<string, unknown>): string {
  return pythonJson(metrics, { integers: INTEGER_KEYS, indent: 4, sortKeys: true });
}

/** Writes `<split>_results.json` and merges the metrics into all_results.json. Returns the paths written.
 * Throws UserError where the disk refuses. */
export function saveResults(outputDir: string, split: string, metrics: Record<string, number>): string[] {
  const own = path.join(outputDir, `${split}_results.json`);
  const all = path.join(outputDir, "all_results.json");
  writeWhole(own, formatResults(metrics));
  writeWhole(all, formatResults({ ...readResults(all), ...metrics }));
  return [own, all];
}

/** An earlier all_results.json. A damaged one counts as empty: it must not cost a finished run its results. */
function readResults(file: string): Record<string, unknown> {
  if (!existsSync(file)) return {};
  try {
    const found = parsePythonJson(readFileSync(file, "utf8"));
    return typeof found === "object" && found !== null && !Array.isArray(found) ? { ...found } : {};
  } catch {
    return {};
  }
}

/** The table that ends a run on the console: a heading, then `key = value` lines, sorted and aligned. */
export function metricsTable(split: string, metrics: Record<string, number>): string[] {
  const rows = Object.entries(metrics)
    .map(([key, value]) => [key, formatMetric(key, value)] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const keyWidth = Math.max(0, ...rows.map(([key]) => key.length));
  const valueWidth = Math.max(0, ...rows.map(([, value]) => value.length));
  const lines = rows.map(([key, value]) => `  ${key.padEnd(keyWidth)} = ${value.padStart(valueWidth)}`);
  return [`***** ${split} metrics *****`, ...lines];
}

/** One metric for the eye: run times as h:mm:ss.cc, floating point operations in units of 2^30, floats to 4 digits. */
export function formatMetric(key: string, value: number): string {
  if (key.includes("_runtime")) {
    const hundredths = Math.trunc(Math.abs(value - Math.trunc(value)) * 100);
    return `${pythonTimedelta(value)}.${String(hundredths).padStart(2, "0")}`;
  }
  if (key === "total_flos") return `${Math.floor(value / 2 ** 30)}GF`;
  if (INTEGER_KEYS.has(key)) return String(value);
  return pythonFloat(pythonRound(value, 4)).replace("NaN", "nan").replace("Infinity", "inf");
}
