// Arrow and parquet files with flipped bits and numbers that the file cannot hold: rows or one error that names the file,
// never a hang, an allocation by what the file says, or a rejection that nobody hears. And tokens.json alike.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadTokenizer, prepareTrainingData, readRows, type Tokenizer } from "../../../lib/data/index.js";
import { walkPages } from "../../../lib/data/readers/parquet-pages.js";
import { UserError } from "../../../lib/errors.js";
import { FIXTURES } from "../blocks/laid-blocks.js";

const FORMATS = path.join(FIXTURES, "formats");
let dir: string;
let tokenizer: Tokenizer;
beforeAll(async () => {
  dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-damaged-"));
  tokenizer = await loadTokenizer(path.join(FIXTURES, "tokenizer"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Rows, or the message of the one error. */
async function outcome(file: string): Promise<number | string> {
  let rows = 0;
  try {
    for await (const _ of readRows(file))
      if (++rows > 1e6) throw new Error(`${file}: more rows than a small file has`);
    return rows;
  } catch (error) {
    expect(error, (error as Error).stack).toBeInstanceOf(UserError);
    expect((error as Error).message).toContain(file);
    return (error as Error).message;
  }
}

function put(name: string, bytes: Uint8Array): string {
  const file = path.join(dir, name);
  writeFileSync(file, bytes);
  return file;
}

describe("arrow", () => {
  it.each(["stream.arrow", "file.arrow"])(
    "%s: one bit after the other in its frames",
    { timeout: 120_000 },
    async (name) => {
      const whole = readFileSync(path.join(FORMATS, name));
      const expected = await outcome(path.join(FORMATS, name));
      let refused = 0;
      // the schema's message and the first batch's: what lengths and counts are in
      for (let at = 0; at < Math.min(whole.length, 1000); at += 19) {
        const bytes = Buffer.from(whole);
        bytes[at] = (bytes[at] as number) ^ (1 << (at % 8));
        const found = await outcome(put("flipped.arrow", bytes));
        if (found !== expected) refused++;
      }
      expect(refused).toBeGreaterThan(1);
    },
  );

  it("a count in the schema that its message cannot hold", async () => {
    const whole = readFileSync(path.join(FORMATS, "stream.arrow"));
    const length = whole.readInt32LE(4);
    let refused = 0;
    for (let at = 8; at + 4 <= 8 + length; at += 4) {
      const bytes = Buffer.from(whole);
      bytes.writeUInt32LE(0x70000000 + at, at);
      if (typeof (await outcome(put("schema.arrow", bytes))) === "string") refused++;
    }
    expect(refused).toBeGreaterThan(10);
  });

  it("lists and texts whose offsets lead elsewhere, and rows without bytes", async () => {
    const whole = readFileSync(path.join(FORMATS, "history.arrow"));
    let refused = 0;
    for (let at = whole.length - 700; at + 4 <= whole.length; at += 4) {
      const bytes = Buffer.from(whole);
      bytes.writeInt32LE(at % 8 === 0 ? 0x7fffff00 : -5, at);
      const found = await outcome(put("offsets.arrow", bytes));
      if (typeof found === "string" && /before it begins|behind its column|begins before/.test(found))
        refused++;
    }
    expect(refused).toBeGreaterThan(5);
  });

  it("a negative length is refused, and so is one beyond the file", async () => {
    const whole = readFileSync(path.join(FORMATS, "stream.arrow"));
    for (const length of [-8, -2147483648, 2147483647, whole.length]) {
      const bytes = Buffer.from(whole);
      bytes.writeInt32LE(length, 4);
      expect(await outcome(put("length.arrow", bytes))).toMatch(
        /is damaged \(a message of -?\d+ bytes at 0\)/,
      );
    }
  });
});

describe("parquet", () => {
  it("places and sizes beyond the file are refused before they are read", async () => {
    const whole = readFileSync(path.join(FORMATS, "snappy.parquet"));
    const expected = await outcome(path.join(FORMATS, "snappy.parquet"));
    const footer = whole.readUInt32LE(whole.length - 8);
    let refused = 0;
    for (let at = whole.length - 8 - footer; at < whole.length - 8; at += 23) {
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] as number) ^ (0x40 >> (at % 3));
      if ((await outcome(put("footer.parquet", bytes))) !== expected) refused++;
    }
    expect(refused).toBeGreaterThan(1);
  });

  it.each([
    ["text", 'two columns named "text"'],
    ["tent", 'a column "tent" that its schema lacks'],
  ])("a group whose second column is called %s: one error, before a page is read", async (name, message) => {
    // hyparquet waits for the first column of a name alone: a second one that fails would end the process
    const whole = readFileSync(path.join(FORMATS, "none.parquet"));
    const at = whole.length - 8 - whole.readUInt32LE(whole.length - 8);
    const footer = whole.subarray(at, -8).toString("latin1");
    const renamed = footer.replaceAll("\x19\x18\x05score", `\x19\x18\x04${name}`);
    const size = Buffer.alloc(4);
    size.writeUInt32LE(renamed.length);
    const bytes = Buffer.concat([
      whole.subarray(0, at),
      Buffer.from(renamed, "latin1"),
      size,
      Buffer.from("PAR1"),
    ]);
    expect(await outcome(put("names.parquet", bytes))).toContain(message);
  });
});

describe("parquet pages", () => {
  // what the runs and headers of snappy.parquet's pages can be made to say
  it("one bit after the other in the pages: rows or one error, and no memory by what a run says", {
    timeout: 120_000,
  }, async () => {
    const whole = readFileSync(path.join(FORMATS, "snappy.parquet"));
    const before = process.memoryUsage().rss;
    const unheard: unknown[] = [];
    const onUnheard = (error: unknown): void => void unheard.push(error);
    process.on("unhandledRejection", onUnheard);
    try {
      for (let at = 4; at < Math.min(whole.length, 700); at += 11) {
        const bytes = Buffer.from(whole);
        bytes[at] = (bytes[at] as number) ^ (1 << (at % 8));
        await outcome(put("page.parquet", bytes));
      }
      await new Promise((resolve) => setImmediate(resolve));
    } finally {
      process.off("unhandledRejection", onUnheard);
    }
    expect(unheard).toEqual([]);
    expect(process.memoryUsage().rss - before).toBeLessThan(1e9);
  });

  it("a run of two thousand million values in a page of forty is refused", () => {
    const column = {
      bytes: 64,
      values: 40,
      codec: "UNCOMPRESSED",
      type: "BYTE_ARRAY",
      repetitionLevel: 0,
      definitionLevel: 1,
    };
    // levels of 6 bytes: one run-length run of (0xfffffffe >> 1) values
    const levels = [6, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0x0f, 1];
    const page = (length: number): Uint8Array =>
      // field 1: type 0; 2 and 3: sizes; 5: {1: 40 values, 2: PLAIN, 3: RLE, 4: RLE}
      Uint8Array.from([
        0x15,
        0,
        0x15,
        2 * length,
        0x15,
        2 * length,
        0x2c,
        0x15,
        80,
        0x15,
        0,
        0x15,
        6,
        0x15,
        6,
        0,
        0,
      ]);
    const chunk = Uint8Array.from([...page(levels.length), ...levels]);
    expect(() => walkPages(chunk, column, 1e6, new Map())).toThrow(
      /a run of 2147483647 values in a page of 40/,
    );
    const right = Uint8Array.from([...page(6), 2, 0, 0, 0, 80, 1]);
    expect(() => walkPages(right, column, 1e6, new Map())).not.toThrow();
  });
});

describe("tokens.json", () => {
  const RECIPE = {
    dataset: "main",
    dataset_dir: path.join(FIXTURES, "corpus"),
    cutoff_len: 32,
    packing: true,
  };
  let whole: string;
  beforeAll(async () => {
    whole = path.join(dir, "tokens");
    await prepareTrainingData({ ...RECIPE, tokenized_path: whole }, tokenizer);
  });

  const change = (
    name: string,
    edit: (contents: { sets: Record<string, unknown>[]; summary: unknown }) => void,
  ): string => {
    const folder = path.join(dir, name);
    cpSync(whole, folder, { recursive: true });
    const file = path.join(folder, "tokens.json");
    const contents = JSON.parse(readFileSync(file, "utf8"));
    edit(contents);
    writeFileSync(file, JSON.stringify(contents));
    return folder;
  };

  const cases: [string, (set: Record<string, unknown>) => void, RegExp][] = [
    [
      "no tokens in any number of blocks",
      (set) => Object.assign(set, { lengths: 0, blocks: 1e13 }),
      /sets\[0\]: lengths has not one number above 0 a block/,
    ],
    ["more blocks than the file has", (set) => Object.assign(set, { blocks: 1e13 }), /cut short, or longer/],
    [
      "half a block",
      (set) => Object.assign(set, { blocks: 1.5 }),
      /sets\[0\]\.blocks: a whole number from 0 is needed/,
    ],
    [
      "less than none",
      (set) => Object.assign(set, { blocks: -1 }),
      /sets\[0\]\.blocks: a whole number from 0 is needed/,
    ],
    [
      "lengths of other blocks",
      (set) => Object.assign(set, { lengths: [1, 2] }),
      /not one number above 0 a block/,
    ],
    [
      "a length that is none",
      (set) => Object.assign(set, { lengths: [null], blocks: 1 }),
      /sets\[0\]\.lengths\[0\]: a number of tokens is needed, not null/,
    ],
    [
      "lengths as text",
      (set) => Object.assign(set, { lengths: "32" }),
      /sets\[0\]\.lengths: a whole number from 0/,
    ],
    ["a file elsewhere", (set) => Object.assign(set, { file: "../../x" }), /is no name of a file inside/],
    [
      "a file that is a number",
      (set) => Object.assign(set, { file: 3 }),
      /sets\[0\]\.file: a text is needed, not 3/,
    ],
    ["a file that is not there", (set) => Object.assign(set, { file: "none.tokens" }), /is missing/],
    [
      "another kind",
      (set) => Object.assign(set, { kind: "test" }),
      /kind: "train" or "evaluation" is needed, not "test"/,
    ],
    ["no name", (set) => delete set["name"], /sets\[0\]\.name: is missing/],
  ];
  it.each(cases)("%s is refused at once", async (name, edit, message) => {
    const folder = change(name.replaceAll(" ", "-"), ({ sets }) => edit(sets[0] as Record<string, unknown>));
    const start = process.cpuUsage();
    const loading = prepareTrainingData({ ...RECIPE, tokenized_path: folder }, tokenizer);
    await expect(loading).rejects.toThrow(UserError);
    await expect(loading).rejects.toThrow(message);
    expect(process.cpuUsage(start).user).toBeLessThan(5e6); // microseconds
  });

  it("sets that are null, and no summary, are refused", async () => {
    const nulls = change("nulls", (contents) => Object.assign(contents, { sets: [null] }));
    await expect(prepareTrainingData({ ...RECIPE, tokenized_path: nulls }, tokenizer)).rejects.toThrow(
      /sets\[0\]: an object is needed, not null/,
    );
    const bare = change("bare", (contents) => Object.assign(contents, { summary: null }));
    await expect(prepareTrainingData({ ...RECIPE, tokenized_path: bare }, tokenizer)).rejects.toThrow(
      /summary: an object is needed, not null/,
    );
  });
});
