// train_results.json, all_results.json and the closing table against what transformers 5.6 writes.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  formatMetric,
  formatResults,
  metricsTable,
  saveResults,
  trainMetrics,
} from "../../../lib/train/output/results.js";

const fixture = (name: string) =>
  readFileSync(new URL(`../../fixtures/output/${name}`, import.meta.url), "utf8");
const numbers = JSON.parse(fixture("numbers.json"));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "qwen-pt-results-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const read = (name: string) => readFileSync(path.join(folder, name), "utf8");

describe("results files", () => {
  it.each(["lora/train_results.json", "full/all_results.json"])("%s is reproduced byte for byte", (name) => {
    expect(formatResults(JSON.parse(fixture(name)))).toBe(fixture(name));
  });

  it("metrics have transformers' keys and rounding", () => {
    const metrics = trainMetrics({
      runtimeSeconds: 1.84318,
      samples: 75,
      steps: 39,
      totalFlos: 277401600,
      trainLoss: 5.357021747491299,
      epoch: 3,
      tokensSeen: 2400,
    });
    const reference = JSON.parse(fixture("lora/train_results.json"));
    expect(Object.keys(metrics).sort()).toEqual(Object.keys(reference));
    expect(metrics).toEqual({
      ...reference,
      train_samples_per_second: 40.691,
      train_steps_per_second: 21.159,
    });
  });

  it("all_results.json keeps what other splits wrote", () => {
    writeFileSync(path.join(folder, "all_results.json"), '{"eval_loss": 2.0, "train_loss": 9.0}');
    const files = saveResults(folder, "train", { train_loss: 3, epoch: 1 });
    expect(files.map((file) => path.basename(file))).toEqual(["train_results.json", "all_results.json"]);
    expect(read("train_results.json")).toBe('{\n    "epoch": 1.0,\n    "train_loss": 3.0\n}');
    expect(read("all_results.json")).toBe(
      '{\n    "epoch": 1.0,\n    "eval_loss": 2.0,\n    "train_loss": 3.0\n}',
    );
  });

  it("a damaged all_results.json does not cost the run its results", () => {
    writeFileSync(path.join(folder, "all_results.json"), "{");
    saveResults(folder, "train", { train_loss: 3 });
    expect(read("all_results.json")).toBe('{\n    "train_loss": 3.0\n}');
  });
});

describe("the closing table", () => {
  it.each(Object.entries(numbers.metrics.raw as Record<string, number>))("formats %s", (key, value) => {
    expect(formatMetric(key, value)).toBe(numbers.metrics.formatted[key]);
  });

  it("is sorted and aligned", () => {
    expect(metricsTable("train", { train_runtime: 3725.4567, epoch: 3, total_flos: 2 ** 31 })).toEqual([
      "***** train metrics *****",
      "  epoch         =        3.0",
      "  total_flos    =        2GF",
      "  train_runtime = 1:02:05.45",
    ]);
  });
});
