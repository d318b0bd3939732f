// Makes the corpus of the embedded model: the poems of Tang and Song in the npm package chinese-poetry (MIT), one a
// line as {"text": "title\ndynasty：poet\nverses"}, in traditional characters. One poem of 300, chosen by its text, is
// held out and never trained on; a poem whose verses are held out anywhere is dropped from training.
//   node examples/model/corpus.mjs [FOLDER]     FOLDER: .corpus unless given
// It writes FOLDER/poetry.jsonl, FOLDER/poetry-heldout.jsonl and a dataset_info.json that names them.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";

const PACKAGE = "chinese-poetry@2.0.1";
const HELD_OUT = 300;
const DYNASTIES = { tang: "唐", song: "宋" };
/** Verses hold nothing else: what does is damaged (□), annotated or half-encoded, about 4 poems of 100. */
const CLEAN = /^[\p{Script=Han}，。？！、：；「」『』《》\n]+$/u;

const folder = path.resolve(process.argv[2] ?? ".corpus");
mkdirSync(folder, { recursive: true });

/** The unpacked package, by npm: its registry, proxy and cache are the user's. */
function fetchPackage() {
  const unpacked = path.join(folder, "package", "dist", "quantangshi");
  if (!existsSync(unpacked)) {
    const shell = process.platform === "win32";
    const [{ filename }] = JSON.parse(
      execFileSync("npm", ["pack", PACKAGE, "--json"], { cwd: folder, shell, encoding: "utf8" }),
    );
    execFileSync("tar", ["-xzf", filename], { cwd: folder });
    rmSync(path.join(folder, filename));
  }
  return unpacked;
}

/** Files in the order of their numbers, so that the corpus is the same on every machine. */
function poemFiles(source, dynasty) {
  const number = (name) => Number(name.split(".")[2]);
  const names = readdirSync(source).filter((name) => name.startsWith(`poet.${dynasty}.`));
  return names.sort((a, b) => number(a) - number(b));
}

function* poems(source) {
  for (const [dynasty, name] of Object.entries(DYNASTIES)) {
    for (const file of poemFiles(source, dynasty)) {
      for (const poem of JSON.parse(readFileSync(path.join(source, file), "utf8"))) {
        const verses = poem.paragraphs.join("\n").trim();
        const title = poem.title.replace(/\s+/g, " ").trim();
        const head = `${title}${poem.author}`.replaceAll(/[ ·]/g, "");
        if (CLEAN.test(verses) && CLEAN.test(head)) {
          yield { verses, text: `${title}\n${name}：${poem.author}\n${verses}` };
        }
      }
    }
  }
}

const all = [...new Map([...poems(fetchPackage())].map((poem) => [poem.verses, poem])).values()];
const isHeldOut = ({ verses }) => createHash("sha256").update(verses).digest().readUInt32BE(0) % HELD_OUT === 0;
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
