// Files of JSON lines on the short way, through the native encoder, give the same documents, ids and errors as row by
// row through the library.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { DatasetEntry } from "../../../lib/data/datasets/dataset-info.js";
import { readDocuments } from "../../../lib/data/datasets/documents.js";
import { loadTokenizer, type Tokenizer } from "../../../lib/data/index.js";
import { encodeRows, rowRule } from "../../../lib/data/intake/row-intake.js";
import { rowChunks } from "../../../lib/data/readers/row-chunks.js";
import { messageOf } from "../../../lib/errors.js";
import { FIXTURES } from "../blocks/laid-blocks.js";

const folder = mkdtempSync(path.join(tmpdir(), "qwen-pt-rows-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const END = "<|endoftext|>";
let library: Tokenizer;
let quick: Tokenizer;
beforeAll(async () => {
  library = await loadTokenizer(path.join(FIXTURES, "tokenizer"), { engine: "native" });
  quick = await loadTokenizer(path.join(FIXTURES, "tokenizer"), { quickFrom: 0 });
  await quick.encodeBatch(["the first goes both ways"]);
});

let made = 0;
function dataset(
  contents: readonly (string | Buffer)[],
  more: Partial<DatasetEntry> = {},
  ending = ".jsonl",
) {
  const files = contents.map((content) => {
    const file = path.join(folder, `${made++}${ending}`);
    writeFileSync(file, content);
    return file;
  });
  const columns = { formatting: "alpaca", prompt: "text" } as const;
  return { name: "rows", files, columns, ...more } as DatasetEntry;
}

/** Ids of each document, or what is said of a fault. */
async function shortWay(entry: DatasetEntry, most = Number.POSITIVE_INFINITY, tokenizer = quick) {
  const found: string[] = [];
  try {
    const rule = (await rowRule(entry, END))!;
    await encodeRows(entry, rule, tokenizer, most, (ids, lengths) => {
      let at = 0;
      for (const length of lengths) {
        found.push(ids.slice(at, at + length).join());
        at += length;
      }
      expect(at).toBe(ids.length);
    });
    return found;
  } catch (error) {
    return messageOf(error);
  }
}

async function longWay(entry: DatasetEntry, most = Number.POSITIVE_INFINITY) {
  const texts: string[] = [];
  try {
    for await (const text of readDocuments(entry)) {
      texts.push(text + END);
      if (texts.length >= most) break;
    }
    return (await library.encodeBatch(texts)).map((ids) => ids.join());
  } catch (error) {
    return messageOf(error);
  }
}

const line = (row: object) => `${JSON.stringify(row)}\n`;
/** Rows of which some are left: a mark behind a mark, a missing column, null. */
const rows = (count: number) =>
  Array.from({ length: count }, (_, i) =>
    line(
      i % 11 === 3
        ? { a: i }
        : { text: i % 7 === 0 ? `${i}a\u0323\u0307` : i % 5 === 0 ? null : `春眠 ${i}`, i },
    ),
  ).join("");

describe("the same documents", () => {
  const files: Record<string, readonly (string | Buffer)[]> = {
    "some rows": [rows(500)],
    "more than a chunk": [rows(60_000)],
    "a line longer than a chunk": [line({ text: "好".repeat(1_200_000) }) + rows(3)],
    "several files": [rows(20), "", "\n\n", rows(3)],
    "blank lines, CRLF, no last line's end": ["\n \r\n", rows(9).replaceAll("\n", "\r\n").trimEnd()],
    "a byte order mark": [`\ufeff${rows(5)}`],
    "packed files": [gzipSync(rows(400))],
    "rows over several lines": [
      JSON.stringify({ text: "春", a: { b: [] } }, null, 1)
        .concat("\n")
        .repeat(30),
    ],
    "rows over several lines behind others": [`${rows(40)}{"text":\n"a"}\n${rows(9)}`, rows(20)],
    "several rows on a line behind others": [`${rows(40)}{"text":"a"} {"text":"b"}\n${rows(9)}`],
    "the same behind a chunk": [`${rows(30_000)}{"text":\n"a"}\n${rows(3000)}`],
    "rows without text": ['null\n{}\n{"text":"a","x":NaN}\n{"text":NaN}\n'],
    "lines that end in CR": [rows(30).replaceAll("\n", "\r")],
  };
  for (const [name, contents] of Object.entries(files)) {
    it(name, async () => {
      const ending = name === "packed files" ? ".jsonl.gz" : ".jsonl";
      const entry = dataset(contents, { languageTag: "<zh> " }, ending);
      const found = await shortWay(entry);
      expect(found.length).toBeGreaterThan(3);
      expect(found).toEqual(await longWay(entry));
    });
  }

  it("the first of them", async () => {
    const entry = dataset([rows(30), rows(30)]);
    const loose = dataset([rows(3) + rows(30).replaceAll("}", "\n}"), rows(30)]);
    for (const most of [1, 3, 4, 29, 30, 31, 60, 61])
      for (const one of [entry, loose]) expect(await shortWay(one, most)).toEqual(await longWay(one, most));
  });

  it("of two columns", async () => {
    const columns = { formatting: "alpaca", prompt: "a", query: "b" } as const;
    const entry = dataset([[{ a: "x", b: "y" }, { a: "x" }, { b: "" }].map(line).join("")], { columns });
    expect(await shortWay(entry)).toEqual(await longWay(entry));
  });

  it("while the native encoder is not at work yet, and where it never is", async () => {
    const entry = dataset([rows(20_000)]);
    const expected = await longWay(entry);
    const young = await loadTokenizer(path.join(FIXTURES, "tokenizer"), { quickFrom: 100_000 });
    expect(await shortWay(entry, undefined, young)).toEqual(expected);
    expect(young.lanes).toBeGreaterThan(1);
    expect(await shortWay(entry, undefined, library)).toEqual(expected);
  });
});

describe("the same faults", () => {
  const faults: Record<string, string | Buffer> = {
    "malformed JSON": `${rows(30)}\n{"text": "a"\n${rows(3)}`,
    "no object": `${rows(2)}[1]\n`,
    "another kind": `${rows(2)}\n\n{"text": 7}\n`,
    "a fault in rows over several lines": `${rows(20)}{"text":\n"a"}\n{"text":\nb}\n`,
    "a comma behind a row": `${rows(20)}{"text":"a"},\n{"text":"a"}`,
    "a row that is cut short": `${rows(20)}{"text":"a`,
    "half a pair": `${rows(2)}{"text": "\\ud800"}\n`,
    "bytes of another encoding": Buffer.concat([
      Buffer.from(rows(40)),
      Buffer.from('{"text":"\xb4\xba"}', "latin1"),
    ]),
    "a column that no row has": line({ other: "a" }).repeat(5),
    "a column that a thousand rows lack": line({ other: "a" }).repeat(1000) + rows(20),
  };
  for (const [name, content] of Object.entries(faults)) {
    it(name, async () => {
      const entry = dataset([content]);
      const said = await shortWay(entry);
      expect(said).toEqual(expect.stringContaining(entry.files[0]!));
      expect(said).toBe(await longWay(entry));
    });
  }

  it("none behind the last row that is wanted, nor for a column that a row of the first thousand has", async () => {
    const entry = dataset([`${rows(5)}{`]);
    expect(await shortWay(entry, 5)).toEqual(await longWay(entry, 5));
    const late = dataset([line({ other: "a" }).repeat(999) + rows(20)]);
    expect(await shortWay(late)).toEqual(await longWay(late));
  });
});

it("rows of other forms are not for the short way", async () => {
  const messages = { formatting: "sharegpt", messages: "m" } as unknown as DatasetEntry["columns"];
  const history = { formatting: "alpaca", prompt: "a", history: "h" } as const;
  const same = { formatting: "alpaca", prompt: "a", query: "a" } as const;
  for (const entry of [
    dataset(['\n [{"text": "a"}]']),
    dataset([rows(3)], { columns: messages }),
    dataset([rows(3)], { columns: history }),
    dataset([rows(3)], { columns: same }),
    dataset([rows(3)], { wholeFile: true }),
    dataset(["text\na\n"], {}, ".csv"),
  ])
    expect(await rowRule(entry, END)).toBeUndefined();
});

it("chunks are whole lines, whatever is read at a time", async () => {
  const content = `${rows(40)}the end`;
  const file = dataset([content]).files[0]!;
  for (const bytes of [1, 2, 7, 64, 4096]) {
    const chunks = [];
    for await (const chunk of rowChunks(file, bytes)) chunks.push(chunk.toString());
    expect(chunks.join("")).toBe(content);
    expect(chunks.slice(0, -1).every((chunk) => chunk.endsWith("\n"))).toBe(true);
  }
});
