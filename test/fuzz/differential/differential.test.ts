// Two hundred cases of the differential run, held against the answers of datasets, transformers and PEFT that
// `npm run fuzz:differential -- --count 200 --seed 7 --write` recorded.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, it } from "vitest";
import { outcomeOf, readCase } from "./compare.mjs";
import { makeCase } from "./generate.mjs";

const FILE = fileURLToPath(new URL("../../fixtures/fuzz/differential.json", import.meta.url));
const { seed, answers } = JSON.parse(readFileSync(FILE, "utf8")) as { seed: number; answers: object[] };
const folder = mkdtempSync(path.join(tmpdir(), "qwen-pt-differential-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("files and folders of every dialect are read as the reference reads them, or refused for a reason", async () => {
  expect(answers).toHaveLength(200);
  const outcomes: Record<string, number> = {};
  const divergent: string[] = [];
  for (const [index, theirs] of answers.entries()) {
    const one = makeCase(seed, index, folder);
    const outcome = outcomeOf(one.kind, await readCase(one), theirs);
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    if (/^(?:broken|differs|refused here: )/.test(outcome)) divergent.push(`case ${index}: ${outcome}`);
  }
  expect(divergent).toEqual([]);
  expect(outcomes["same"]).toBeGreaterThan(120);
}, 60_000);
