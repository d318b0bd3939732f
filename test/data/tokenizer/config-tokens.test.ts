// Tokens that only tokenizer_config.json names, against transformers 5.6 on the same folders: ids, end, pad and size.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadTokenizer } from "../../../lib/data/index.js";
import { FIXTURES } from "../blocks/laid-blocks.js";

const TEXTS = [
  "hello <|mytool|> no <unk> <i> e\u0301t\u00e9",
  "no<a>no",
  " a",
  "",
  "<|im_start|>x<|mytool|>",
  "x <|im_start|> y <|im_end|> z",
];
const plain = { lstrip: false, rstrip: false, single_word: false, normalized: false };
const FAST = { tokenizer_class: "PreTrainedTokenizerFast" };

type Files = Record<string, Record<string, unknown>>;
const config = (changes: Record<string, unknown>): Files => ({ "tokenizer_config.json": changes });

/** What tokenizer.json has, as older versions of transformers write it once more. */
const DECODER = Object.fromEntries(
  ["<|endoftext|>", "<|im_start|>", "<|im_end|>"].map((content, at) => [
    500 + at,
    { content, special: true, ...plain },
  ]),
);
const map = (changes: Record<string, unknown>): Files => ({ "special_tokens_map.json": changes });

/** <|im_start|> and <|im_end|> take the spaces before them (or have another flag). */
function flagged(changes: Record<string, unknown>, flag = "lstrip"): Files {
  const file = path.join(FIXTURES, "tokenizer", "tokenizer.json");
  const tokens = (JSON.parse(readFileSync(file, "utf8")) as { added_tokens: { content: string }[] })
    .added_tokens;
  const added_tokens = tokens.map((token) =>
    token.content.startsWith("<|im_") ? { ...token, [flag]: true } : token,
  );
  return { "tokenizer.json": { added_tokens }, ...config(changes) };
}

const CASES: Record<string, Files> = {
  additional_special_tokens: config({ additional_special_tokens: ["<|im_start|>", "<|mytool|>"] }),
  "extra_special_tokens, a list": config({ extra_special_tokens: ["<|mytool|>", "<|im_start|>"] }),
  "extra_special_tokens, names": config({ extra_special_tokens: { image_token: "<|mytool|>" } }),
  "both lists": config({ additional_special_tokens: ["<a>"], extra_special_tokens: ["<i>"] }),
  "a pad that is new": config({ pad_token: "<|PAD_TOKEN|>" }),
  "an end that is new": config({ eos_token: "<|eos|>" }),
  "names of a model's own": config({ image_token: "<|mytool|>", unk_token: "<unk>", mask_token: "<mask>" }),
  "an order": config({
    image_token: "<i>",
    pad_token: "<p>",
    unk_token: "<u>",
    bos_token: "<b>",
    additional_special_tokens: ["<a>"],
  }),
  "a word of the vocabulary": config({ additional_special_tokens: ["a"] }),
  "an object with flags": config({
    additional_special_tokens: [
      { __type: "AddedToken", content: "<|mytool|>", special: true, ...plain, lstrip: true },
    ],
  }),
  "an object with flags, of another class": config({
    additional_special_tokens: [
      { __type: "AddedToken", content: "<|mytool|>", special: true, ...plain, lstrip: true },
    ],
    ...FAST,
  }),
  "flags of tokenizer.json": flagged({}),
  "flags of tokenizer.json, of another class": flagged(FAST),
  "flags of tokenizer.json beside a decoder": flagged({
    added_tokens_decoder: DECODER,
    eos_token: "<|endoftext|>",
  }),
  "flags of tokenizer.json beside a decoder, of another class": flagged({
    added_tokens_decoder: DECODER,
    ...FAST,
  }),
  add_prefix_space: config({ add_prefix_space: true }),
  "add_prefix_space, of another class": config({ add_prefix_space: true, ...FAST }),
  "a map beside the config": {
    ...config({ pad_token: "<|a|>", eos_token: "<|im_end|>" }),
    ...map({ pad_token: "<|b|>", eos_token: { content: "<|e|>", special: true, ...plain }, bos_token: null }),
  },
  "a map and no config": {
    ...config({ pad_token: undefined, eos_token: undefined }),
    ...map({ eos_token: "<|e|>" }),
  },
  "a map that is not read": {
    ...config({ pad_token: "<|a|>", added_tokens_decoder: DECODER }),
    ...map({ pad_token: "<|b|>", additional_special_tokens: ["<|mytool|>"], bos_token: "<|c|>" }),
  },
  "a name of a model's own in the map": {
    ...config({ video_token: "<v>" }),
    ...map({ image_token: "<|mytool|>", video_token: "<i>" }),
  },
  "a table, and a map's list": {
    ...config({ additional_special_tokens: ["<i>"], extra_special_tokens: { image_token: "<|mytool|>" } }),
    ...map({ additional_special_tokens: ["<a>"] }),
  },
  "a table that names the pad": config({
    pad_token: "<i>",
    extra_special_tokens: { pad_token: "<|mytool|>" },
  }),
  "a token that is found in normalized texts, and one inside it": flagged(
    { eos_token: "<|im_end|>", additional_special_tokens: ["a"] },
    "normalized",
  ),
  "an ordinary token of a list that is found in normalized texts": config({
    additional_special_tokens: [
      { __type: "AddedToken", content: "<|mytool|>", ...plain, normalized: true },
      "my",
    ],
  }),
  "a map's list": map({ additional_special_tokens: ["<|mytool|>", "<i>"] }),
  "a map's list beside the config's": {
    ...config({ additional_special_tokens: ["<a>"] }),
    ...map({ additional_special_tokens: ["<|mytool|>"] }),
  },
  "a map's extra list beside the config's": {
    ...config({ extra_special_tokens: ["<a>"] }),
    ...map({ extra_special_tokens: ["<|mytool|>", "<a>"] }),
  },
  "a map's names": {
    ...config({ extra_special_tokens: ["<a>"] }),
    ...map({ extra_special_tokens: { image_token: "<|mytool|>" } }),
  },
  "a map of another class": { ...config({ pad_token: "<|a|>", ...FAST }), ...map({ pad_token: "<|b|>" }) },
  "tokens of another class": config({ additional_special_tokens: ["<|mytool|>"], ...FAST }),
};

let root: string;
beforeAll(() => {
  root = mkdtempSync(path.join(tmpdir(), "qwen-pt-config-tokens-"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

function made(name: string, files: Files): string {
  const dir = path.join(root, name.replaceAll(/\W+/g, "-"));
  cpSync(path.join(FIXTURES, "tokenizer"), dir, { recursive: true });
  for (const [file, changes] of Object.entries(files)) {
    const target = path.join(dir, file);
    const before = existsSync(target) ? (JSON.parse(readFileSync(target, "utf8")) as object) : {};
    writeFileSync(target, JSON.stringify({ ...before, ...changes }));
  }
  writeFileSync(path.join(dir, "config.json"), JSON.stringify({ model_type: "qwen3" }));
  return dir;
}

interface Theirs {
  ids: number[][];
  eos: number | null;
  pad: number | null;
  size: number;
}

const CODE = `
import json, sys
from transformers import AutoTokenizer
texts, folders = json.loads(sys.stdin.read())
out = []
for folder in folders:
    t = AutoTokenizer.from_pretrained(folder)
    ids = [t(text, add_special_tokens=False)["input_ids"] for text in texts]
    out.append({"ids": ids, "eos": t.eos_token_id, "pad": t.pad_token_id, "size": len(t)})
print(json.dumps(out))
`;

describe("what only tokenizer_config.json names is what transformers makes of it", () => {
  let theirs: Record<string, Theirs>;
  beforeAll(() => {
    const python = process.env.QWEN_PT_REFERENCE_PYTHON;
    if (python === undefined)
      throw new Error("QWEN_PT_REFERENCE_PYTHON is not set: run the tests with npm test");
    const folders = Object.entries(CASES).map(([name, files]) => made(name, files));
    const { stdout, stderr, status } = spawnSync(python, ["-c", CODE], {
      input: JSON.stringify([TEXTS, folders]),
      encoding: "utf8",
      env: { ...process.env, HF_HUB_OFFLINE: "1" },
    });
    expect(status, stderr).toBe(0);
    const answers = JSON.parse(stdout.trim().split("\n").at(-1) as string) as Theirs[];
    theirs = Object.fromEntries(Object.keys(CASES).map((name, i) => [name, answers[i] as Theirs]));
  }, 600_000);

  it.each(Object.keys(CASES))("%s", async (name) => {
    const dir = made(name, CASES[name] as Files);
    for (const engine of ["native", "script"] as const) {
      const tokenizer = await loadTokenizer(dir, { engine });
      const ids = await Promise.all(TEXTS.map(async (text) => Array.from(await tokenizer.encode(text))));
      const { eos, pad, size } = theirs[name] as Theirs;
      expect({ ids, eos: tokenizer.eosId, pad: tokenizer.padId, size: tokenizer.vocabSize }, engine).toEqual({
        ids: theirs[name]?.ids,
        eos,
        pad,
        size,
      });
    }
  });
});

it("tokens of the recipe come after those of the config, and are saved with them", async () => {
  const dir = made("after", config({ additional_special_tokens: ["<|mytool|>"] }));
  const tokenizer = await loadTokenizer(dir, { addTokens: ["<|mine|>"] });
  expect(tokenizer.tokenId("<|mine|>")).toBe((tokenizer.tokenId("<|mytool|>") as number) + 1);
  const { added_tokens: saved } = tokenizer.extended as { added_tokens: { content: string }[] };
  expect(saved.slice(-2).map(({ content }) => content)).toEqual(["<|mytool|>", "<|mine|>"]);
});
