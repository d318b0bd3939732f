// The npm package chinese-poetry 2.0.1 (MIT), from which the example data, the embedded model's corpus and the
// experiments' domains are made. It is fetched once, by npm: the registry, the proxy and the cache are the user's.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";

const PACKAGE = "chinese-poetry@2.0.1";

/** The package's folder of collections, unpacked below `folder`. */
export function unpackedCollections(folder) {
  const collections = path.join(folder, "package", "dist");
  if (!existsSync(path.join(collections, "quantangshi"))) {
    mkdirSync(folder, { recursive: true });
    const shell = process.platform === "win32";
    const [{ filename }] = JSON.parse(
      execFileSync("npm", ["pack", PACKAGE, "--json"], { cwd: folder, shell, encoding: "utf8" }),
    );
    execFileSync("tar", ["-xzf", filename], { cwd: folder });
    rmSync(path.join(folder, filename));
  }
  return collections;
}

/** What a file of the package holds. */
export function readCollection(collections, ...names) {
  return JSON.parse(readFileSync(path.join(collections, ...names), "utf8"));
}

/** Verses hold nothing else: what does is damaged (□), annotated or half-encoded, about 4 poems of 100. */
const CLEAN = /^[\p{Script=Han}，。？！、：；「」『』《》\n]+$/u;

/** Whether a text is whole and without notes. */
export const isClean = (text) => CLEAN.test(text);

/** Poems of Tang and Song in traditional characters: { verses, text: "title\ndynasty：poet\nverses" }, doublets left out. */
export function poemsOf(collections) {
  const poems = new Map();
  const folder = path.join(collections, "quantangshi");
  for (const [dynasty, name] of Object.entries({ tang: "唐", song: "宋" })) {
    for (const file of filesInOrder(folder, `poet.${dynasty}.`)) {
      for (const poem of readCollection(folder, file)) {
        const verses = poem.paragraphs.join("\n").trim();
        const title = poem.title.replace(/\s+/g, " ").trim();
        const head = `${title}${poem.author}`.replaceAll(/[ ·]/g, "");
        if (isClean(verses) && isClean(head)) {
          poems.set(verses, { verses, text: `${title}\n${name}：${poem.author}\n${verses}` });
        }
      }
    }
  }
  return [...poems.values()];
}

/** One poem of 300, chosen by its verses, that the embedded model was never trained on. */
export const isHeldOut = ({ verses }) =>
  createHash("sha256").update(verses).digest().readUInt32BE(0) % 300 === 0;

/** Files in the order of their numbers, so that the corpus is the same on every machine. */
export function filesInOrder(folder, prefix) {
  const number = (name) => Number(name.slice(prefix.length).split(".")[0]);
  const names = readdirSync(folder).filter((name) => name.startsWith(prefix) && !Number.isNaN(number(name)));
  return names.sort((a, b) => number(a) - number(b));
}
