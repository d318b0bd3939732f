// The bench's report: several kinds of processor in one table, and documents that say what bench/results holds.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, expect, it } from "vitest";
import { keepMeasured, keptResults, takeMeasured } from "../../bench/harness/results.mjs";
import { root } from "../../bench/harness/subject.mjs";
import { beside } from "../../bench/report/beside.mjs";
import { peersInShort } from "../../bench/report/report_readme.mjs";

const folder = mkdtempSync(path.join(os.tmpdir(), "qwen-pt-report-"));
afterAll(() => rmSync(folder, { recursive: true }));

it("puts narrow tables side by side, a row for every name of either", () => {
  const table = (...rows: string[][]) => ({ speed: { head: ["", "tokens/s", "peak"], rows } });
  const text = beside([
    { processor: "BIG", blocks: table(["ours", "2", "3"], ["theirs", "1", "4"]) },
    { processor: "SMALL", blocks: table(["ours", "20", "30"], ["others", "5", "6"]) },
  ]);
  expect(text.split("\n")).toEqual([
    "|  | BIG: tokens/s | peak | SMALL: tokens/s | peak |",
    "|---|---|---|---|---|",
    "| ours | 2 | 3 | 20 | 30 |",
    "| theirs | 1 | 4 |  |  |",
    "| others |  |  | 5 | 6 |",
  ]);
});

it("puts wide tables below each other, and names the processor of a sentence", () => {
  const head = ["step", "a", "b", "c", "d", "e", "f"];
  const blocks = (x: string) => ({ wide: { head, rows: [["one", ...x.repeat(6)]] }, said: `is ${x}.` });
  const text = beside([
    { processor: "BIG", blocks: blocks("1") },
    { processor: "SMALL", blocks: blocks("2") },
  ]);
  expect(text.split("\n")).toEqual([
    "| step | processor | a | b | c | d | e | f |",
    "|---|---|---|---|---|---|---|---|",
    "| one | BIG | 1 | 1 | 1 | 1 | 1 | 1 |",
    "| one | SMALL | 2 | 2 | 2 | 2 | 2 | 2 |",
    "",
    "BIG: is 1.",
    "",
    "SMALL: is 2.",
  ]);
});

it("says both ratios of a processor without bf16, and that a peer refuses", () => {
  const run = (tokensPerSecond: number, speed?: number) => ({
    tokensPerSecond,
    peakBytes: 1e9,
    speed,
    memory: 0.5,
  });
  const results = {
    "LLaMA-Factory, LoRA, float32": run(20),
    "qwen-pt, LoRA": run(50, 2.5),
    "Unsloth, LoRA": { refused: "does not start: no accelerator" },
    "LLaMA-Factory, LoRA, steps of 64 tokens": run(0.25),
    "qwen-pt, LoRA, steps of 64 tokens": run(40, 160),
  };
  const text = peersInShort({ AVX2: { found: { results } } }, "en");
  expect(text).toContain("| LLaMA-Factory 0.9.5, LoRA, the recipe | 0.25 | 1.00 GB |");
  expect(text).toContain("| Unsloth 2026.10.9, LoRA | refuses |  |");
  expect(text).toContain("| qwen-pt / LLaMA-Factory at its best there, LoRA | **2.50** | **0.50** |");
  expect(text).toContain("| qwen-pt / LLaMA-Factory, both by the recipe | **160.00** | **0.50** |");
  expect(text).toContain("steps of 64 tokens, ");
});

it("takes a measured section in place of its predecessor and leaves the others", () => {
  const target = path.join(folder, "kept");
  const result = (found: number) => ({
    at: "2026",
    machine: "m",
    version: "v",
    seconds: 1,
    output: "",
    found,
  });
  keepMeasured(folder, "AVX2", "peers", result(1));
  keepMeasured(folder, "AVX2", "ladder", result(2));
  expect(takeMeasured(folder, target).sort()).toEqual(["AVX2/ladder", "AVX2/peers"]);
  rmSync(path.join(folder, "results", "AVX2", "ladder.json"));
  keepMeasured(folder, "AVX2", "peers", result(3));
  takeMeasured(folder, target);
  expect(keptResults(target)).toEqual({
    AVX2: {
      peers: { at: "2026", machine: "m", version: "v", found: 3 },
      ladder: { at: "2026", machine: "m", version: "v", found: 2 },
    },
  });
});

it("left the documents as bench/results has them", () => {
  const args = [path.join(root, "bench", "report.mjs"), "--check"];
  expect(execFileSync(process.execPath, args, { encoding: "utf8" })).toBe("");
});
