// Reading rows: any split of the bytes into chunks gives the same rows; every defect names its file and line.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { countJsonRows as countRows, readJsonRows as readRows } from "../../../lib/data/readers/json-rows.js";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-rows-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function file(content: string | Uint8Array, name = "rows.jsonl"): string {
  const target = path.join(dir, name);
  writeFileSync(target, content);
  return target;
}

async function rows(target: string, chunkBytes?: number) {
  const all = [];
  for await (const row of readRows(target, chunkBytes)) all.push(row);
  return all;
}

const ROWS = [
  { text: "春眠不覺曉，🙂 處處聞啼鳥" },
  { text: 'quotes " and \\ backslashes \\" and brackets ]}[{,', nested: { deep: [[{}], "]"] } },
  { text: 'one quote " then }] alone, and a backslash at the end \\' },
  { text: "line\r\nbreak\u2028 \u0000" },
  { text: "" },
  {},
  { text: "x".repeat(300) },
];

const FORMS: Record<string, string> = {
  "one object a line": ROWS.map((row) => JSON.stringify(row)).join("\n"),
  "lines, CRLF, blanks": `\r\n \t\r\n${ROWS.map((row) => JSON.stringify(row)).join("\r\n\r\n")}\r\n\r\n`,
  "an array on one line": JSON.stringify(ROWS),
  "an indented array, CRLF": `\n ${JSON.stringify(ROWS, null, 2).replaceAll("\n", "\r\n")}\r\n`,
};

describe("rows", () => {
  for (const [form, text] of Object.entries(FORMS)) {
    for (const mark of ["", "\uFEFF"]) {
      it(`${form}${mark ? ", with a byte order mark" : ""}: equal for every chunk size`, async () => {
        const target = file(mark + text);
        for (const size of [1, 2, 3, 5, 7, 64, 1 << 18]) {
          expect((await rows(target, size)).map((row) => row.value)).toEqual(ROWS);
        }
        expect(await countRows(target)).toBe(ROWS.length);
      });
    }
  }

  it("know the line they begin on", async () => {
    const lines = await rows(file('\n{"a":1}\r\n\r\n{"a":2}'), 3);
    expect(lines.map((row) => row.line)).toEqual([2, 4]);
    const array = await rows(file('[\n{"a":\n1},\n\n{"a":2}]'), 3);
    expect(array.map((row) => row.line)).toEqual([2, 5]);
  });

  it("of an empty file, a blank one and an empty array are none", async () => {
    for (const text of ["", "\n", "\uFEFF", " \r\n\t\n", "[]", " [ ] \n"])
      expect(await rows(file(text))).toEqual([]);
  });
});

describe("defects name file and line", () => {
  const bad: [string, string | Uint8Array, RegExp][] = [
    ["a malformed line", '{"text":"a"}\n{"text": oops}\n', /rows\.jsonl:2: malformed JSON/],
    ["a line that is cut short", '{"text":"a"}\n\n{"text":"b', /rows\.jsonl:3: malformed JSON/],
    [
      "a line that is no object",
      '{"text":"a"}\n"b"\n',
      /rows\.jsonl:2: a row must be an object.*not a string/,
    ],
    ["a line that is null", "{}\nnull", /rows\.jsonl:2: .*not null/],
    ["two objects on a line", '{"text":"a"}{"text":"b"}', /rows\.jsonl:1: malformed JSON/],
    [
      "an array that ends early",
      '[\n{"text":"a"},\n{"text":"b"}',
      /rows\.jsonl:3: the file ends before its closing \]/,
    ],
    [
      "a row that ends early",
      '[\n{"text":"a"},\n{"text":"b\n',
      /:4: the file ends in the row that begins on line 3/,
    ],
    ["a missing comma", '[{"text":"a"}\n{"text":"b"}]', /rows\.jsonl:2: malformed JSON: a comma/],
    ["a comma too many", '[{"text":"a"},\n]', /rows\.jsonl:2: malformed JSON/],
    ["a comma first", '[,{"text":"a"}]', /rows\.jsonl:1: malformed JSON/],
    ["strings in an array", '["a", "b"]', /rows\.jsonl:1: malformed JSON: the array's rows must be objects/],
    [
      "text behind the array",
      '[{"text":"a"}]\n{"text":"b"}',
      /rows\.jsonl:2: malformed JSON: something follows/,
    ],
    ["a defect inside an element", '[{"text":"a"},\n{"text":oops}]', /rows\.jsonl:2: malformed JSON/],
    ["a wrong bracket inside an element", '[{"text":["a"}}]', /rows\.jsonl:1: malformed JSON/],
    [
      "invalid UTF-8",
      Buffer.from('{"text":"a"}\n{"text":"\xff"}\n', "latin1"),
      /rows\.jsonl:2: not valid UTF-8/,
    ],
    ["UTF-16", Buffer.from('\uFEFF{"text":"a"}', "utf16le"), /rows\.jsonl:1: not valid UTF-8/],
    ["plain text", "once upon a time\n", /rows\.jsonl:1: malformed JSON/],
  ];
  for (const [what, content, message] of bad) {
    it(what, async () => {
      const target = file(content);
      for (const size of [1, 4, 1 << 16]) {
        const failure = await rows(target, size).catch((error: Error) => error);
        expect(failure).toMatchObject({ name: "UserError", message: expect.stringMatching(message) });
        expect((failure as Error).message).not.toContain("\n");
      }
    });
  }

  it("a file that is not there", async () => {
    await expect(rows(path.join(dir, "none.jsonl"))).rejects.toMatchObject({ name: "UserError" });
  });
});
