// The whole path from dataset_info.json to blocks, against the blocks that LLaMA-Factory 0.9.5 made of the same files
// (test/fixtures/data/make_blocks.py).

import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  formatSummary,
  loadTokenizer,
  prepareTrainingData,
  type Tokenizer,
  type TokenizerOptions,
} from "../../../lib/data/index.js";
import { UserError } from "../../../lib/errors.js";

const FIXTURES = path.join(import.meta.dirname, "../../fixtures/data");
const CORPUS = path.join(FIXTURES, "corpus");

interface Case {
  refused?: string;
  tokenizer: string | null;
  recipe: {
    dataset: string;
    cutoff_len: number;
    packing: boolean;
    template?: string;
    seed?: number;
    max_samples?: number;
    preprocessing_num_workers?: number;
    preprocessing_batch_size?: number;
  };
  eos: string;
  pad: string;
  blocks: number;
  tokens: number;
  first: number[];
  last: number[];
  sha256: string;
}

const cases = JSON.parse(readFileSync(path.join(FIXTURES, "blocks.json"), "utf8")) as Record<string, Case>;

let root: string;
beforeAll(() => {
  root = mkdtempSync(path.join(tmpdir(), "qwen-pt-blocks-"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** A copy of the tokenizer with another configuration. */
function variant(name: string | null): string {
  const dir = path.join(root, name ?? "plain");
  cpSync(path.join(FIXTURES, "tokenizer"), dir, { recursive: true });
  const file = path.join(dir, "tokenizer_config.json");
  const config = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  if (name === "base") config.eos_token = "<|endoftext|>";
  if (name === "bare") {
    delete config.eos_token;
    delete config.pad_token;
  }
  if (name === "bos") Object.assign(config, { add_bos_token: true, bos_token: "<|im_start|>" });
  writeFileSync(file, JSON.stringify(config));
  return dir;
}

async function prepared(given: Case, by: TokenizerOptions = { engine: "native" }) {
  const tokenizer = await loadTokenizer(variant(given.tokenizer), {
    template: given.recipe.template ?? null,
    ...by,
  });
  const data = await prepareTrainingData({ ...given.recipe, dataset_dir: CORPUS }, tokenizer);
  return { tokenizer, ...data };
}

describe("blocks equal LLaMA-Factory's", () => {
  for (const [name, given] of Object.entries(cases)) {
    if (given.refused !== undefined) continue;
    it(name, async () => {
      const { tokenizer, blocks, summary } = await prepared(given);
      const all = Array.from({ length: blocks.length }, (_, i) => blocks.get(i));
      expect(blocks.length).toBe(given.blocks);
      expect(Array.from(all[0]!)).toEqual(given.first);
      expect(Array.from(all.at(-1)!)).toEqual(given.last);
      expect(
        createHash("sha256")
          .update(all.map((ids) => ids.join(",")).join("\n"))
          .digest("hex"),
      ).toBe(given.sha256);
      expect(blocks.tokens).toBe(given.tokens);
      expect(summary.tokens - summary.droppedTokens).toBe(given.tokens);
      expect(tokenizer.padToken).toBe(given.pad);
      // LLaMA-Factory adds llama3's <|eot_id|> to a vocabulary that lacks it; no block holds it.
      if (given.recipe.template !== "llama3") expect(tokenizer.eosToken).toBe(given.eos);
    });
  }

  it("also by the JavaScript tokenizer", async () => {
    const given = cases["two datasets"]!;
    const { tokenizer, blocks } = await prepared(given, { engine: "script" });
    expect(tokenizer.engine).toBe("script");
    const text = Array.from({ length: blocks.length }, (_, i) => blocks.get(i).join(",")).join("\n");
    expect(createHash("sha256").update(text).digest("hex")).toBe(given.sha256);
  });

  it("also by our own encoder, each of them", async () => {
    for (const [name, given] of Object.entries(cases)) {
      if (given.refused !== undefined) continue;
      const tokenizer = await loadTokenizer(variant(given.tokenizer), {
        template: given.recipe.template ?? null,
        quickFrom: 0,
      });
      await tokenizer.encodeBatch(["the first batch is the library's"]);
      const { blocks } = await prepareTrainingData({ ...given.recipe, dataset_dir: CORPUS }, tokenizer);
      const text = Array.from({ length: blocks.length }, (_, i) => blocks.get(i).join(",")).join("\n");
      expect(createHash("sha256").update(text).digest("hex"), name).toBe(given.sha256);
    }
  });

  it("and an array behind a byte order mark is read like one without, which LLaMA-Factory refuses", async () => {
    const plain = cases["JSON array"]!;
    const { blocks } = await prepared({ ...plain, recipe: { ...plain.recipe, dataset: "bom_array" } });
    const text = Array.from({ length: blocks.length }, (_, i) => blocks.get(i).join(",")).join("\n");
    expect(createHash("sha256").update(text).digest("hex")).toBe(plain.sha256);
  });
});

describe("the summary", () => {
  it("counts documents, tokens, blocks and what was dropped", async () => {
    const given = cases["two datasets, workers 2, max_samples 8"]!;
    const { summary } = await prepared(given);
    expect(summary).toMatchObject({
      datasets: [
        { name: "main", documents: 8 },
        { name: "other", documents: 8 },
      ],
      documents: 16,
      blocks: given.blocks,
      separator: "<|im_end|>",
      blockLength: 32,
    });
    expect(formatSummary(summary)).toBe(
      `16 documents (main 8, other 8), ${summary.tokens} tokens -> ${given.blocks} blocks of 32 ` +
        `(${summary.droppedTokens} tokens dropped, ${((100 * summary.droppedTokens) / summary.tokens).toFixed(1)} %), ` +
        "documents end with <|im_end|>",
    );
    expect(summary.tokens).toBe(given.tokens + summary.droppedTokens);
  });
});

describe("bad input", () => {
  const recipe = { dataset_dir: CORPUS, dataset: "main", cutoff_len: 32, packing: true };
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    tokenizer = await loadTokenizer(path.join(FIXTURES, "tokenizer"));
  });

  it("too little for one block", async () => {
    const small = { ...recipe, cutoff_len: 100000, preprocessing_num_workers: 4 };
    await expect(prepareTrainingData(small, tokenizer)).rejects.toThrow(
      /37 documents of main \(\d+ tokens\) fill no block of 100000; lower cutoff_len, lower preprocessing_num_workers/,
    );
  });

  it("no dataset, an unknown dataset, a mix that is not there", async () => {
    await expect(prepareTrainingData({ ...recipe, dataset: null }, tokenizer)).rejects.toThrow(
      /^dataset: name/,
    );
    await expect(prepareTrainingData({ ...recipe, dataset: "nope" }, tokenizer)).rejects.toThrow(
      /dataset: nope is not defined in .*dataset_info.json, which has: main, array/,
    );
    const mixed = { ...recipe, dataset: "main,other", mix_strategy: "interleave" };
    await expect(prepareTrainingData(mixed, tokenizer)).rejects.toThrow(/^mix_strategy: expected/);
  });

  it("an empty file", async () => {
    const dir = mkdtempSync(path.join(root, "empty-"));
    writeFileSync(path.join(dir, "none.jsonl"), "\n\n");
    writeFileSync(path.join(dir, "dataset_info.json"), '{"none": {"file_name": "none.jsonl"}}');
    await expect(
      prepareTrainingData({ ...recipe, dataset_dir: dir, dataset: "none" }, tokenizer),
    ).rejects.toThrow(
      new UserError(
        `dataset: none has no rows; add some to ${path.join(dir, "none.jsonl")}, such as {"text": "..."}`,
      ),
    );
  });

  it("an aborted signal stops it", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(prepareTrainingData(recipe, tokenizer, { signal })).rejects.toThrow("enough");
  });
});

describe("progress", () => {
  it("reports documents and tokens as they come", async () => {
    const tokenizer = await loadTokenizer(path.join(FIXTURES, "tokenizer"));
    const seen: { documents: number; tokens: number }[] = [];
    const recipe = { dataset_dir: CORPUS, dataset: "main,other", cutoff_len: 32, packing: true };
    const { summary } = await prepareTrainingData(recipe, tokenizer, { onProgress: (p) => seen.push(p) });
    expect(seen.map((p) => p.documents)).toEqual([37, 47, 48]); // file by file
    expect(seen.at(-1)!.tokens).toBe(summary.tokens);
  });
});
