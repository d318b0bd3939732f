// The kit that examines a card (scripts/gpu/kit): its options, and the report that it makes of what its parts left.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const kit = path.join(import.meta.dirname, "../../scripts/gpu/kit");
const folder = mkdtempSync(path.join(tmpdir(), "qwen-pt-kit-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("check.sh", () => {
  it("refuses a word that it does not know, and makes nothing", () => {
    const { status, stderr } = spawnSync("bash", [path.join(kit, "check.sh"), "gpu"], {
      cwd: folder,
      encoding: "utf8",
    });
    expect([status, stderr]).toEqual([2, "check.sh: gpu is not an option; there are cuda, cpu and --full\n"]);
  });
});

describe("report.mjs", () => {
  const cells = [
    { name: "LoRA, 1 row", tokensPerSecond: 30_000, peakBytes: 3e9, mfu: 0.126 },
    { name: "full in bfloat16, 8 rows", error: "CUDA out of memory" },
  ];
  let text = "";
  let said = "";
  beforeAll(() => {
    const put = (name: string, content: unknown) =>
      writeFileSync(path.join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
    put("parts.txt", "ok\t4\tunpack\nover 40 s\t40\tcells\n");
    put("cells.json", { card: "a card", length: 1024, steps: 10, cells });
    put("loop.json", { cells: [{ name: "LoRA, 1 row", tokensPerSecond: 20_000, peakBytes: 4e9 }] });
    said = spawnSync(process.execPath, [path.join(kit, "report.mjs"), folder], { encoding: "utf8" }).stdout;
    text = readFileSync(path.join(folder, "report.md"), "utf8");
  });

  it("sets each setting beside the same of transformers and PEFT", () => {
    expect(text).toContain("| LoRA, 1 row | 30,000 | 3.00 GB | 13 % | 1.50 |");
    expect(text).toContain("| LoRA, 1 row | 20,000 | 4.00 GB |");
  });

  it("names what failed and what is missing", () => {
    expect(text).toContain("| full in bfloat16, 8 rows | CUDA out of memory |");
    expect(text).toContain("`doctor --gpu` left no report");
    expect(said).toContain("not all went well: cells: over 40 s");
  });

  it("keeps the figures for programs", () => {
    const { parts, doctor } = JSON.parse(readFileSync(path.join(folder, "report.json"), "utf8"));
    expect(parts[1]).toEqual({ name: "cells", state: "over 40 s", seconds: 40 });
    expect(doctor).toBeNull();
  });
});
