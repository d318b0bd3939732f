// Several datasets, interleaving, splits and evaluation sets, against the blocks that LLaMA-Factory 0.9.5 made of the
// same recipes (test/fixtures/data/make_mixed.py).

import { readFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { DocumentIds } from "../../lib/data/blocks/document-ids.js";
import { Selection, select } from "../../lib/data/blocks/selection.js";
import { TokenArena } from "../../lib/data/blocks/token-arena.js";
import {
  type DataRecipe,
  formatSummary,
  loadTokenizer,
  prepareTrainingData,
  type TokenBlocks,
  type Tokenizer,
} from "../../lib/data/index.js";
import { heldOutSplit, mixedOrder } from "../../lib/data/random/mixing.js";
import { allBlocks, digest, FIXTURES } from "./blocks/laid-blocks.js";

interface Described {
  name?: string;
  blocks: number;
  tokens: number;
  first: number[];
  last: number[];
  sha256: string;
}
interface Case {
  refused?: string;
  recipe: DataRecipe & { interleave_probs?: string | number[] };
  train: Described;
  evaluation: Described[];
}
const cases = JSON.parse(readFileSync(path.join(FIXTURES, "mixed.json"), "utf8")) as Record<string, Case>;

let tokenizer: Tokenizer;
beforeAll(async () => {
  tokenizer = await loadTokenizer(path.join(FIXTURES, "tokenizer"));
});

function prepare(given: Record<string, unknown>) {
  const { interleave_probs: probs, ...rest } = given;
  const recipe = {
    packing: true,
    cutoff_len: 32,
    ...rest,
    dataset_dir: path.join(FIXTURES, "corpus"),
    ...(probs === undefined
      ? {}
      : { interleave_probs: typeof probs === "string" ? probs.split(",") : probs }),
  } as DataRecipe;
  return prepareTrainingData(recipe, tokenizer);
}

function expectBlocks(blocks: TokenBlocks, given: Described) {
  const all = allBlocks(blocks);
  expect(blocks.length).toBe(given.blocks);
  expect(Array.from(all[0]!)).toEqual(given.first);
  expect(Array.from(all.at(-1)!)).toEqual(given.last);
  expect(digest(all)).toBe(given.sha256);
  expect(blocks.tokens).toBe(given.tokens);
}

describe("blocks equal LLaMA-Factory's", () => {
  for (const [name, given] of Object.entries(cases)) {
    if (given.refused !== undefined) continue;
    it(name, async () => {
      const { blocks, evaluation, summary } = await prepare({ ...given.recipe });
      expectBlocks(blocks, given.train);
      expect(evaluation.map((set) => set.name ?? "")).toEqual(given.evaluation.map((set) => set.name));
      for (const [i, set] of evaluation.entries()) expectBlocks(set.blocks, given.evaluation[i]!);
      expect(summary.tokens - summary.droppedTokens).toBe(given.train.tokens);
    });
  }

  it("and the fixtures hold what they should", () => {
    const refused = Object.keys(cases).filter((name) => cases[name]!.refused !== undefined);
    expect(refused).toEqual([
      "once",
      "val_size 1",
      "val_size 37",
      "val_size 0.99",
      "eval_dataset and val_size",
      "probabilities with concat",
      "too few probabilities",
      "probabilities that do not sum to one",
    ]);
    expect(Object.keys(cases).length - refused.length).toBeGreaterThan(20);
  });
});

describe("what LLaMA-Factory refuses is refused in one line", () => {
  const lines: Record<string, RegExp> = {
    "val_size 37": /^val_size: 37 of 37 documents leaves none to train on; lower val_size or add data$/,
    "val_size 0.99": /^val_size: 0.99 of 37 documents leaves none to train on/,
    "eval_dataset and val_size": /^val_size: it excludes eval_dataset; keep one of the two$/,
    "probabilities with concat": /^interleave_probs: it has no meaning with mix_strategy: concat/,
    "too few probabilities": /^interleave_probs: 1 for the 2 of dataset; give one probability for each/,
    "probabilities that do not sum to one": /^interleave_probs: they sum to 1.1; make them sum to 1$/,
  };
  for (const [name, line] of Object.entries(lines)) {
    it(name, async () => {
      expect(cases[name]!.refused).toBeDefined();
      await expect(prepare({ ...cases[name]!.recipe })).rejects.toThrow(line);
    });
  }

  it("and too little to evaluate on, a dataset that never ends, probabilities that are none", async () => {
    await expect(prepare({ dataset: "main", val_size: 1, cutoff_len: 400 })).rejects.toThrow(
      /^val_size: the 1 document to evaluate on fill no block of 400; raise val_size, or lower cutoff_len$/,
    );
    await expect(
      prepare({ dataset: "main", eval_dataset: "other", eval_on_each_dataset: true, cutoff_len: 900 }),
    ).rejects.toThrow(/^eval_dataset: the 11 documents of other to evaluate on fill no block of 900; add/);
    const over = { dataset: "main,other", mix_strategy: "interleave_over" };
    await expect(prepare({ ...over, interleave_probs: [1, 0] })).rejects.toThrow(/probability 0 is never/);
    await expect(prepare({ ...over, interleave_probs: [1.5, -0.5] })).rejects.toThrow(/between 0 and 1/);
    await expect(prepare({ ...over, mix_strategy: "shuffle" })).rejects.toThrow(
      /^mix_strategy: expected one of concat/,
    );
  });
});

describe("interleave_once, which the datasets that LLaMA-Factory pins does not know", () => {
  const once = (lengths: number[], probabilities?: number[], seed = 42) =>
    Array.from(mixedOrder(lengths, { strategy: "interleave_once", probabilities, seed })!);

  it("takes every document once, in turn, as later versions of datasets do", () => {
    // The example of datasets' own documentation.
    expect(once([3, 4, 3])).toEqual([0, 3, 7, 1, 4, 8, 2, 5, 9, 6]);
  });

  it("by probabilities draws from the same numbers as interleave_over, and skips what is used up", () => {
    const lengths = [37, 11];
    const order = once(lengths, [0.3, 0.7]);
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 48 }, (_, i) => i));
    const mixture = { strategy: "interleave_over", probabilities: [0.3, 0.7], seed: 42 } as const;
    const over = Array.from(mixedOrder(lengths, mixture)!);
    // Until the shorter one is used up the two are the same; behind that only the longer one is left.
    const end = order.lastIndexOf(47) + 1;
    expect(order.slice(0, end)).toEqual(over.slice(0, end));
    expect(order.slice(end).every((position) => position < 37)).toBe(true);
  });

  it("makes blocks of it", async () => {
    const { summary } = await prepare({ dataset: "main,other", mix_strategy: "interleave_once" });
    expect(summary.documents).toBe(48);
  });
});

describe("the pieces", () => {
  it("a selection gives the tokens of its documents, in its order", () => {
    const arena = new TokenArena();
    const texts = [[1, 2, 3], [], [4], [5, 6, 7, 8], [], [9, 10]];
    for (const ids of texts) arena.append(Int32Array.from(ids));
    const order = Int32Array.from([3, 1, 5, 5, 4, 0, 2]);
    const selection = new Selection(arena, DocumentIds.of(order));
    const expected = Array.from(order).flatMap((id) => texts[id]!);
    expect(selection.tokens).toBe(expected.length);
    for (let from = 0; from < expected.length; from++)
      for (let length = 0; from + length <= expected.length; length++)
        expect(Array.from(selection.slice(from, length))).toEqual(expected.slice(from, from + length));
    expect(Array.from(order, (_, i) => selection.start(i))).toEqual([0, 4, 4, 6, 8, 8, 11]);
    expect(select(arena, DocumentIds.run(0, 6))).toBe(arena);
    expect(select(arena, DocumentIds.run(0, 3))).not.toBe(arena);
  });

  it("a split divides the documents", () => {
    const { train, test } = heldOutSplit(10, 0.25, 42);
    expect(test.length).toBe(3);
    expect([...train, ...test].sort((a, b) => a - b)).toEqual(Array.from({ length: 10 }, (_, i) => i));
  });

  it("the summary says what is evaluated on", async () => {
    const { summary } = await prepare({ dataset: "main", eval_dataset: "other,third" });
    expect(formatSummary(summary)).toMatch(/; to evaluate on: 19 documents in \d+ blocks$/);
    const each = await prepare({ dataset: "main", eval_dataset: "other,third", eval_on_each_dataset: true });
    expect(formatSummary(each.summary)).toMatch(
      /; to evaluate on: other 11 documents in 14 blocks, third 8 documents in \d+ blocks$/,
    );
  });
});
