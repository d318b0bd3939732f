// The native encoder gives the ids of Hugging Face's library, for every character that it takes, in every
// neighbourhood, and for texts put together at random; what it does not take is left to the library.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { loadTokenizer, type Tokenizer } from "../../../lib/data/index.js";
import { addTokens } from "../../../lib/data/tokenizer/added-tokens.js";
import { encoderForm } from "../../../lib/data/tokenizer/encoder-form.js";
import { type EncoderHandle, textAddon } from "../../../lib/data/tokenizer/text-addon.js";

import { addonPath } from "../../../lib/torch/native.js";
import { FIXTURES } from "../blocks/laid-blocks.js";
import { randomNumbers } from "./random-numbers.js";

const MODEL = path.join(import.meta.dirname, "../../../examples/model");
const SMALL = path.join(FIXTURES, "tokenizer");
const addon = textAddon()!;

const json = (dir: string) => JSON.parse(readFileSync(path.join(dir, "tokenizer.json"), "utf8"));

function encoderOf(tokenizer: Record<string, unknown>): EncoderHandle | undefined {
  const form = encoderForm(tokenizer);
  return form && addon.makeEncoder(Buffer.from(JSON.stringify(tokenizer)), form.added);
}

/** Both encodings of each text; undefined where ours leaves a text to the library. */
async function both(library: Tokenizer, encoder: EncoderHandle, texts: readonly string[]) {
  const { ids, lengths } = await addon.encodeTexts(encoder, texts);
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
async function differing(library: Tokenizer, encoder: EncoderHandle, texts: readonly string[]) {
  const found = await both(library, encoder, texts);
  return found.filter(({ own, expected }) => own !== undefined && own !== expected);
}

let library: Tokenizer;
let encoder: EncoderHandle;
beforeAll(async () => {
  library = await loadTokenizer(MODEL, { engine: "native" });
  encoder = encoderOf(json(MODEL))!;
});

const PARTS = [
  ..."ab Z'sSTtdDmM12 \t\n\r 　，。！“”「」—…、春眠不覺曉處聞啼鳥あアｱ한글éßñΩя①½٣ⅷ🀄🙂👍🏽\u200d\ufe0f𠀀𪚥□◎Ａ９￥(){}<>|/\\_=+*#@.-",
  ..."'re 've 'll 'LL 'Ve  \r\n \n\n <|endoftext|> <think> <|im_start|> don't they'll \u0301 \u0307\u0323 \u3099 ﬁ 豈 ſ 'ſ \u0085 \u00a0 \ufeff हिन्दी ไทย שָׁלוֹם".split(
    " ",
  ),
  "  ",
  "   \n",
  "\0",
  "\ud800",
  "----------------------------------------------------------------------",
  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
  "春眠不覺曉處處聞啼鳥夜來風雨聲花落知多少",
];

/** Texts of parts at random. */
function texts(count: number, seed: number): string[] {
  const random = randomNumbers(seed);
  const pick = () => PARTS[Math.floor(random() * PARTS.length)]!;
  const ending = () => (random() < 0.5 ? "<|endoftext|>" : "");
  return Array.from(
    { length: count },
    () => Array.from({ length: 1 + Math.floor(random() * 30) }, pick).join("") + ending(),
  );
}

describe("ids equal the library's", () => {
  it("for every character, between letters, spaces, marks, line ends and itself", async () => {
    let taken = 0;
    for (let from = 0; from < 0x110000; from += 0x8000) {
      const surrounded: string[] = [];
      for (let code = from; code < from + 0x8000; code += code < 0x10000 ? 1 : 7) {
        if (code >= 0xd800 && code <= 0xdfff) continue;
        const c = String.fromCodePoint(code);
        surrounded.push(`${c}a${c} 1${c}${c}b\n${c}\n ${c}  ${c}。${c}'s${c}\r\n${c}春 ${c}`);
      }
      const { lengths } = await addon.encodeTexts(encoder, surrounded);
      const known = surrounded.filter((_, i) => lengths[i]! >= 0);
      taken += known.length;
      expect((await differing(library, encoder, known)).slice(0, 3)).toEqual([]);
    }
    expect(taken).toBeGreaterThan(80_000);
  });

  for (const dir of [MODEL, SMALL]) {
    it(`for texts at random, by the tokenizer of ${path.basename(dir)}`, async () => {
      const by = await loadTokenizer(dir, { engine: "native" });
      const found = await both(by, encoderOf(json(dir))!, texts(20_000, 7));
      const wrong = found.filter(({ own, expected }) => own !== undefined && own !== expected);
      expect(wrong.slice(0, 3)).toEqual([]);
      const taken = found.filter(({ own }) => own !== undefined).length;
      expect(taken).toBeGreaterThan(4000);
      expect(taken).toBeLessThan(18_000);
    });
  }

  it("where merges are in no order that could have been learned", async () => {
    const other = json(SMALL);
    const random = randomNumbers(5);
    other.model.merges.sort(() => random() - 0.5);
    const by = await loadTokenizer(SMALL, { engine: "native", json: other });
    expect(await differing(by, encoderOf(other)!, texts(3000, 11))).toEqual([]);
  });

  it("for added tokens anywhere in a text, the longest first, and next to marks", async () => {
    const other = json(SMALL);
    addTokens(other, ["<x>", "<x>y", "春眠", "'s", "a"], true);
    const by = await loadTokenizer(SMALL, { engine: "native", json: other });
    const random = randomNumbers(2);
    const parts = [..."b春眠不, 'tx<>y\u0334", "<x>", "<x>y", "春眠", "'s", "<|endoftext|>"];
    const some = Array.from({ length: 5000 }, () =>
      Array.from({ length: 9 }, () => parts[Math.floor(random() * parts.length)]).join(""),
    );
    const found = await both(by, encoderOf(other)!, some);
    expect(found.filter(({ own, expected }) => own !== undefined && own !== expected)).toEqual([]);
    expect(found.filter(({ own }) => own !== undefined).length).toBeGreaterThan(2000);
  });

  it("for pieces of many lengths, and a megabyte of one letter, in no time", async () => {
    const random = randomNumbers(3);
    const words = "春眠不覺曉處聞啼鳥夜來風雨聲花落知多少";
    const run = (length: number) =>
      Array.from({ length }, () => words[Math.floor(random() * words.length)]).join("");
    const long = [run(300_000), "a".repeat(1_000_000), " ".repeat(1_000_000), "\n ".repeat(500_000)];
    const some = [...Array.from({ length: 200 }, (_, i) => run(i)), run(5000), "ab".repeat(40_000), ...long];
    expect(await differing(library, encoder, some)).toEqual([]);
    const before = process.cpuUsage();
    const { lengths } = await addon.encodeTexts(encoder, long);
    expect(lengths.every((length) => length > 0)).toBe(true);
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1e6).toBeLessThan(5); // where it grew with the square it would be hours
  });

  it("through the tokenizer: compared first, several batches at once, in order", async () => {
    const quick = await loadTokenizer(MODEL, { quickFrom: 0 });
    const line = readFileSync(path.join(MODEL, "../data/poetry-heldout.jsonl"), "utf8").split("\n")[0]!;
    const text = (i: number) =>
      `${i}${(JSON.parse(line) as { text: string }).text.repeat(1 + (i % 7))}${i % 5 ? "" : "\u0301<think>"}`;
    const batches = Array.from({ length: 24 }, (_, b) =>
      Array.from({ length: 200 }, (_, i) => text(b * 200 + i)),
    );
    await quick.encodeBatch(batches[0]!);
    expect(quick.encodeRows?.(Buffer.from('{"text":"a"}'), RULE)).toBeDefined();
    const found = await Promise.all(batches.map((batch) => quick.encodeBatch(batch)));
    expect(quick.lanes).toBeGreaterThan(1);
    for (const [b, batch] of batches.entries()) {
      const expected = await library.encodeBatch(batch);
      expect(found[b]!.map((ids) => ids.join())).toEqual(expected.map((ids) => ids.join()));
    }
  });
});

it("a thread that is ended in the middle leaves the others alone", async () => {
  const script = `
    const { parentPort, workerData } = require("node:worker_threads");
    const addon = require(workerData.addon);
    const encoder = addon.makeEncoder(workerData.json, []);
    for (let i = 0; i < 6; i++) addon.encodeTexts(encoder, Array(500).fill("春眠不覺曉".repeat(200)));
    parentPort.postMessage("under way");`;
  const file = path.join(path.dirname(addonPath()!), "qwen_pt_text.node");
  const main = `
    const { Worker } = require("node:worker_threads");
    const json = require("fs").readFileSync(${JSON.stringify(path.join(MODEL, "tokenizer.json"))});
    (async () => {
      for (let turn = 0; turn < 4; turn++) {
        const options = { eval: true, workerData: { addon: ${JSON.stringify(file)}, json } };
        const worker = new Worker(${JSON.stringify(script)}, options);
        await new Promise((resolve) => worker.once("message", resolve));
        await new Promise((resolve) => setTimeout(resolve, 15 * turn));
        await worker.terminate();
      }
      console.log("all ended");
    })();`;
  const { stdout, status } = spawnSync(process.execPath, ["-e", main], { encoding: "utf8" });
  expect([stdout.trim(), status]).toEqual(["all ended", 0]);
});

const RULE = { columns: ["text"], tag: "", separator: "<|endoftext|>" };

describe("rows of JSON lines", () => {
  const rows = async (lines: string, rule: Partial<typeof RULE> = {}) => {
    const bytes = Buffer.from(lines);
    const { ids, lengths, left, lines: count } = await addon.encodeRows(encoder, bytes, { ...RULE, ...rule });
    let at = 0;
    const own = Array.from(lengths, (length) => {
      if (length < 0) return undefined;
      at += length;
      return ids.slice(at - length, at).join();
    });
    return { own, left: [...left], count };
  };
  const ids = async (...some: string[]) =>
    (await library.encodeBatch(some.map((text) => `${text}<|endoftext|>`))).map((one) => one.join());

  it("are read as JSON.parse reads them", async () => {
    const random = randomNumbers(9);
    const others = [
      1,
      -2.5e-7,
      null,
      true,
      [],
      {},
      [{ a: ["]", "}"] }, '\\"'],
      { text: "no" },
      "\u0000\ud83d\ude42",
    ];
    const values = texts(2000, 13).map((text) => Buffer.from(text).toString()); // no halves of pairs
    const lines = values.map((text, i) => {
      const row = {
        [`k${i}`]: others[Math.floor(random() * others.length)],
        text,
        z: others[i % others.length],
      };
      const line = JSON.stringify(row);
      // a space may stand between any two of its signs; \u escapes stand for any character
      if (i % 3 === 0) return ` ${JSON.stringify(row, null, 1).replaceAll("\n", " \t")}\r`;
      return i % 3 === 1
        ? line.replace(/[^\0-~]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)
        : line;
    });
    const { own, count } = await rows(lines.join("\n"));
    const expected = await ids(...values);
    expect(count).toBe(2000);
    expect(own.filter((one, i) => one !== undefined && one !== expected[i])).toEqual([]);
    expect(own.filter((one) => one !== undefined).length).toBeGreaterThan(300);
  });

  it("are left where they are not plain, with their places", async () => {
    const bad = [
      '{"text": "a"} x',
      '{"text": "a"',
      '{"text": a}',
      '{"text": "a",}',
      '{text: "a"}',
      '["a"]',
      '"a"',
      "1",
      '{"text": 1}',
      '{"text": ["a"]}',
      '{"other": "a"}',
      "{}",
      '{"text": "a", "text": "b"}',
      '{"te\\u0078t": "a"}',
      '{"text": "\\ud800"}',
      '{"text": "\\udc00\\ud800"}',
      '{"text": "\\x"}',
      '{"text": "a\tb"}',
      '{"text": "\\u12"}',
      '{"text": "a", "n": 01}',
      '{"text": "a", "n": 1.}',
      '{"text": "a", "n": +1}',
      '{"text": "a", "n": nul}',
      '{"text": "a", "n": [1,]}',
      '{"text": "a", "n": "\\u12g4"}',
      `{"text": "a", "n": ${"[".repeat(99)}${"]".repeat(99)}}`,
    ];
    const { own, left, count } = await rows(`\n${bad.join("\n")}\n \n{"text": "a"}`);
    expect(own).toEqual([...bad.map(() => undefined), (await ids("a"))[0]]);
    expect(count).toBe(bad.length + 3);
    let at = 1;
    expect(left).toEqual(
      bad.flatMap((row, i) => {
        at += row.length + 1;
        return [at - row.length - 1, at - 1, i + 1];
      }),
    );
  });

  it("join columns, leave out empty ones, and put the tag before what is not empty", async () => {
    const lines = [
      '{"a":"x","b":"y"}',
      '{"b":"y","a":""}',
      '{"a":null,"b":null}',
      '{"a":"x","b":null,"c":1}',
    ];
    const { own } = await rows(lines.join("\n"), { columns: ["a", "b"], tag: "T " });
    expect(own).toEqual(await ids("T x\ny", "T y", "", "T x"));
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
    "a merge of no token": (t) => t.model.merges.push("! no"),
    "an added token that is not normal": (t) =>
      t.added_tokens.push({ id: 9999, content: "e\u0301", normalized: true, special: false }),
  };
  for (const [name, change] of Object.entries(changes)) {
    it(name, () => {
      const other = json(SMALL);
      expect(encoderOf(other)).toBeDefined();
      change(other);
      expect(encoderOf(other)).toBeUndefined();
    });
  }

  it("and so is a text with an added token that minds its neighbours", async () => {
    for (const flag of ["lstrip", "rstrip", "single_word", "normalized"]) {
      const other = json(SMALL);
      const isEnd = (token: { content: string }) => token.content === "<|endoftext|>";
      Object.assign(other.added_tokens.find(isEnd), { [flag]: true });
      const { lengths } = await addon.encodeTexts(encoderOf(other)!, ["a <|endoftext|>", "a"]);
      expect(Array.from(lengths, Math.sign)).toEqual([-1, 1]);
    }
  });
});
