// tokenized_path: what is saved is what is read again, LLaMA-Factory's folder gives its blocks, and a cache that does
// not fit or is damaged is refused in one line.

import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { tableFromArrays, tableToIPC } from "apache-arrow";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type DataRecipe,
  loadTokenizer,
  prepareTrainingData,
  type TokenBlocks,
  type Tokenizer,
} from "../../../lib/data/index.js";
import { allBlocks, FIXTURES } from "../blocks/laid-blocks.js";

let dir: string;
let tokenizer: Tokenizer;
beforeAll(async () => {
  dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-cache-"));
  tokenizer = await loadTokenizer(path.join(FIXTURES, "tokenizer"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const RECIPE = {
  dataset: "main",
  eval_dataset: "other,third",
  eval_on_each_dataset: true,
  dataset_dir: path.join(FIXTURES, "corpus"),
  cutoff_len: 32,
  packing: true,
};

const ids = (blocks: TokenBlocks) => allBlocks(blocks).map((block) => Array.from(block));

/** A fresh cache; returns its folder. */
async function saved(name: string, recipe: Partial<DataRecipe> = {}): Promise<string> {
  const folder = path.join(dir, name);
  await prepareTrainingData({ ...RECIPE, ...recipe, tokenized_path: folder }, tokenizer);
  return folder;
}

function load(folder: string, recipe: Partial<DataRecipe> = {}, by = tokenizer) {
  return prepareTrainingData({ ...RECIPE, ...recipe, tokenized_path: folder }, by);
}

describe("what is saved is read again", () => {
  for (const [name, recipe] of Object.entries({
    packed: {},
    "not packed": { packing: false },
    "held out": { eval_dataset: null, val_size: 0.3 },
    "nothing held out": { eval_dataset: null },
  })) {
    it(name, async () => {
      const fresh = await prepareTrainingData({ ...RECIPE, ...recipe }, tokenizer);
      const folder = await saved(name, recipe);
      // The corpus is not there any more, and is not needed.
      const again = await load(folder, { ...recipe, dataset_dir: path.join(dir, "nowhere") });
      expect(ids(again.blocks)).toEqual(ids(fresh.blocks));
      expect(again.evaluation.map((set) => [set.name, set.documents, ids(set.blocks)])).toEqual(
        fresh.evaluation.map((set) => [set.name, set.documents, ids(set.blocks)]),
      );
      expect(JSON.stringify(again.summary)).toBe(JSON.stringify(fresh.summary));
      expect(again.notes).toEqual([
        `tokenized_path: the blocks are those saved in ${folder}; other data keys are not read`,
      ]);
      expect(readdirSync(dir).filter((file) => file.endsWith(".tmp"))).toEqual([]);
    });
  }

  it("saving says so, into an empty folder too; other keys of the recipe are named as without effect", async () => {
    const folder = path.join(dir, "empty");
    mkdirSync(folder);
    const { notes } = await load(folder);
    expect(notes).toEqual([
      `tokenized_path: the blocks are saved in ${folder}; the next run takes them from there`,
    ]);
    const again = await load(folder, { cutoff_len: 64, packing: false });
    expect(again.notes[1]).toBe(
      `tokenized_path: they are of 32 tokens, packed, where the recipe asks for 64, not packed; remove ${folder} to tokenize again`,
    );
    expect(again.blocks.get(0).length).toBe(32);
  });
});

describe("LLaMA-Factory's folder", () => {
  const fixture = JSON.parse(readFileSync(path.join(FIXTURES, "mixed.json"), "utf8")) as Record<
    string,
    { train: { sha256: string }; evaluation: { name: string; sha256: string }[] }
  >;
  const digest = (blocks: TokenBlocks) =>
    createHash("sha256")
      .update(
        ids(blocks)
          .map((block) => block.join(","))
          .join("\n"),
      )
      .digest("hex");

  it("gives its blocks, training and evaluation", async () => {
    const { blocks, evaluation, summary, notes } = await load(path.join(FIXTURES, "tokenized"));
    const expected = fixture.eval_on_each_dataset!;
    expect(digest(blocks)).toBe(expected.train.sha256);
    expect(evaluation.map((set) => ({ name: set.name, sha256: digest(set.blocks) }))).toEqual(
      expected.evaluation.map(({ name, sha256 }) => ({ name, sha256 })),
    );
    expect(summary).toMatchObject({ blocks: blocks.length, blockLength: 32, packing: true });
    expect(notes[0]).toMatch(/those that LLaMA-Factory saved in/);
  });

  it("of another tokenizer, cut short, or of fine-tuning is refused", async () => {
    const small = { ...tokenizer, vocabSize: 400 } as Tokenizer;
    await expect(load(path.join(FIXTURES, "tokenized"), {}, small)).rejects.toThrow(
      /arrow: row 1: token \d+ is not in this model's vocabulary of 400: the data was made with another tokenizer/,
    );
    const folder = path.join(dir, "theirs");
    cpSync(path.join(FIXTURES, "tokenized"), folder, { recursive: true });
    const file = path.join(folder, "train/data-00000-of-00001.arrow");
    truncateSync(file, 3000);
    await expect(load(folder)).rejects.toThrow(/is no Arrow file, or is damaged/);
    const tuned = tableFromArrays({ input_ids: [[1, 2]], labels: [[-100, 2]] });
    writeFileSync(file, tableToIPC(tuned, "stream"));
    await expect(load(folder)).rejects.toThrow(/was tokenized for supervised fine-tuning/);
    rmSync(path.join(folder, "train/state.json"));
    await expect(load(folder)).rejects.toThrow(/state\.json: cannot be read .*; remove the folder/);
  });
});

describe("a cache that does not fit is refused", () => {
  it("of another tokenizer", async () => {
    const folder = await saved("other tokenizer");
    for (const change of [{ eosToken: "<|endoftext|>" }, { vocabSize: 502 }, { padId: 3 }]) {
      await expect(load(folder, {}, { ...tokenizer, ...change } as Tokenizer)).rejects.toThrow(
        new RegExp(`^tokenized_path: ${folder} was made with another tokenizer \\(503 tokens; this model's`),
      );
    }
  });

  const damages: [string, (folder: string) => void, RegExp][] = [
    ["cut short", (f) => truncateSync(path.join(f, "train.tokens"), 1000), /train\.tokens: is cut short/],
    [
      "with more behind it",
      (f) => writeFileSync(path.join(f, "train.tokens"), "more", { flag: "a" }),
      /train\.tokens: is cut short, or longer than it was written; remove/,
    ],
    [
      "with another byte",
      (f) => {
        const bytes = readFileSync(path.join(f, "train.tokens"));
        bytes[100]! ^= 1;
        writeFileSync(path.join(f, "train.tokens"), bytes);
      },
      /train\.tokens: is damaged \(its checksum differs\); remove .* to tokenize again/,
    ],
    [
      "without a file",
      (f) => rmSync(path.join(f, "evaluation-third.tokens")),
      /evaluation-third\.tokens: cannot be read/,
    ],
    [
      "with broken contents",
      (f) => truncateSync(path.join(f, "tokens.json"), 50),
      /tokens\.json:\d+: malformed JSON/,
    ],
    [
      "of another version",
      (f) => writeFileSync(path.join(f, "tokens.json"), '{"format": 9}'),
      /tokens\.json: format: 1 is needed, not 9; remove the folder to tokenize again/,
    ],
    [
      "that is something else",
      (f) => rmSync(path.join(f, "tokens.json")),
      /holds something else than tokenized data/,
    ],
  ];
  for (const [what, damage, message] of damages) {
    it(what, async () => {
      const folder = await saved(what);
      damage(folder);
      const failure = await load(folder).catch((error: Error) => error);
      expect(failure).toMatchObject({ name: "UserError", message: expect.stringMatching(message) });
      expect((failure as Error).message).not.toContain("\n");
    });
  }

  it("a file in its place, and a place that cannot be written", async () => {
    writeFileSync(path.join(dir, "file"), "");
    await expect(load(path.join(dir, "file"))).rejects.toThrow(
      /^tokenized_path: .*file is a file; name a folder/,
    );
    await expect(load(path.join(dir, "file/below"))).rejects.toThrow(
      /^tokenized_path: cannot write .*below: /,
    );
    expect(existsSync(path.join(dir, "file/below"))).toBe(false);
  });
});
