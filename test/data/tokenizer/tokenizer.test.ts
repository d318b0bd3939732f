// Both engines against transformers' ids and text (test/fixtures/data/make_blocks.py), and a folder's defects.

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadTokenizer } from "../../../lib/data/index.js";
import { LazyEngine, type TokenizerEngine } from "../../../lib/data/tokenizer/engines.js";

const FIXTURES = path.join(import.meta.dirname, "../../fixtures/data");
const SOURCE = path.join(FIXTURES, "tokenizer");
const expected = JSON.parse(readFileSync(path.join(FIXTURES, "encode.json"), "utf8")) as {
  size: number;
  texts: string[];
  ids: number[][];
  decoded: string[];
  plain: string[];
  cut: string;
};

let root: string;
beforeAll(() => {
  root = mkdtempSync(path.join(tmpdir(), "qwen-pt-tokenizer-"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

function edited(changes: Record<string, unknown>, file = "tokenizer_config.json"): string {
  const dir = mkdtempSync(path.join(root, "t-"));
  cpSync(SOURCE, dir, { recursive: true });
  const target = path.join(dir, file);
  writeFileSync(target, JSON.stringify({ ...JSON.parse(readFileSync(target, "utf8")), ...changes }));
  return dir;
}

for (const engine of ["native", "script"] as const) {
  describe(`the ${engine} engine`, () => {
    it("gives transformers' ids", async () => {
      const tokenizer = await loadTokenizer(SOURCE, { engine });
      expect(tokenizer.engine).toBe(engine);
      expect(tokenizer.vocabSize).toBe(expected.size);
      const ids = await tokenizer.encodeBatch(expected.texts);
      expect(ids.map((one) => Array.from(one))).toEqual(expected.ids);
      expect(Array.from(await tokenizer.encode(expected.texts[0]!))).toEqual(expected.ids[0]);
    });

    it("gives transformers' text back, with and without special tokens, and of half a character", async () => {
      const tokenizer = await loadTokenizer(SOURCE, { engine });
      expect(expected.ids.map((ids) => tokenizer.decode(ids))).toEqual(expected.decoded);
      expect(expected.ids.map((ids) => tokenizer.decode(ids, { skipSpecialTokens: true }))).toEqual(
        expected.plain,
      );
      expect(tokenizer.decode(Int32Array.from(expected.ids[0]!.slice(1, 4)))).toBe(expected.cut);
    });

    it("works on once its memory was given up", async () => {
      const tokenizer = await loadTokenizer(SOURCE, { engine });
      await tokenizer.release();
      expect(tokenizer.decode(expected.ids[0]!)).toBe(expected.decoded[0]);
      await tokenizer.release();
      expect(Array.from(await tokenizer.encode(expected.texts[0]!))).toEqual(expected.ids[0]);
      expect(tokenizer.tokenId(tokenizer.eosToken)).toBe(tokenizer.eosId);
    });

    it("knows tokens that only tokenizer_config.json registers", async () => {
      const extra = { content: "<|extra|>", special: true, lstrip: false, rstrip: false, single_word: false };
      const dir = edited({ added_tokens_decoder: { [expected.size]: { ...extra, normalized: false } } });
      const tokenizer = await loadTokenizer(dir, { engine });
      expect(tokenizer.vocabSize).toBe(expected.size + 1);
      expect(Array.from(await tokenizer.encode("a<|extra|>"))).toContain(expected.size);
      expect(tokenizer.decode([expected.size])).toBe("<|extra|>");
    });
  });
}

describe("eos, pad and bos", () => {
  it("are those of tokenizer_config.json", async () => {
    const tokenizer = await loadTokenizer(SOURCE);
    expect(tokenizer).toMatchObject({
      engine: "native",
      eosToken: "<|im_end|>",
      eosId: 502,
      padId: 500,
      addBos: false,
    });
    expect(tokenizer.bosId).toBeUndefined();
  });

  it("may be objects; eos stands in for a pad that is null", async () => {
    const tokenizer = await loadTokenizer(
      edited({ eos_token: { content: "<|im_start|>" }, pad_token: null }),
    );
    expect(tokenizer).toMatchObject({
      eosToken: "<|im_start|>",
      padToken: "<|im_start|>",
      eosId: 501,
      padId: 501,
    });
  });

  it("a template may replace eos, and pad with it where there is none", async () => {
    const dir = edited({ eos_token: "<|endoftext|>", pad_token: null });
    expect(await loadTokenizer(dir, { template: "qwen3" })).toMatchObject({ eosId: 502, padId: 502 });
    expect(await loadTokenizer(dir, { template: "default" })).toMatchObject({ eosId: 500, padId: 500 });
  });

  it("a template whose end token is missing, or that does not exist, is refused", async () => {
    await expect(loadTokenizer(SOURCE, { template: "gemma" })).rejects.toThrow(
      /template: gemma ends.*<end_of_turn>/,
    );
    await expect(loadTokenizer(SOURCE, { template: "qwen33" })).rejects.toThrow(
      /there is no template qwen33/,
    );
  });
});

describe("a folder's defects", () => {
  it("no tokenizer.json", async () => {
    await expect(loadTokenizer(root)).rejects.toThrow(/tokenizer\.json is missing/);
  });
  it("an end token that neither file names, and the vocabulary lacks", async () => {
    const dir = edited({ tokenizer_class: "PreTrainedTokenizerFast", eos_token: null, pad_token: null });
    const json = JSON.parse(readFileSync(path.join(dir, "tokenizer.json"), "utf8"));
    for (const token of json.added_tokens) token.content = token.content.replace("endoftext", "another");
    writeFileSync(path.join(dir, "tokenizer.json"), JSON.stringify(json));
    await expect(loadTokenizer(dir)).rejects.toThrow(
      /tokenizer_config\.json: eos_token "<\|endoftext\|>" is not in the tokenizer's vocabulary/,
    );
  });
  it("files that are no JSON, or another JSON", async () => {
    const dir = edited({});
    writeFileSync(path.join(dir, "tokenizer_config.json"), "{");
    await expect(loadTokenizer(dir)).rejects.toThrow(/tokenizer_config\.json:1: malformed JSON/);
    await expect(loadTokenizer(edited({ model: null }, "tokenizer.json"))).rejects.toThrow(
      /is not a tokenizer/,
    );
    await expect(loadTokenizer(edited({ model: { vocab: {} } }, "tokenizer.json"))).rejects.toThrow(
      /cannot be used/,
    );
  });
});

it("an engine is made when it is asked for, once until it is let go", async () => {
  let made = 0;
  const engine = new LazyEngine(() => {
    made++;
    return { size: made } as unknown as TokenizerEngine;
  });
  expect(made).toBe(0);
  expect([engine.get().size, engine.get().size]).toEqual([1, 1]);
  engine.release();
  expect([engine.isMade, engine.get().size, made]).toEqual([false, 2, 2]);
});
