// Makes the corpus of the embedded model: the poems of Tang and Song in the npm package chinese-poetry (MIT), one a
// line as {"text": "title\ndynasty：poet\nverses"}, in traditional characters. One poem of 300, chosen by its text, is
// held out and never trained on; a poem whose verses are held out anywhere is dropped from training.
//   node examples/model/corpus.mjs [FOLDER]     FOLDER: .corpus unless given
// It writes FOLDER/poetry.jsonl, FOLDER/poetry-heldout.jsonl and a dataset_info.json that names them.
import { writeFileSync } from "node:fs";
import path from "node:path";
import { isHeldOut, poemsOf, unpackedCollections } from "../../scripts/generate/chinese-poetry.mjs";

const folder = path.resolve(process.argv[2] ?? ".corpus");
const all = poemsOf(unpackedCollections(folder));
const splits = {
  "poetry.jsonl": all.filter((poem) => !isHeldOut(poem)),
  "poetry-heldout.jsonl": all.filter(isHeldOut),
};
for (const [file, rows] of Object.entries(splits)) {
  const characters = rows.reduce((sum, { text }) => sum + [...text].length, 0);
  writeFileSync(path.join(folder, file), rows.map(({ text }) => `${JSON.stringify({ text })}\n`).join(""));
  console.log(`${file}: ${rows.length} poems, ${characters} characters`);
}
const entry = (file) => ({ file_name: file, columns: { prompt: "text" } });
writeFileSync(
  path.join(folder, "dataset_info.json"),
  `${JSON.stringify({ poetry: entry("poetry.jsonl"), poetry_heldout: entry("poetry-heldout.jsonl") }, null, 2)}\n`,
);
