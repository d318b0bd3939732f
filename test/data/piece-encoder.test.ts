// The encoder of our own gives the ids of Hugging Face's library, for every character that it takes, in every
// neighbourhood, and for texts put together at random; what it does not take is left to the library.

import { readFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { loadTokenizer, type Tokenizer } from "../../lib/data/index.js";
import { type EncoderTables, encoderTables, PieceEncoder } from "../../lib/data/piece-encoder.js";
import { FIXTURES } from "./laid-blocks.js";

const MODEL = path.join(import.meta.dirname, "../../examples/model");
const SMALL = path.join(FIXTURES, "tokenizer");

const json = (dir: string) => JSON.parse(readFileSync(path.join(dir, "tokenizer.json"), "utf8"));

/** Both encodings of each text; undefined where ours leaves a text to the library. */
async function both(library: Tokenizer, encoder: PieceEncoder, texts: readonly string[]) {
  const { ids, lengths } = encoder.encode(texts);
  const expected = await library.encodeBatch(texts);
  let at = 0;
  return texts.map((text, i) => {
    const length = lengths[i]!;
    const own = length < 0 ? undefined : ids.subarray(at, at + length);
    if (length > 0) at += length;
    return { text, own: own?.join(), expected: expected[i]!.join() };
  });
}

/** Texts whose ids differ. */
async function differing(library: Tokenizer, encoder: PieceEncoder, texts: readonly string[]) {
  const found = await both(library, encoder, texts);
  return found.filter(({ own, expected }) => own !== undefined && own !== expected);
}

/** Numbers in [0, 1), the same every time. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

let library: Tokenizer;
let tables: EncoderTables;
beforeAll(async () => {
  library = await loadTokenizer(MODEL, { engine: "native" });
  tables = encoderTables(json(MODEL))!;
});

describe("ids equal the library's", () => {
  it("for every character, between letters, spaces, marks, line ends and itself", async () => {
    const encoder = new PieceEncoder(tables);
    let taken = 0;
    const planes: [number, number][] = [
      [0, 0xd7ff],
      [0xe000, 0xffff],
      [0x1f000, 0x1fbff],
      [0x2a600, 0x2a7ff],
      [0x2ce00, 0x2d000],
      [0x2f7f0, 0x2fa20],
    ];
    for (const [from, to] of planes) {
      const texts: string[] = [];
      for (let code = from; code <= to; code++) {
        const c = String.fromCodePoint(code);
        if (encoder.encode([c]).lengths[0]! < 0) continue;
        taken++;
        texts.push(`${c}a${c} 1${c}${c}b\n${c}\n ${c}  ${c}。${c}'s${c}\r\n${c}春 ${c}`);
      }
      expect((await differing(library, encoder, texts)).slice(0, 3)).toEqual([]);
    }
    expect(taken).toBeGreaterThan(48_000);
  });

  const PARTS = [
    ..."ab Z'sSTtdDmM12 \t\n\r 　，。！“”「」—…、春眠不覺曉處聞啼鳥あアｱ한글éßñΩя①½٣ⅷ🀄🙂👍🏽\u200d\ufe0f𠀀𪚥□◎Ａ９￥(){}<>|/\\_=+*#@.-",
    ..."'re 've 'll 'LL 'Ve  \r\n \n\n <|endoftext|> <think> <|im_start|> don't they'll \u0301 \u3099 ﬁ 豈 ſ \u0085 \u00a0 \ufeff".split(
      " ",
    ),
    "  ",
    "   \n",
    "----------------------------------------------------------------------",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "春眠不覺曉處處聞啼鳥夜來風雨聲花落知多少",
  ];

  for (const dir of [MODEL, SMALL]) {
    it(`for texts at random, by the tokenizer of ${path.basename(dir)}`, async () => {
      const by = await loadTokenizer(dir, { engine: "native" });
      const encoder = new PieceEncoder(encoderTables(json(dir))!);
      const random = randomNumbers(7);
      const pick = () => PARTS[Math.floor(random() * PARTS.length)]!;
      const texts = Array.from(
        { length: 20_000 },
        () =>
          Array.from({ length: 1 + Math.floor(random() * 30) }, pick).join("") +
          (random() < 0.5 ? "<|endoftext|>" : ""),
      );
      const found = await both(by, encoder, texts);
      expect(found.filter(({ own, expected }) => own !== undefined && own !== expected).slice(0, 3)).toEqual(
        [],
      );
      const taken = found.filter(({ own }) => own !== undefined).length;
      expect(taken).toBeGreaterThan(4000);
      expect(taken).toBeLessThan(18_000);
    });
  }

  it("for pieces of many lengths, and one of 300,000 characters", async () => {
    const random = randomNumbers(3);
    const words = "春眠不覺曉處聞啼鳥夜來風雨聲花落知多少";
    const run = (length: number) =>
      Array.from({ length }, () => words[Math.floor(random() * words.length)]).join("");
    const texts = [
      ...Array.from({ length: 200 }, (_, i) => run(i)),
      run(5000),
      run(300_000),
      "ab".repeat(40_000),
    ];
    expect(await differing(library, new PieceEncoder(tables), texts)).toEqual([]);
    expect(new PieceEncoder(tables).encode(texts).lengths.every((length) => length >= 0)).toBe(true);
  });

  it("through the tokenizer: quick, compared, on threads, in order", async () => {
    const quick = await loadTokenizer(MODEL, { quickFrom: 0 });
    const line = readFileSync(path.join(MODEL, "../data/poetry-heldout.jsonl"), "utf8").split("\n")[0]!;
    const text = (i: number) =>
      `${i}${(JSON.parse(line) as { text: string }).text.repeat(1 + (i % 7))}${i % 5 ? "" : "\u0301<think>"}`;
    const batches = Array.from({ length: 24 }, (_, b) =>
      Array.from({ length: 200 }, (_, i) => text(b * 200 + i)),
    );
    await quick.encodeBatch(batches[0]!);
    const found = await Promise.all(batches.map((batch) => quick.encodeBatch(batch)));
    expect(quick.lanes).toBeGreaterThan(1);
    await quick.rest();
    for (const [b, batch] of batches.entries()) {
      const expected = await library.encodeBatch(batch);
      expect(found[b]!.map((ids) => ids.join())).toEqual(expected.map((ids) => ids.join()));
    }
    // after a rest it goes on
    expect((await quick.encodeBatch(batches[1]!)).map((ids) => ids.join())).toEqual(
      found[1]!.map((ids) => ids.join()),
    );
    await quick.rest();
  });
});

describe("a tokenizer of another form is left to the library", () => {
  const changes: Record<string, (tokenizer: ReturnType<typeof json>) => void> = {
    "no normalizer": (t) => (t.normalizer = null),
    "another normalizer": (t) => (t.normalizer = { type: "NFKC" }),
    "another pattern": (t) => (t.pre_tokenizer.pretokenizers[0].pattern.Regex = "\\p{L}+"),
    "a space before the first word": (t) => (t.pre_tokenizer.pretokenizers[1].add_prefix_space = true),
    dropout: (t) => (t.model.dropout = 0.1),
    "whole words first": (t) => (t.model.ignore_merges = true),
    "another model": (t) => (t.model.type = "Unigram"),
    "a byte that has no token": (t) => delete t.model.vocab["!"],
    "an added token that is not normal": (t) =>
      t.added_tokens.push({ id: 9999, content: "e\u0301", normalized: true, special: false }),
  };
  for (const [name, change] of Object.entries(changes)) {
    it(name, () => {
      const other = json(SMALL);
      expect(encoderTables(other)).toBeDefined();
      change(other);
      expect(encoderTables(other)).toBeUndefined();
    });
  }

  it("a token that would be found otherwise at a text's end is not taken off there", async () => {
    for (const token of [
      { content: "<|endoftext|>", lstrip: true },
      { content: "<|endoftext|>", single_word: true },
    ]) {
      const other = json(SMALL);
      Object.assign(
        other.added_tokens.find((t: { content: string }) => t.content === token.content),
        token,
      );
      const { lengths } = new PieceEncoder(encoderTables(other)!).encode(["a <|endoftext|>", "a"]);
      expect(Array.from(lengths, Math.sign)).toEqual([-1, 1]);
    }
  });
});
