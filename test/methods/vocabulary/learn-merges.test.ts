// Learned entries: the merges against a plain program that counts again after each one, the extended tokenizer against
// Hugging Face's library, whose ids must be the old ones joined further.

import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { loadTokenizer } from "../../../lib/data/index.js";
import { decodeByteLevel } from "../../../lib/data/tokenizer/byte-level.js";
import { UserError } from "../../../lib/errors.js";
import { entryPieces, extendTokenizer, learnMerges, type TokenizerJson } from "../../../lib/methods/index.js";
import { findMerges } from "../../../lib/methods/vocabulary/merge-search.js";

const ROOT = path.join(import.meta.dirname, "../../..");
const MODEL = path.join(ROOT, "examples/model");
const json = (dir: string): TokenizerJson =>
  JSON.parse(readFileSync(path.join(dir, "tokenizer.json"), "utf8")) as TokenizerJson;
const texts = (name: string): string[] =>
  readFileSync(path.join(ROOT, "examples/data", name), "utf8")
    .trim()
    .split("\n")
    .map((line) => (JSON.parse(line) as { text: string }).text);

/** Numbers in [0, 1), the same every time. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Byte-pair learning as one would write it down: every pair is counted again before every merge. */
function slowly(
  pieces: { ids: number[]; count: number }[],
  merges: number,
  minCount: number,
  firstId: number,
) {
  const found: { left: number; right: number; id: number; count: number }[] = [];
  while (found.length < merges) {
    const counts = new Map<string, number>();
    for (const { ids, count } of pieces)
      for (let i = 0; i + 1 < ids.length; i++) {
        const key = `${ids[i]} ${ids[i + 1]}`;
        counts.set(key, (counts.get(key) ?? 0) + count);
      }
    const pairs = [...counts].map(([key, count]) => {
      const [left, right] = key.split(" ").map(Number) as [number, number];
      return { left, right, count };
    });
    pairs.sort((a, b) => b.count - a.count || a.left - b.left || a.right - b.right);
    const best = pairs[0];
    if (best === undefined || best.count < minCount) break;
    const id = firstId + found.length;
    for (const piece of pieces)
      for (let i = 0; i + 1 < piece.ids.length; i++)
        if (piece.ids[i] === best.left && piece.ids[i + 1] === best.right) piece.ids.splice(i, 2, id);
    found.push({ ...best, id });
  }
  return found;
}

describe("merges", () => {
  it("are those of counting every pair again, repeated letters and equal counts included", () => {
    for (const seed of [1, 2, 3]) {
      const random = randomNumbers(seed);
      const pieces = Array.from({ length: 300 }, () => ({
        ids: Array.from({ length: 1 + Math.floor(random() * 12) }, () => Math.floor(random() ** 2 * 5)),
        count: 1 + Math.floor(random() * 3),
      }));
      const starts = Int32Array.from({ length: pieces.length + 1 }, (_, i) =>
        pieces.slice(0, i).reduce((sum, { ids }) => sum + ids.length, 0),
      );
      const all = {
        ids: Int32Array.from(pieces.flatMap(({ ids }) => ids)),
        starts,
        counts: Int32Array.from(pieces, ({ count }) => count),
      };
      const found = findMerges(all, { count: 60, minCount: 3, firstId: 5, allows: () => true });
      expect(found).toEqual(slowly(pieces, 60, 3, 5));
      expect(found.length).toBeGreaterThan(40);
    }
  });
});

/** The text of an entry. */
const entryText = ({ token }: { token: string }) => decodeByteLevel([token]);

describe("an extended tokenizer", () => {
  const before = json(MODEL);
  const entries = learnMerges(before, texts("prose.jsonl"), { count: 600, minCount: 4 });
  const after = extendTokenizer(before, entries);

  it("is learned the same way every time", () => {
    expect(learnMerges(before, texts("prose.jsonl"), { count: 600, minCount: 4 })).toEqual(entries);
    expect(entries).toHaveLength(600);
  });

  it("has new ids behind the old ones, and readable entries made of the text's old tokens", async () => {
    const old = await loadTokenizer(MODEL);
    expect(entries.map(({ id }) => id)).toEqual(Array.from({ length: 600 }, (_, i) => 8192 + i));
    for (const entry of entries) {
      expect(entryText(entry)).toBe(old.decode(entry.pieces));
      expect(entry.count).toBeGreaterThanOrEqual(4);
    }
    const partial = entries.filter((entry) => entryText(entry).includes("\ufffd"));
    for (const entry of partial) expect(entry.token.length).toBeLessThan(4);
    expect(entries.map(entryText)).toContain("天下之");
  });

  it("tells the pieces of its entries by itself: a resumed run has nothing else to begin rows from", () => {
    expect(entryPieces(after, 8192)).toEqual(entries.map(({ pieces }) => pieces));
    expect(entryPieces(before, 8192)).toEqual([]);
  });

  const MIXED =
    "鄭伯克段於鄢，則天下之士 hello, don't 世界🙂👨‍👩‍👧<|im_end|> \n\n  42 ﬁ é 한글 ไทย العربية 𠀀。其 <|endoftext|>故";

  it("gives the old ids joined by the new merges in their order", async () => {
    const [old, now] = [await loadTokenizer(MODEL), await loadTokenizer(MODEL, { json: after })];
    const joined = new Map(entries.map(({ merge, id }) => [merge.join(" "), id]));
    const names = after as { model: { vocab: Record<string, number> } };
    const nameOf = new Map(Object.entries(names.model.vocab).map(([token, id]) => [id, token]));
    for (const text of [...texts("prose-heldout.jsonl").slice(0, 8), MIXED]) {
      const ids = Array.from(await old.encode(text));
      const found = Array.from(await now.encode(text));
      expect(now.decode(found)).toBe(old.decode(ids));
      // each new token is what its two halves are, down to the old ids
      const pieces = new Map(entries.map((entry) => [entry.id, [...entry.pieces]]));
      expect(found.flatMap((id) => pieces.get(id) ?? [id])).toEqual(ids);
      // and no pair is left that a merge would have joined inside a piece of text without marks and spaces
      for (let i = 0; i + 1 < found.length; i++) {
        const pair = `${nameOf.get(found[i] as number)} ${nameOf.get(found[i + 1] as number)}`;
        if (/^[\u4e00-\u9fff]{2,}$/.test(now.decode(found.slice(i, i + 2))))
          expect(joined.has(pair)).toBe(false);
      }
    }
  });

  it("shortens text that it was learned from, and text that it was not", async () => {
    const [old, now] = [await loadTokenizer(MODEL), await loadTokenizer(MODEL, { json: after })];
    const tokens = async (tokenizer: typeof old, name: string) =>
      (await tokenizer.encodeBatch(texts(name))).reduce((sum, ids) => sum + ids.length, 0);
    for (const name of ["prose.jsonl", "prose-heldout.jsonl"])
      expect((await tokens(now, name)) / (await tokens(old, name))).toBeLessThan(0.88);
  });

  it("keeps the text of merges as the file has it, joined or apart", () => {
    const strings = {
      ...before,
      model: {
        ...(before.model as object),
        merges: (before.model as { merges: string[][] }).merges.map((pair) => pair.join(" ")),
      },
    };
    const again = learnMerges(strings, texts("prose.jsonl"), { count: 5 });
    const model = extendTokenizer(strings, again).model as { merges: unknown[] };
    expect(model.merges.at(-1)).toBe(again.at(-1)?.merge.join(" "));
    expect((after.model as { merges: unknown[] }).merges.at(-1)).toEqual(entries.at(-1)?.merge);
  });

  it("is refused for a tokenizer that merges something else than bytes", () => {
    const other = { ...before, pre_tokenizer: { type: "Whitespace" } };
    expect(() => learnMerges(other, ["text"], { count: 1 })).toThrow(UserError);
  });
});
