// Faults of JSON files in plain words, held against JSON.parse: the scan must refuse what it refuses, and only that.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { UserError } from "../../lib/errors.js";
import { jsonFault, parseJson, writeJson } from "../../lib/files/json.js";

const ENGINE = new Error("the engine's own words");

describe("a fault in a JSON file", () => {
  it.each([
    ['{\n"a": 1\n"b": 2}', 3, "a comma or the closing } is missing before"],
    ['{\n"a": 1,\n}', 3, "the comma before } is one too many"],
    ["[1,\n2,]", 2, "the comma before ] is one too many"],
    ['{"a" 1}', 1, "a colon is missing before 1"],
    ["{a: 1}", 1, "a name in double quotes is expected before a"],
    ["{'a': 1}", 1, "' is no quote in JSON"],
    ['{"a":\n“b”}', 2, "“ is no quote in JSON"],
    ['{"a"： 1}', 1, "： is full-width"],
    ['{"a": True}', 1, "a value is expected before True"],
    ['{"a": 01}', 1, "a value is expected before 01"],
    ['{"a": NaN}', 1, "a value is expected before NaN"],
    ['{\n// note\n"a": 1}', 2, "JSON has no comments"],
    ['{"a": "C:\\data"}', 1, "a backslash in a text is written twice"],
    ['{"a": "one\ntwo"}', 1, "a text is not closed on its line"],
    ['{"a": "one', 1, "it ends in the middle"],
    ['{"a":\n', 2, "it ends in the middle"],
    ["", 1, "it ends in the middle"],
    ['{"a": 1}\n{"b": 2}', 2, "something follows the closing bracket"],
  ])("%j", (text, line, what) => {
    expect(() => JSON.parse(text)).toThrow();
    expect(jsonFault(text, ENGINE)).toEqual({ line, what: expect.stringContaining(what) });
  });

  it.each([
    "{}",
    "[]",
    ' {"a": [1, -2.5e+3, "\\u00e9\\n\\"", true, null, {"b": {}}]}\n',
    '"\u007f\u0085古😀"',
    "0",
  ])("is not found in %j", (text) => {
    JSON.parse(text);
    expect(jsonFault(text, ENGINE).what).toBe(ENGINE.message);
  });

  it("that is nested too deeply for the scan keeps the engine's words", () => {
    expect(jsonFault("[".repeat(1e6), ENGINE)).toEqual({ line: 1, what: ENGINE.message });
  });

  it("names file, line and remedy", () => {
    expect(() => parseJson("{\n", "it.json", "copy it again")).toThrow(UserError);
    expect(() => parseJson("{\n", "it.json", "copy it again")).toThrow(
      "it.json:2: malformed JSON (it ends in the middle: it is cut short); copy it again",
    );
  });
});

it("a JSON file that cannot be written leaves the old one and nothing else", () => {
  const dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-json-"));
  try {
    const file = path.join(dir, "it.json");
    writeJson(file, { a: 1 });
    expect(readFileSync(file, "utf8")).toBe('{\n  "a": 1\n}\n');
    mkdirSync(path.join(dir, "folder"));
    writeFileSync(path.join(dir, "folder", "x"), "");
    expect(() => writeJson(path.join(dir, "folder"), {})).toThrow(UserError);
    expect(readdirSync(dir).sort()).toEqual(["folder", "it.json"]);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
