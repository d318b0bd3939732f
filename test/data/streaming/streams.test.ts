// Streaming: the blocks of every pass equal LLaMA-Factory's (test/fixtures/data/make_streams.py), steps are cut from
// them in order, and no more is read than they need.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type DataRecipe,
  formatSummary,
  loadTokenizer,
  prepareTrainingData,
  type Tokenizer,
} from "../../../lib/data/index.js";
import { StreamedSteps } from "../../../lib/data/streaming/block-stream.js";
import { allBlocks, digest, FIXTURES } from "../blocks/laid-blocks.js";

interface Described {
  name?: string;
  blocks: number;
  first: number[];
  last: number[];
  sha256: string;
}
interface Case {
  refused?: string;
  recipe: Record<string, unknown>;
  passes: Described[];
  evaluation: Described[];
}
const cases = JSON.parse(readFileSync(path.join(FIXTURES, "streams.json"), "utf8")) as Record<string, Case>;

let dir: string;
let tokenizer: Tokenizer;
beforeAll(async () => {
  dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-streams-"));
  tokenizer = await loadTokenizer(path.join(FIXTURES, "tokenizer"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const RECIPE = {
  dataset: "main",
  dataset_dir: path.join(FIXTURES, "corpus"),
  cutoff_len: 32,
  packing: true,
  streaming: true,
  max_steps: 1000,
  buffer_size: 8,
};

function prepare(given: Record<string, unknown>) {
  const probs = given.interleave_probs;
  const split = typeof probs === "string" ? { interleave_probs: probs.split(",") } : {};
  return prepareTrainingData({ ...RECIPE, ...given, ...split } as DataRecipe, tokenizer);
}

/** The blocks of a number of passes, one block a step. */
async function passes(given: Record<string, unknown>, count: number): Promise<Int32Array[][]> {
  const { stream } = await prepare({
    ...given,
    per_device_train_batch_size: 1,
    gradient_accumulation_steps: 1,
  });
  const found: Int32Array[][] = [];
  for (let step = 0; ; step++) {
    const { batches, pass, before } = await stream!.window(step);
    if (pass === count) return found;
    if (before === 0) found.push([]);
    expect(before).toBe(found[pass]!.length);
    found[pass]!.push(batches[0]![0]!);
  }
}

describe("blocks equal LLaMA-Factory's, pass by pass", () => {
  for (const [name, given] of Object.entries(cases)) {
    if (given.refused !== undefined) continue;
    it(name, async () => {
      const recipe = { buffer_size: undefined, ...given.recipe };
      const found = await passes(recipe, given.passes.length);
      for (const [i, expected] of given.passes.entries()) {
        expect(found[i]!.length).toBe(expected.blocks);
        expect(Array.from(found[i]![0]!)).toEqual(expected.first);
        expect(digest(found[i]!)).toBe(expected.sha256);
      }
      const { evaluation, blocks } = await prepare(recipe);
      expect(
        evaluation.map((set) => ({ name: set.name ?? "", sha256: digest(allBlocks(set.blocks)) })),
      ).toEqual(given.evaluation.map((set) => ({ name: set.name, sha256: set.sha256 })));
      expect(Array.from(blocks.get(0))).toEqual(given.passes[0]!.first);
    });
  }

  it("and the fixtures hold what they should", () => {
    const refused = Object.keys(cases).filter((name) => cases[name]!.refused !== undefined);
    expect(refused).toEqual(["max_samples", "a share held out", "no max_steps"]);
    expect(Object.keys(cases).length).toBeGreaterThan(15);
  });
});

describe("what LLaMA-Factory refuses is refused in one line", () => {
  const lines: [Record<string, unknown>, RegExp][] = [
    [cases["max_samples"]!.recipe, /^max_samples: it excludes streaming; keep one of the two$/],
    [
      cases["a share held out"]!.recipe,
      /^val_size: a stream has no known length; give a number of documents/,
    ],
    [cases["no max_steps"]!.recipe, /^streaming: a stream has no known end; set max_steps too$/],
    [{ tokenized_path: "x" }, /^tokenized_path: it excludes streaming, which keeps nothing/],
    [
      { gradient_accumulation_steps: 100 },
      /^streaming: a pass over the corpus fills 7 batches of 8, fewer than gradient_accumulation_steps \(100\)/,
    ],
    [
      { eval_dataset: "other", cutoff_len: 900 },
      /^eval_dataset: the 11 documents to evaluate on fill no block/,
    ],
  ];
  for (const [given, line] of lines)
    it(String(line), async () => await expect(prepare(given)).rejects.toThrow(line));
});

describe("steps", () => {
  const size = { per_device_train_batch_size: 3, gradient_accumulation_steps: 2 };

  it("take the blocks in order; a pass ends with a step, its last batch may be short", async () => {
    const { stream, blocks, summary } = await prepare(size);
    const [first, second] = await passes({}, 2);
    const windows = await Promise.all(Array.from({ length: 12 }, (_, step) => step).map((step) => step));
    const given = [];
    for (const step of windows) given.push(await stream!.window(step));
    // 52 blocks are 17 batches of 3 and one of 1: nine steps of two, the last batch short.
    expect(given.map(({ pass, before }) => [pass, before])).toEqual([
      ...Array.from({ length: 9 }, (_, i) => [0, i]),
      [1, 0],
      [1, 1],
      [1, 2],
    ]);
    expect(given[8]!.batches.map((batch) => batch.length)).toEqual([3, 1]);
    const seen = given.slice(0, 9).flatMap(({ batches }) => batches.flat());
    expect(digest(seen)).toBe(digest(first!));
    expect(digest(given[9]!.batches.flat())).toBe(digest(second!.slice(0, 6)));
    expect(blocks.length).toBe(1000 * 6);
    expect(() => blocks.get(1)).toThrow(RangeError);
    expect(formatSummary(summary)).toBe(
      "streamed from main: 6,000 blocks of 32 in all steps, documents end with <|im_end|>",
    );
  });

  it("that a pass does not fill are left out, and so is a short batch with dataloader_drop_last", async () => {
    const { stream } = await prepare({ ...size, gradient_accumulation_steps: 5 });
    await stream!.window(2);
    expect(await stream!.window(3)).toMatchObject({ pass: 1, before: 0 });
    const dropping = await prepare({ ...size, dataloader_drop_last: true });
    expect(await dropping.stream!.window(8)).toMatchObject({ pass: 1, before: 0 });
  });

  it("may begin anywhere, as a resumed run does, and do not go back", async () => {
    const { stream } = await prepare(size);
    const resumed = await prepare(size);
    let last = await stream!.window(0);
    for (let step = 1; step <= 11; step++) last = await stream!.window(step);
    const there = await resumed.stream!.window(11);
    expect(digest(there.batches.flat())).toBe(digest(last.batches.flat()));
    await expect(stream!.window(5)).rejects.toThrow(RangeError);
  });

  it("of several processes have the batches that accelerate gives to each", async () => {
    const dispatched = JSON.parse(readFileSync(path.join(FIXTURES, "dispatched.json"), "utf8")) as {
      samples: number;
      batch: number;
      dropLast: boolean;
      size: number;
      ranks: number[][][][];
    }[];
    expect(dispatched.length).toBeGreaterThan(90);
    async function* blocks(samples: number) {
      for (let block = 0; block < samples; block++) yield Int32Array.of(block);
    }
    for (const { samples, batch: batchSize, dropLast, size, ranks } of dispatched) {
      if (ranks.flat(2).some((batch) => batch.length === 0)) continue; // nobody is left without a block here
      for (const [rank, passes] of ranks.entries()) {
        const rounds = passes.flat().length;
        if (rounds === 0) continue; // a pass that fills no step is refused
        const options = { batchSize, accumulation: 1, dropLast, share: { rank, size } };
        const steps = new StreamedSteps(options, () => blocks(samples));
        const ours: number[][] = [];
        for (let step = 0; step < rounds; step++)
          ours.push((await steps.window(step)).batches[0]!.map(([block]) => block!));
        expect(ours, JSON.stringify({ samples, batchSize, dropLast, size, rank })).toEqual(passes.flat());
        expect((await steps.window(rounds)).pass).toBe(2);
      }
    }
  });

  it("notes say what a stream does not read", async () => {
    const { notes } = await prepare({ dataset: "few", dataloader_num_workers: 4 });
    expect(notes).toEqual([
      "dataset: num_samples of few is not read when streaming, as in LLaMA-Factory",
      "dataloader_num_workers: the stream is in the order of one loader; LLaMA-Factory's is another with 4",
    ]);
  });

  it("interleave_once takes every document once", async () => {
    const [first] = await passes(
      { dataset: "main,other", mix_strategy: "interleave_once", packing: false },
      1,
    );
    expect(first!.length).toBe(48);
  });
});

describe("reading", () => {
  it("goes no further than the steps need: a defect far ahead comes at its step, with its place", async () => {
    const row = JSON.stringify({ text: "The quick brown fox jumps over the lazy dog. ".repeat(4) });
    writeFileSync(path.join(dir, "rows.jsonl"), `${`${row}\n`.repeat(2000)}oops\n`);
    writeFileSync(
      path.join(dir, "dataset_info.json"),
      '{"rows": {"file_name": "rows.jsonl", "columns": {"prompt": "text"}}}',
    );
    const { stream } = await prepare({ dataset: "rows", dataset_dir: dir, preprocessing_batch_size: 20 });
    let step = 0;
    const failing = (async () => {
      for (; ; step++) await stream!.window(step);
    })();
    await expect(failing).rejects.toThrow(/rows\.jsonl:2001: malformed JSON/);
    expect(step).toBeGreaterThan(300);
  });
});
