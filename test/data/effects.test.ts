// Every working data key changes the data: the same recipe with another value of one key gives other blocks.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { listKeys } from "../../lib/config/index.js";
import { type DataRecipe, loadTokenizer, prepareTrainingData, type Tokenizer } from "../../lib/data/index.js";
import { FIXTURES } from "./blocks/laid-blocks.js";

const BASE = { dataset: "main", dataset_dir: path.join(FIXTURES, "corpus"), cutoff_len: 32, packing: true };

let dir: string;
let tokenizer: Tokenizer;
beforeAll(async () => {
  dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-effects-"));
  tokenizer = await loadTokenizer(path.join(FIXTURES, "tokenizer"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const TWO = { dataset: "main,other" };
const OVER = { ...TWO, mix_strategy: "interleave_over" };
const STREAM = { streaming: true, max_steps: 3, buffer_size: 4 };

/** By key: what both recipes have beside it, and its two values. */
const CHANGES: Record<string, [Partial<DataRecipe>, unknown, unknown]> = {
  dataset: [{}, "main", "other"],
  dataset_dir: [{ dataset: "wudao" }, "", path.join(FIXTURES, "corpora")],
  cutoff_len: [{}, 32, 31],
  packing: [{}, true, false],
  max_samples: [{}, null, 10],
  preprocessing_batch_size: [{}, 1000, 5],
  preprocessing_num_workers: [{}, null, 3],
  template: [{}, null, "llama3"],
  eval_dataset: [{}, null, "other"],
  val_size: [{}, 0, 0.2],
  eval_on_each_dataset: [{ eval_dataset: "other,third" }, false, true],
  streaming: [{ max_steps: 3 }, false, true],
  buffer_size: [STREAM, 4, 40],
  mix_strategy: [TWO, "concat", "interleave_once"],
  interleave_probs: [OVER, null, [0.9, 0.1]],
  tokenized_path: [{}, null, "cache"],
};

/** Keys that leave the blocks as they are, with where they are tested. */
const ELSEWHERE: Record<string, string> = {
  neat_packing: "changes what training makes of the blocks (test/step/packed-documents.test.ts)",
  overwrite_cache: "decides whether tokens are made again (corpus-cache.test.ts)",
};

/** All that a recipe results in, or the line that it ends in. */
async function outcome(recipe: Partial<DataRecipe>): Promise<string> {
  try {
    const data = await prepareTrainingData({ ...BASE, ...recipe }, tokenizer);
    const windows = [];
    for (let step = 0; data.stream !== undefined && step < 3; step++)
      windows.push(Array.from((await data.stream.window(step)).batches.flat(), (ids) => Array.from(ids)));
    const blocks = data.stream === undefined ? data.blocks.length : 1;
    const ids = Array.from({ length: blocks }, (_, i) => Array.from(data.blocks.get(i)));
    return JSON.stringify({ ids, windows, evaluation: data.summary.evaluation, notes: data.notes });
  } catch (error) {
    return (error as Error).message;
  }
}

describe("another value gives other data", () => {
  for (const [key, [beside, one, other]] of Object.entries(CHANGES)) {
    it(key, async () => {
      const at = (value: unknown) => (value === "cache" ? path.join(dir, "cache") : value);
      const first = await outcome({ ...beside, [key]: at(one) });
      expect(await outcome({ ...beside, [key]: at(other) })).not.toBe(first);
      if (key !== "tokenized_path") expect(await outcome({ ...beside, [key]: at(one) })).toBe(first);
    });
  }

  it("and no working data key is left out", () => {
    const working = listKeys().filter((key) => key.group === "data" && key.class === "working");
    expect(working.map((key) => key.name).sort()).toEqual(
      [...Object.keys(CHANGES), ...Object.keys(ELSEWHERE)].sort(),
    );
  });
});
