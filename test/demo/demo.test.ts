// `npm run demo`, shortened to a few steps: both trainings, the comparison, the files that it names.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const out = mkdtempSync(path.join(tmpdir(), "qwen-pt-demo-"));
let text = "";
beforeAll(() => {
  const args = ["scripts/demo.mjs", "--out", out, "max_steps=12", "logging_steps=4", "use_cpu=true"];
  const run = spawnSync(process.execPath, args, { cwd: root, encoding: "utf8" });
  expect(run.stderr).toBe("");
  expect(run.status).toBe(0);
  text = run.stdout;
});
afterAll(() => rmSync(out, { recursive: true, force: true }));

describe("the demo", () => {
  it("shows the data, then trains twice with progress", () => {
    expect(text).toMatch(/100 documents, 53,\d{3} tokens -> \d+ blocks of 256/);
    expect(text).toMatch(/200 documents, 105,\d{3} tokens -> \d+ blocks of 256/);
    expect(text.match(/^step 4\/12 .*loss \d/gm)).toHaveLength(2);
  });

  it("measures text that was never trained on, before and after", () => {
    const rows = [...text.matchAll(/^ {2}(random weights|base model.*?) {2,}(\d\.\d{3}) +([\d,]+)$/gm)];
    expect(rows).toHaveLength(3);
    const losses = rows.map((row) => Number(row[2]));
    expect(losses[0]).toBeCloseTo(Math.log(4096), 0);
    expect(losses[1]).toBeLessThan(losses[0]! - 0.02);
    for (const [, , loss, perplexity] of rows)
      expect(Number(perplexity!.replace(/,/g, "")) / Math.exp(Number(loss))).toBeCloseTo(1, 2);
  });

  it("continues a prompt three times", () => {
    expect(text.match(/^ {4}夫天下/gm)).toHaveLength(3);
  });

  it("names files that are there", () => {
    for (const name of [
      "base/training_loss.png",
      "lora/training_loss.png",
      "lora/adapter_model.safetensors",
    ]) {
      expect(existsSync(path.join(out, name)), name).toBe(true);
    }
    expect(text).toContain(path.join(out, "lora/training_loss.png"));
    expect(existsSync(path.join(root, "examples/merge.yaml"))).toBe(true);
  });
});
