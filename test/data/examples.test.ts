// The corpus in examples/data: that it is what scripts/generate/prose.mjs says, and that dataset_info.json names it.

import path from "node:path";
import { expect, it } from "vitest";
import { readDatasetInfo, readDocuments } from "../../lib/data/index.js";

const EXAMPLES = path.join(import.meta.dirname, "../../examples/data");

async function documents(name: string): Promise<string[]> {
  const all = [];
  for await (const text of readDocuments(readDatasetInfo(EXAMPLES, [name])[0]!)) all.push(text);
  return all;
}

it("holds 596 poems to replay, none of them held out", async () => {
  const poems = await documents("poetry");
  const heldOut = new Set(await documents("poetry_heldout"));
  expect(poems).toHaveLength(596);
  expect(new Set(poems).size).toBe(596);
  expect(poems.filter((poem) => heldOut.has(poem))).toEqual([]);
});

it("holds 200 essays to train on and 22 others held out, each with title, author and text", async () => {
  const prose = await documents("prose");
  const heldOut = await documents("prose_heldout");
  expect([prose.length, heldOut.length]).toEqual([200, 22]);
  expect(await documents("data1")).toEqual(prose);
  expect(new Set([...prose, ...heldOut]).size).toBe(222);
  for (const text of [...prose, ...heldOut]) {
    const [title, author, ...paragraphs] = text.split("\n");
    expect(title!.length).toBeGreaterThan(1);
    expect(author).toMatch(/^[^：]{1,4}：/);
    expect(paragraphs.join("").length).toBeGreaterThan(50);
    expect(text).toBe(text.trim());
  }
});
