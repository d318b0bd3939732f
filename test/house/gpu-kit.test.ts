// The kit that examines a card (scripts/gpu/kit): its options, and the report that it makes of what its parts left.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

// plain JavaScript without types: the kit needs nothing but Node
const { bars, byKernel } = (await import(
  path.join(import.meta.dirname, "../../scripts/gpu/kit/pictures.mjs")
)) as {
  bars(title: string, rows: { name: string; value: number; said: string }[]): string;
  byKernel(trace: object): object;
};
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

describe("pictures.mjs", () => {
  it("adds up a device's kernels, or an operator's time without that of those it calls", () => {
    const event = (cat: string, name: string, ts: number, dur: number) => ({
      ph: "X",
      cat,
      name,
      ts,
      dur,
      tid: 1,
    });
    const operators = [
      event("cpu_op", "mm", 2, 6),
      event("cpu_op", "linear", 0, 10),
      event("cpu_op", "mm", 20, 4),
    ];
    expect(byKernel({ traceEvents: operators })).toEqual({
      isDevice: false,
      total: 14,
      kernels: [
        { name: "mm", microseconds: 10, count: 2, share: 10 / 14 },
        { name: "linear", microseconds: 4, count: 1, share: 4 / 14 },
      ],
    });
    const kernels = [...operators, event("kernel", "gemm", 3, 1), event("gpu_memcpy", "HtoD", 9, 3)];
    expect(byKernel({ traceEvents: kernels })).toMatchObject({
      isDevice: true,
      total: 4,
      kernels: [{ name: "HtoD" }, { name: "gemm", share: 0.25 }],
    });
  });

  it("draws a bar for each row, as long as its value, and escapes names", () => {
    const svg = bars("speed", [
      { name: "a<b", value: 2, said: "two" },
      { name: "half", value: 1, said: "one" },
    ]);
    expect(svg).toContain("a&lt;b");
    const widths = [...svg.matchAll(/<rect x="330"[^>]* width="([\d.]+)"/g)].map(([, width]) =>
      Number(width),
    );
    expect(widths).toEqual([400, 200]);
  });
});

describe("report.mjs", () => {
  const cells = [
    { name: "LoRA, 1 row", tokensPerSecond: 30_000, peakBytes: 3e9, mfu: 0.126, notices: ["no graphs"] },
    { name: "full in bfloat16, 8 rows", error: "CUDA out of memory" },
  ];
  let text = "";
  let said = "";
  beforeAll(() => {
    const put = (name: string, content: unknown) =>
      writeFileSync(path.join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
    put("parts.txt", "ok\t4\tunpack\nover 40 s\t40\tcells\nnot here\t0\tthe loop\n");
    const kernels = [{ name: "sm90_gemm<a|b>", microseconds: 1500, count: 3, share: 0.75 }];
    const profile = { setting: "LoRA, 1 row", isDevice: true, total: 2000, kernels };
    put("cells.json", { card: "a card", length: 1024, steps: 10, cells, profile });
    put("ranks.json", {
      cards: 2,
      collectives: [
        ["all-reduce, float32", true],
        ["all-gather, bfloat16", false],
      ],
      reduce: { megabytes: 256, seconds: 0.002, gigabytesPerSecond: 125 },
      runs: [
        { name: "one process", losses: [2], seconds: 0.5, peakBytes: 9e9 },
        { name: "two processes", losses: [2], seconds: 0.25, peakBytes: 8e9, apart: 0.0012 },
        { name: "two processes, full_shard", error: "over 40 s" },
      ],
    });
    put("loop.json", { cells: [{ name: "LoRA, 1 row", tokensPerSecond: 20_000, peakBytes: 4e9 }] });
    said = spawnSync(process.execPath, [path.join(kit, "report.mjs"), folder], { encoding: "utf8" }).stdout;
    text = readFileSync(path.join(folder, "report.md"), "utf8");
  });

  it("sets each setting beside the same of transformers and PEFT", () => {
    expect(text).toContain("| LoRA, 1 row | 30,000 | 3.00 GB | 13 % | 1.50 |");
    expect(text).toContain("| LoRA, 1 row | 20,000 | 4.00 GB |");
  });

  it("sets two processes beside one, and says which collectives were wrong", () => {
    expect(text).toContain("1 of 2 collectives are right; wrong: all-gather, bfloat16.");
    expect(text).toContain("An all-reduce of 256 MiB between two cards: 2.0 ms, 125.0 GiB/s.");
    expect(text).toContain("| two processes | 0.250 | 8.00 GB | 1.2e-3 |");
    expect(text).toContain("| two processes, full_shard | over 40 s |  |  |");
  });

  it("shows the speeds in a picture, and a step by kernel", () => {
    expect(text).toContain("![Tokens/s](tokens.svg)");
    expect(readFileSync(path.join(folder, "tokens.svg"), "utf8")).toContain(
      "transformers + PEFT: LoRA, 1 row",
    );
    expect(text).toContain("| `sm90_gemm<a/b>` | 3 | 1.50 | 75.0 % |");
    expect(readFileSync(path.join(folder, "kernels.svg"), "utf8")).toContain("sm90_gemm&lt;a|b&gt;");
  });

  it("names what failed and what is missing", () => {
    expect(text).toContain("\n- LoRA, 1 row: no graphs\n");
    expect(text).toContain("| full in bfloat16, 8 rows | CUDA out of memory |");
    expect(text).toContain("`doctor --gpu` left no report");
    expect(said).toMatch(/^not all went well: cells: over 40 s$/m); // what the machine lacks is no fault
  });

  it("keeps the figures for programs", () => {
    const { parts, doctor } = JSON.parse(readFileSync(path.join(folder, "report.json"), "utf8"));
    expect(parts[1]).toEqual({ name: "cells", state: "over 40 s", seconds: 40 });
    expect(doctor).toBeNull();
  });
});
