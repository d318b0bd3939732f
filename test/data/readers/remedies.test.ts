// What the program says to do about a file of rows that it refuses: each remedy is done here, and the file is read then.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readDatasetInfo, readDocuments } from "../../../lib/data/index.js";
import { messageOf } from "../../../lib/errors.js";

const dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-remedies-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function documents(name: string, content: string, columns: object = { prompt: "text" }) {
  writeFileSync(path.join(dir, name), content);
  writeFileSync(path.join(dir, "dataset_info.json"), JSON.stringify({ rows: { file_name: name, columns } }));
  const texts: string[] = [];
  try {
    for await (const text of readDocuments(readDatasetInfo(dir, ["rows"])[0]!)) texts.push(text);
  } catch (error) {
    return messageOf(error).replaceAll(`${dir}${path.sep}`, "");
  }
  return texts;
}

const columnsIn = (said: string | string[]) =>
  JSON.parse(/"columns": (\{.*\}) in/.exec(String(said))![1]!) as object;

describe("a file that is refused says what to do", () => {
  it("cells between semicolons, tabs or bars: commas", async () => {
    for (const [mark, name] of [
      [";", '";"'],
      ["\t", "tabs"],
      ["|", '"|"'],
    ] as const) {
      const content = `text${mark}id\none${mark}1\ntwo${mark}2\n`;
      expect(await documents("a.csv", content)).toBe(
        `a.csv: column "text" is missing; the rows have: text${mark === "\t" ? "\\t" : mark}id; its cells are separated by ${name}, and a .csv has commas: save it with commas`,
      );
      expect(await documents("a.csv", content.replaceAll(mark, ","))).toEqual(["one", "two"]);
    }
  });

  it("rows under a name: the array by itself", async () => {
    const content = '{"version": "1", "data": [{"text": "one"}, {"text": "two"}], "title": null}';
    // a column of text is there: it may be the one that is meant
    expect(await documents("a.json", content)).toMatch(/set "columns": \{"prompt": "version"\}/);
    const only = '{"data": [{"text": "one"}, {"text": "two"}]}';
    expect(await documents("a.json", only)).toBe(
      'a.json: column "text" is missing; the rows have: data; the rows lie under "data": save that array as a file by itself',
    );
    const { data } = JSON.parse(only) as { data: unknown };
    expect(await documents("a.json", JSON.stringify(data))).toEqual(["one", "two"]);
  });

  it("rows under their own names: an array without them", async () => {
    const content = '{"0": {"text": "one"}, "1": {"text": "two"}}';
    expect(await documents("a.json", content)).toMatch(/: save them as an array without the names$/);
    expect(await documents("a.json", JSON.stringify(Object.values(JSON.parse(content) as object)))).toEqual([
      "one",
      "two",
    ]);
  });

  it("columns of lists: a row for each text", async () => {
    expect(await documents("a.json", '{"text": ["one", "two"]}')).toBe(
      'a.json:1: column "text" must be text, not an array; write one row for each text',
    );
    expect(await documents("a.json", '{"text": "one"}{"text": "two"}')).toEqual(["one", "two"]);
  });

  it("a column of another name: its name, never that of a column without text", async () => {
    for (const [name, content] of [
      ["a.jsonl", '{"id": 5, "content": "one"}\n'],
      ["a.csv", "content,id\none,1\n"],
    ] as const) {
      const said = await documents(name, content);
      expect(await documents(name, content, columnsIn(said))).toEqual(["one"]);
    }
    expect(await documents("a.jsonl", '{"id": 5}\n{"id": 6}\n')).toMatch(
      /write rows such as \{"text": "\.\.\."\}/,
    );
  });

  it("a NUL byte: tr", async () => {
    const said = await documents("a.jsonl", '{"text": "o\0ne"}\n');
    const [, ...words] = /by (tr) -d '(.*)'\)/.exec(String(said))!;
    const clean = execFileSync(words[0]!, ["-d", words[1]!], { input: '{"text": "o\0ne"}\n' }).toString();
    expect(await documents("a.jsonl", clean)).toEqual(["one"]);
  });

  it("a tab, a line's end, a control character: what is written instead", async () => {
    for (const control of ["\t", "\n", "\r", "\u0001", "\u001f"]) {
      const content = `{"text": "a${control}b"}\n`;
      const said = String(await documents("a.jsonl", content));
      const [, written] = /write (\\\w+)/.exec(said)!;
      expect(await documents("a.jsonl", content.replace(control, written!))).toEqual([`a${control}b`]);
    }
  });

  it("commas: one too many in an array, any between lines", async () => {
    const array = '[{"text": "one"},\n {"text": "two"},\n]';
    expect(await documents("a.json", array)).toBe(
      "a.json:3: malformed JSON: the comma before ] is one too many",
    );
    expect(await documents("a.json", array.replace(",\n]", "]"))).toEqual(["one", "two"]);
    const lines = '{"text": "one"},\n{"text": "two"}\n';
    expect(await documents("a.jsonl", lines)).toBe(
      "a.jsonl:1: malformed JSON: rows on their own lines have no commas between them: remove it, or put all rows into [ and ]",
    );
    expect(await documents("a.jsonl", lines.replace(",", ""))).toEqual(["one", "two"]);
    expect(await documents("a.jsonl", `[${lines}]`)).toEqual(["one", "two"]);
  });

  it("a cell with a comma: quotes", async () => {
    expect(await documents("a.csv", "text,id\na, b,1\n")).toMatch(
      /put a cell that holds a comma in double quotes/,
    );
    expect(await documents("a.csv", 'text,id\n"a, b",1\n')).toEqual(["a, b"]);
  });
});
