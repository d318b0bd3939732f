// Makes examples/data/poetry.jsonl: every 500th of the poems that the embedded model was trained on, to be replayed
// beside a new domain. From the npm package chinese-poetry 2.0.1 (MIT; see NOTICE).
// Not part of a build: the file is checked in. Usage: node scripts/generate/poetry.mjs [folder to write to]

import { writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { isHeldOut, poemsOf, unpackedCollections } from "./chinese-poetry.mjs";

const target = process.argv[2] ?? fileURLToPath(new URL("../../examples/data/", import.meta.url));
const collections = unpackedCollections(fileURLToPath(new URL("../../.corpus", import.meta.url)));

const known = poemsOf(collections).filter((poem) => !isHeldOut(poem));
const rows = known.filter((_, index) => index % 500 === 0);
const file = path.join(target, "poetry.jsonl");
writeFileSync(file, rows.map(({ text }) => `${JSON.stringify({ text })}\n`).join(""));
console.log(`${file}: ${rows.length} poems`);
