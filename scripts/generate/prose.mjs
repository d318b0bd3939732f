// Makes examples/data/prose.jsonl (200 essays) and prose-heldout.jsonl (22) from the 222 essays of the anthology
// Guwen guanzhi in the npm package chinese-poetry 2.0.1 (MIT; see NOTICE). Every tenth essay is held out.
// Not part of a build: the files are checked in. Usage: node scripts/generate/prose.mjs [folder to write to]

import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { readCollection, unpackedCollections } from "./chinese-poetry.mjs";

const target = process.argv[2] ?? fileURLToPath(new URL("../../examples/data/", import.meta.url));
const collections = unpackedCollections(fileURLToPath(new URL("../../.corpus", import.meta.url)));

const essays = readCollection(collections, "mengxue", "guwenguanzhi.json").content.flatMap(
  (volume) => volume.content,
);
const rows = essays.map((essay) => ({ text: textOf(essay) }));
const heldOut = (_, index) => index % 10 === 9;
mkdirSync(target, { recursive: true });
write(
  "prose.jsonl",
  rows.filter((row, index) => !heldOut(row, index)),
);
write("prose-heldout.jsonl", rows.filter(heldOut));

/** Title, author and paragraphs, each on its own line. */
function textOf({ chapter, author, paragraphs }) {
  return [chapter, author, ...paragraphs]
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .join("\n");
}

function write(name, list) {
  const file = path.join(target, name);
  writeFileSync(file, list.map((row) => `${JSON.stringify(row)}\n`).join(""));
  console.log(`${file}: ${list.length} essays`);
}
