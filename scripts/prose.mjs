// Makes examples/data/prose.jsonl (200 essays) and prose-heldout.jsonl (22) from the 222 essays of the anthology
// Guwen guanzhi in the npm package chinese-poetry 2.0.1 (MIT; see NOTICE). Every tenth essay is held out.
// Not part of a build: the files are checked in. Usage: node scripts/prose.mjs [folder to write to]

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const PACKAGE = "chinese-poetry@2.0.1";
const MEMBER = "package/dist/mengxue/guwenguanzhi.json";
const target = process.argv[2] ?? fileURLToPath(new URL("../examples/data/", import.meta.url));

const essays = fetchAnthology().content.flatMap((volume) => volume.content);
const rows = essays.map((essay) => ({ text: textOf(essay) }));
const heldOut = (_, index) => index % 10 === 9;
mkdirSync(target, { recursive: true });
write(
  "prose.jsonl",
  rows.filter((row, index) => !heldOut(row, index)),
);
write("prose-heldout.jsonl", rows.filter(heldOut));

/** Title, author and paragraphs, each on a line of its own. */
function textOf({ chapter, author, paragraphs }) {
  return [chapter, author, ...paragraphs]
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .join("\n");
}

function fetchAnthology() {
  const dir = mkdtempSync(path.join(tmpdir(), "prose-"));
  try {
    const npm = process.platform === "win32" ? "npm.cmd" : "npm";
    execFileSync(npm, ["pack", PACKAGE, "--silent"], { cwd: dir, shell: process.platform === "win32" });
    execFileSync("tar", ["-xzf", "chinese-poetry-2.0.1.tgz", MEMBER], { cwd: dir });
    return JSON.parse(readFileSync(path.join(dir, MEMBER), "utf8"));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function write(name, list) {
  const file = path.join(target, name);
  writeFileSync(file, list.map((row) => `${JSON.stringify(row)}\n`).join(""));
  console.log(`${file}: ${list.length} essays`);
}
