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

describe("rows as datasets 4.0.0 reads them (a run of load_dataset)", () => {
  const forms: [string, string, unknown[]][] = [
    ["NaN and Infinity", '{"text":"a","x":NaN}\n{"text":"b","x":[Infinity,-Infinity]}\n', ["a", "b"]],
    ["NaN in an array", '[{"text":"a","x":NaN}]', ["a"]],
    ["words in a text", '{"text":"NaN \\" -Infinity","x":NaN}', ['NaN " -Infinity']],
    ["objects over several lines", '{\n "text": "a"\n}\n\n{\n "text":\n "b"}\n', ["a", "b"]],
    ["several on a line", '{"text":"a"}{"text":"b"} {"text":"c"}\n{"text":"d"}', ["a", "b", "c", "d"]],
    ["lines that end in CR", '{"text":"a"}\r{"text":"b"}\r', ["a", "b"]],
    ["a null row, lines that end in CR", 'null\r{"text":"a"}\r', [undefined, "a"]],
    ["a null row", '{"text":"a"}\nnull\n{}\n', ["a", undefined, undefined]],
    ["an array of texts", '["a",\n "b", null]', ["a", "b", null]],
    ["an array of nothing", "[null]", [null]],
    ["an array of one cell each", '[["a"],["b"],[]]', ["a", "b", null]],
    [
      "line ends and tabs in an array's texts",
      '[{"text":"a\n\tb\\\\"},\r\n{"text":"\r\n"}]',
      ["a\n\tb\\", "\r\n"],
    ],
    ["an escaped name", '{"te\\u0078t":"a"}', ["a"]],
    ["one object over lines", '{"text"\n:\n"a",\n"b":[{},[],{"c":[1,2,{"d":{}}]}]}', ["a"]],
  ];
  for (const [what, content, texts] of forms) {
    it(what, async () => {
      const target = file(content);
      for (const size of [1, 2, 3, 7, 1 << 16])
        expect((await rows(target, size)).map(({ value }) => value.text)).toEqual(texts);
      expect(await countRows(target)).toBe(texts.length);
    });
  }
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
    [
      "a comma between lines",
      '{"text":"a"},\n{"text":"b"}',
      /:1: malformed JSON: rows on their own lines have no/,
    ],
    [
      "a word behind a row",
      '{"text":"a"} xx\n',
      /rows\.jsonl:1: malformed JSON \(a value is expected before xx/,
    ],
    [
      "a tab in a text",
      '{"text":"a\tb"}\n',
      /rows\.jsonl:1: malformed JSON \(a text has a tab in it: write \\t\)/,
    ],
    ["a text over two lines", '{"text":"a\nb"}\n', /:1: malformed JSON \(a text is not closed on its line/],
    ["a NUL byte", '\n{"text":"a\0b"}\n', /:2: malformed JSON \(a text holds a NUL byte/],
    ["a control character", '{"text":"a\x01b"}\n', /:1: malformed JSON \(a text holds a control.* \\u0001/],
    ["a NUL byte in an array", '[{"text":"a\0b"}]\n', /:1: malformed JSON \(a text holds a NUL byte/],
    ["a fault behind NaN", '{"x":NaN,"text":oops}', /:1: malformed JSON \(a value is expected before oops/],
    ["no colon, then rows", '{"text" "a"}\n{"text":"b"}\n', /:1: malformed JSON \(a colon is missing/],
    ["a brace too many", '{"text":"a"}}\n', /:1: malformed JSON/],
    [
      "a bracket of another kind",
      '{"text":["a"}\n{"text":"b"}',
      /:1: malformed JSON \(a comma or the closing \]/,
    ],
    ["Python's words", '{"text":"a","x":None}\n', /:1: malformed JSON \(a value is expected before None/],
    ["a number in an array", '[{"text":"a"}, 01]', /:1: malformed JSON/],
    ["rows of several cells", '[["a", "b"]]', /:1: a row must be an object .*not an array/],
    [
      "a row that is nested without end",
      `{"a":${"[".repeat(20_000)}`,
      /:1: malformed JSON: brackets stand in/,
    ],
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
