// Where the package `tokenizers` is not installed, or has no binary for the system, importing it throws: the JavaScript
// engine takes over.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, it, vi } from "vitest";
import { loadTokenizer, prepareTrainingData } from "../../../lib/data/index.js";
import { readTokenizerFile } from "../../../lib/data/tokenizer/tokenizer.js";

vi.mock("tokenizers", () => {
  throw new Error("Cannot find native binding");
});

const SOURCE = path.join(import.meta.dirname, "../../fixtures/data/tokenizer");

it("takes the JavaScript engine by itself, and refuses only when the native one was asked for", async () => {
  const tokenizer = await loadTokenizer(SOURCE);
  expect(tokenizer.engine).toBe("script");
  expect(tokenizer.eosId).toBe(502);
  await expect(loadTokenizer(SOURCE, { engine: "native" })).rejects.toThrow(
    /tokenizer\.json: the package tokenizers is not installed, .*: npm install tokenizers$/,
  );
});

it("says so where no encoder stands in for it, and not for Qwen's form", async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "qwen-pt-slow-"));
  writeFileSync(path.join(folder, "a.txt"), "one two three four five six seven eight nine ten\n".repeat(20));
  writeFileSync(
    path.join(folder, "dataset_info.json"),
    '{"a": {"file_name": "a.txt", "columns": {"prompt": "text"}}}',
  );
  const recipe = { dataset: ["a"], dataset_dir: folder, template: "default", cutoff_len: 16, packing: true };
  const json = readTokenizerFile(SOURCE);
  const warnings = async (change: object) => {
    const tokenizer = await loadTokenizer(SOURCE, { json: { ...json, ...change } });
    return (await prepareTrainingData(recipe, tokenizer)).warnings;
  };
  expect(await warnings({})).toEqual([]);
  const said = await warnings({ normalizer: { type: "Lowercase" } });
  expect(said).toEqual([
    expect.stringMatching(/^tokenizer: .* not of Qwen's form.*: npm install tokenizers$/),
  ]);
  rmSync(folder, { recursive: true });
});
