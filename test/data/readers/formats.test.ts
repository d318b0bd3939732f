// Every file format and every formatting of rows, against the documents that LLaMA-Factory 0.9.5 made of the same files
// (test/fixtures/data/make_formats.py), and what is said of files that are damaged or of another kind.

import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  countRows,
  loadTokenizer,
  prepareTrainingData,
  readDatasetInfo,
  readDocuments,
  readRows,
  type Tokenizer,
} from "../../../lib/data/index.js";
import { readLines } from "../../../lib/data/readers/lines.js";
import { allBlocks, digest, FIXTURES } from "../blocks/laid-blocks.js";

const FORMATS = path.join(FIXTURES, "formats");

interface Case {
  refused?: string;
  recipe: { dataset: string; cutoff_len: number; packing: boolean };
  blocks: number;
  tokens: number;
  first: number[];
  last: number[];
  sha256: string;
}

const cases = JSON.parse(readFileSync(path.join(FIXTURES, "formats.json"), "utf8")) as Record<string, Case>;

let dir: string;
let tokenizer: Tokenizer;
beforeAll(async () => {
  dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-formats-"));
  tokenizer = await loadTokenizer(path.join(FIXTURES, "tokenizer"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function blocksOf(dataset: string) {
  const recipe = { dataset, dataset_dir: FORMATS, cutoff_len: 1024, packing: false };
  const { blocks } = await prepareTrainingData(recipe, tokenizer);
  return allBlocks(blocks);
}

describe("documents equal LLaMA-Factory's", () => {
  // What is written compressed inside is refused here, and read there.
  const refusedHere = ["lz4.arrow", "zstd.arrow"];
  for (const [name, given] of Object.entries(cases)) {
    if (given.refused !== undefined || refusedHere.includes(name)) continue;
    it(name, async () => {
      const blocks = await blocksOf(name);
      expect(blocks.length).toBe(given.blocks);
      expect(Array.from(blocks[0]!)).toEqual(given.first);
      expect(Array.from(blocks.at(-1)!)).toEqual(given.last);
      expect(digest(blocks)).toBe(given.sha256);
    });
  }

  it("and the fixtures hold what they should", () => {
    expect(Object.keys(cases).length).toBeGreaterThan(30);
    expect(Object.keys(cases).filter((name) => cases[name]!.refused)).toEqual([
      "packed.gz",
      "odd",
      "roles",
      "mixed",
    ]);
  });

  it("in a folder, file by file in the order in which Python lists them", async () => {
    const listed = spawnSync(
      "python3",
      ["-c", "import os, sys; print('\\n'.join(os.listdir(sys.argv[1])))", path.join(FORMATS, "same")],
      { encoding: "utf8" },
    );
    expect(listed.stderr).toBe("");
    const expected = listed.stdout.trim().split("\n");
    expect(expected.length).toBe(2);
    const [entry] = readDatasetInfo(FORMATS, ["same"]);
    expect(entry!.files.map((file) => path.basename(file))).toEqual(expected);
    const many = path.join(dir, "many");
    mkdirSync(many);
    for (let i = 0; i < 60; i++) writeFileSync(path.join(many, `${(i * 37) % 60}.txt`), `${i}\n`);
    writeFileSync(path.join(dir, "dataset_info.json"), '{"many": {"file_name": "many"}}');
    const order = spawnSync(
      "python3",
      ["-c", "import os, sys; print('\\n'.join(os.listdir(sys.argv[1])))", many],
      {
        encoding: "utf8",
      },
    ).stdout.trim();
    expect(
      readDatasetInfo(dir, ["many"])[0]!
        .files.map((file) => path.basename(file))
        .join("\n"),
    ).toBe(order);
  });

  it("and a .gz of rows is read, which LLaMA-Factory does not know by its name", async () => {
    expect(digest(await blocksOf("packed.gz"))).toBe(cases.packed!.sha256);
  });
});

describe("rows", () => {
  it("are counted without reading them all into memory", async () => {
    for (const name of ["snappy.parquet", "stream.arrow", "file.arrow"])
      expect(await countRows(path.join(FORMATS, name))).toBe(40);
    expect(await countRows(path.join(FORMATS, "rows.csv"))).toBe(16);
    expect(await countRows(path.join(FORMATS, "plain.txt"))).toBe(45);
    expect(await countRows(path.join(FORMATS, "packed.jsonl.gz"))).toBe(9);
  });

  it("hold the wanted columns only, and know their place", async () => {
    const rows = [];
    for await (const row of readRows(path.join(FORMATS, "snappy.parquet"), ["score"])) rows.push(row);
    expect(rows[8]!.value).toEqual({ score: 0.5 });
    expect(rows[8]!.place).toBe(`${path.join(FORMATS, "snappy.parquet")}: row 9`);
  });

  it("of a parquet file come row group by row group, of an Arrow file batch by batch", async () => {
    for (const [name, cut] of [
      [
        "none.parquet",
        (bytes: Buffer) => {
          const footer = bytes.length - 8 - bytes.readUInt32LE(bytes.length - 8);
          return bytes.fill(0xff, footer / 2, footer);
        },
      ],
      ["stream.arrow", (bytes: Buffer) => bytes.subarray(0, 4000)],
    ] as const) {
      const bytes = cut(readFileSync(path.join(FORMATS, name)));
      const file = path.join(dir, put(name, bytes));
      let read = 0;
      const failing = (async () => {
        for await (const _ of readRows(file, ["text"])) read++;
      })();
      await expect(failing).rejects.toThrow(/damaged/);
      // Both files hold 7 rows a piece: what comes before the damage was read.
      expect(read).toBeGreaterThan(0);
      expect(read % 7).toBe(0);
    }
  });

  it("num_samples draws from a parquet file as from a JSON one", async () => {
    const folder = path.join(dir, "drawn");
    mkdirSync(folder);
    copyFileSync(path.join(FORMATS, "snappy.parquet"), path.join(folder, "a.parquet"));
    const texts: unknown[] = [];
    for await (const { value } of readRows(path.join(folder, "a.parquet"), ["text"])) texts.push(value);
    writeFileSync(path.join(folder, "a.jsonl"), texts.map((row) => JSON.stringify(row)).join("\n"));
    const columns = { columns: { prompt: "text" }, num_samples: 55 };
    const info = { p: { file_name: "a.parquet", ...columns }, j: { file_name: "a.jsonl", ...columns } };
    writeFileSync(path.join(folder, "dataset_info.json"), JSON.stringify(info));
    const recipe = { dataset_dir: folder, cutoff_len: 32, packing: true, seed: 5 };
    const [p, j] = await Promise.all(
      ["p", "j"].map((dataset) => prepareTrainingData({ ...recipe, dataset }, tokenizer)),
    );
    expect(p!.summary.documents).toBe(55);
    expect(Array.from(p!.blocks.get(7))).toEqual(Array.from(j!.blocks.get(7)));
    expect(p!.summary.tokens).toBe(j!.summary.tokens);
  });

  it("lines are equal for every size of chunks", async () => {
    const file = path.join(dir, "lines.txt");
    const text = "a\r\n\rb\n\n春\r\r\n\u2028 \n\rlast";
    for (const [end, more] of [
      ["", 0],
      ["\r", 0],
      ["\r\n", 0],
      ["\n\n", 1],
    ] as const) {
      writeFileSync(file, text + end);
      const expected = text.replaceAll(/\r\n?/g, "\n").split("\n");
      if (more > 0) expected.push("");
      for (const size of [1, 2, 3, 5, 64]) {
        const lines = [];
        for await (const line of readLines(file, size)) lines.push(line);
        expect(lines.map((line) => line.text)).toEqual(expected);
        expect(lines.map((line) => line.text + line.end).join("")).toBe(text + end);
        expect(lines.map((line) => line.number)).toEqual(expected.map((_, i) => i + 1));
      }
    }
  });
});

/** The message of the error that reading all documents of one file ends in. */
async function failure(name: string, entry: Record<string, unknown> = {}): Promise<string> {
  writeFileSync(
    path.join(dir, "dataset_info.json"),
    JSON.stringify({ it: { file_name: name, columns: { prompt: "text" }, ...entry } }),
  );
  try {
    for await (const _ of readDocuments(readDatasetInfo(dir, ["it"])[0]!));
  } catch (error) {
    expect(error).toMatchObject({ name: "UserError" });
    expect((error as Error).message).not.toContain("\n");
    return (error as Error).message;
  }
  throw new Error("nothing was refused");
}

function put(name: string, content: string | Uint8Array): string {
  writeFileSync(path.join(dir, name), content);
  return name;
}

const COLUMN = { columns: { prompt: "nope" } };
const GBK = Buffer.from("b4bac3dfb2bbbef5cffea3acb4a6b4a6cec5cce4c4f1a1a3", "hex"); // 春眠不觉晓，处处闻啼鸟。
const BIG5 = Buffer.from("acb4c0b3a4a3c4b1bee5a141b342b342bb44b0c1b3bea143", "hex"); // 春眠不覺曉，處處聞啼鳥。

describe("a column that is not there is named, with those that are", () => {
  for (const name of ["rows.csv", "snappy.parquet", "stream.arrow", "file.arrow", "plain.txt"]) {
    it(name, async () => {
      copyFileSync(path.join(FORMATS, name), path.join(dir, name));
      expect(await failure(name, COLUMN)).toMatch(
        /: column "nope" is missing; the rows have: .*text.*; set "columns": \{"prompt": "text"\} in dataset_info\.json/,
      );
    });
  }
});

describe("text that is not UTF-8 is called what it is", () => {
  const cases: [string, string, Uint8Array, RegExp][] = [
    [
      "GBK in JSON",
      "a.jsonl",
      Buffer.concat([Buffer.from('{"text":"a"}\n{"text":"'), GBK, Buffer.from('"}')]),
      /a\.jsonl:2: .*GBK \(GB18030\); convert the file: iconv -f GB18030 -t UTF-8 .*a\.jsonl > new\.jsonl/,
    ],
    ["GBK text", "a.txt", Buffer.concat([Buffer.from("a\n"), GBK]), /a\.txt:2: .*GBK/],
    ["GBK in CSV", "a.csv", Buffer.concat([Buffer.from("text,b\n1,2\n"), GBK]), /a\.csv:3: .*GBK/],
    ["Big5 text", "a.txt", BIG5, /a\.txt:1: .*BIG5.*iconv -f BIG5/],
    [
      "UTF-16 with a mark",
      "a.txt",
      Buffer.from("\ufeffabc\ndef", "utf16le"),
      /a\.txt:1: .*UTF-16; .*iconv -f UTF-16 /,
    ],
    ["UTF-16 without a mark", "a.csv", Buffer.from("text,b\nabc,d\n", "utf16le"), /a\.csv:1: .*UTF-16LE/],
    [
      "big-endian UTF-16",
      "a.jsonl",
      Buffer.from('{"text": "abc"}\n', "utf16le").swap16(),
      /a\.jsonl:1: .*UTF-16BE/,
    ],
    [
      "Chinese UTF-16 without a mark",
      "a.txt",
      Buffer.from("我们的人是在这个国里，也不会来的", "utf16le"),
      /a\.txt:1: .*UTF-16LE/,
    ],
    [
      "anything else",
      "a.txt",
      Buffer.from("caf\xe9 na\xefve", "latin1"),
      /a\.txt:1: not valid UTF-8, and its encoding is not known.*iconv -c/,
    ],
  ];
  for (const [what, name, content, message] of cases) {
    it(what, async () => expect(await failure(put(name, content))).toMatch(message));
  }
});

describe("a file that is damaged, cut short or of another kind is said to be so", () => {
  it("gzip cut short, and gzip damaged", async () => {
    const packed = gzipSync(`{"text": "${"春眠不覺曉".repeat(3000)}"}\n`.repeat(20));
    expect(await failure(put("a.jsonl.gz", packed.subarray(0, packed.length - 9)))).toMatch(
      /a\.jsonl\.gz: its gzip stream is cut short; fetch or pack the file again/,
    );
    packed.fill(0x55, 60, 90);
    expect(await failure(put("a.jsonl", packed))).toMatch(/a\.jsonl: its gzip stream is damaged \(/);
  });

  it("parquet: cut short, damaged inside, not parquet at all, empty", async () => {
    const whole = readFileSync(path.join(FORMATS, "gzip.parquet"));
    expect(await failure(put("a.parquet", whole.subarray(0, 900)))).toMatch(
      /a\.parquet: is no parquet file, or is cut short/,
    );
    const damaged = Buffer.from(whole);
    damaged.fill(0, 300, 900);
    expect(await failure(put("a.parquet", damaged))).toMatch(
      /a\.parquet: rows \d+ to \d+: the file is damaged/,
    );
    expect(await failure(put("a.parquet", '{"text": "a"}'))).toMatch(/a\.parquet: is no parquet file/);
    expect(await failure(put("a.parquet", ""))).toMatch(/a\.parquet: is no parquet file/);
  });

  it("arrow: cut short, not arrow at all, empty, compressed", async () => {
    for (const name of ["stream.arrow", "file.arrow"]) {
      cpSync(path.join(FORMATS, name), path.join(dir, name));
      truncateSync(path.join(dir, name), 5000);
      expect(await failure(name)).toMatch(/: is no Arrow file, or is damaged/);
    }
    expect(await failure(put("a.arrow", '{"text": "a"}'))).toMatch(/a\.arrow: is no Arrow file/);
    expect(await failure(put("a.arrow", ""))).toMatch(/a\.arrow: is no Arrow file/);
    for (const name of ["lz4.arrow", "zstd.arrow"]) {
      cpSync(path.join(FORMATS, name), path.join(dir, name));
      expect(await failure(name)).toMatch(
        /is compressed inside; write it without compression, or as parquet/,
      );
    }
  });

  it("csv: a row with too many cells, a quote that is never closed", async () => {
    expect(await failure(put("a.csv", 'text,b\n"x\ny",1\na,b,c\n'))).toMatch(
      /a\.csv:4: the row has 3 cells, the header 2; put a cell that holds a comma in double quotes/,
    );
    expect(await failure(put("a.csv", 'text,b\na,1\n"never\nclosed,2\n'))).toMatch(
      /a\.csv:3: a double quote \("\) that opens a cell in this row is never closed/,
    );
  });

  const others: [string, string | Uint8Array, RegExp][] = [
    ["an archive", Buffer.from("PK\x03\x04rest of it", "latin1"), /is packed as zip; unpack it first.*unzip/],
    ["a rar archive", Buffer.from("Rar!\x1a\x07\x00", "latin1"), /is packed as rar.*unrar x/],
    ["a pointer file", "version https://git-lfs.github.com/spec/v1\noid sha256:00", /is a Git LFS pointer/],
    ["a web page", "<!DOCTYPE html>\n<html>", /is a web page, not data/],
    [
      "parquet under another name",
      readFileSync(path.join(FORMATS, "none.parquet")),
      /its content is parquet, its name ends in \.jsonl; rename it/,
    ],
  ];
  for (const [what, content, message] of others) {
    it(what, async () => expect(await failure(put("b.jsonl", content))).toMatch(message));
  }

  it("cells of another type name their row", async () => {
    const entry = { columns: { prompt: "id" } };
    for (const name of ["snappy.parquet", "stream.arrow"]) {
      cpSync(path.join(FORMATS, name), path.join(dir, name));
      expect(await failure(name, entry)).toMatch(/: row 1: column "id" must be text, not a number/);
    }
  });

  it("folders: of two types, empty, with what is no data", async () => {
    cpSync(path.join(FORMATS, "mixed"), path.join(dir, "mixed"), { recursive: true });
    expect(await failure("mixed")).toMatch(/ and .* are of two types; keep files of one type in a folder/);
    mkdirSync(path.join(dir, "none"));
    expect(await failure("none")).toMatch(/folder .*none is empty; put files into it/);
    mkdirSync(path.join(dir, "notes"));
    put("notes/a.jsonl", "");
    put("notes/README.md", "");
    expect(await failure("notes")).toMatch(/README\.md is not of a supported type: \.arrow, \.csv, /);
    put("a.tsv", "text\tb\n");
    expect(await failure("a.tsv")).toMatch(
      /a\.tsv is not of a supported type.*save it with commas, as \.csv/,
    );
  });

  it("conversations: no turns, the wrong one first, no last answer, a text that is none", async () => {
    const talk = (messages: unknown) => put("c.jsonl", JSON.stringify({ conversations: messages }));
    const sharegpt = { formatting: "sharegpt", columns: { messages: "conversations" } };
    const human = { from: "human", value: "a" };
    const gpt = { from: "gpt", value: "b" };
    expect(await failure(talk([gpt, human]), sharegpt)).toMatch(
      /c\.jsonl:1: column "conversations": message 1 is of "gpt", where human or observation is expected/,
    );
    expect(await failure(talk([human]), sharegpt)).toMatch(/the conversation has no last answer/);
    expect(await failure(talk([]), sharegpt)).toMatch(/the conversation has no message/);
    expect(await failure(talk("a"), sharegpt)).toMatch(/must be a list of messages/);
    expect(await failure(talk([{ from: "human", value: null }, gpt]), sharegpt)).toMatch(
      /c\.jsonl:1: column "conversations": the first message's text must be text, not null/,
    );
    expect(await failure(talk([human, gpt]), { ...sharegpt, columns: {} })).toMatch(
      /columns names no messages/,
    );
    expect(await failure(talk([human, gpt]), { ...sharegpt, tags: {} })).toMatch(/tags must name role_tag/);
    expect(await failure(talk([human, gpt]), { formatting: "chatml" })).toMatch(
      /formatting "chatml" is unknown/,
    );
  });
});
