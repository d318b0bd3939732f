// The reader of JSON files: what is of its shape comes back as it is, whatever else is one line with file and place.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { UserError } from "../../lib/errors.js";
import { jsonOf, readJsonFile, recallJson } from "../../lib/files/json-file.js";
import {
  anything,
  count,
  flag,
  list,
  nullable,
  number,
  object,
  oneOf,
  optional,
  sha256,
  table,
  text,
} from "../../lib/files/shape.js";

const dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-json-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const SHAPE = object({
  format: oneOf(1, 2),
  step: count,
  loss: nullable(number),
  done: optional(flag),
  files: table(object({ bytes: count, hash: optional(sha256) })),
  names: list(text),
  more: anything,
});
const GOOD = {
  format: 1,
  step: 3,
  loss: 0.5,
  files: { "a.b": { bytes: 4 } },
  names: ["x"],
  more: null,
  other: [1],
};

const read = (content: string) => jsonOf(content, "state.json", SHAPE, { remedy: "write it again" });

describe("a file of the shape", () => {
  it("comes back as it is, other keys included", () => {
    expect(read(JSON.stringify(GOOD))).toEqual(GOOD);
    expect(read(`\uFEFF${JSON.stringify({ ...GOOD, loss: null, done: true })}`).loss).toBeNull();
  });

  it("of Python's, with NaN and Infinity", () => {
    const found = jsonOf('{"loss": NaN}', "x", object({ loss: anything }), { python: true });
    expect(found.loss).toBeNaN();
  });

  it("a name such as __proto__ is a name like others", () => {
    const found = jsonOf('{"__proto__": {"bytes": 1}}', "x", table(object({ bytes: count })));
    expect(Object.keys(found)).toEqual(["__proto__"]);
    expect(() => jsonOf('{"__proto__": {"step": 1}}', "x", object({ step: count }))).toThrow(
      "x: step: is missing",
    );
  });
});

describe("a file of another shape is refused with the place", () => {
  const cases: [string, unknown, string][] = [
    ["null", null, "an object is needed, not null"],
    ["a list", [], "an object is needed, not []"],
    ["a text", "x", 'an object is needed, not "x"'],
    ["a key that is missing", { ...GOOD, step: undefined }, "step: is missing"],
    ["a number as text", { ...GOOD, step: "3" }, 'step: a whole number from 0 is needed, not "3"'],
    ["a fraction", { ...GOOD, step: 0.5 }, "step: a whole number from 0 is needed, not 0.5"],
    ["less than none", { ...GOOD, step: -1 }, "step: a whole number from 0 is needed, not -1"],
    ["more than a double holds", { ...GOOD, step: 2 ** 60 }, "step: a whole number from 0 is needed"],
    ["another version", { ...GOOD, format: 3 }, "format: 1 or 2 is needed, not 3"],
    ["a loss that is a text", { ...GOOD, loss: "NaN" }, 'loss: a number is needed, not "NaN"'],
    ["a flag that is 1", { ...GOOD, done: 1 }, "done: true or false is needed, not 1"],
    ["a null in a table", { ...GOOD, files: { "a.b": null } }, 'files."a.b": an object is needed, not null'],
    [
      "a hash that is none",
      { ...GOOD, files: { a: { bytes: 1, hash: "../x" } } },
      "files.a.hash: a SHA-256 is needed",
    ],
    ["a null in a list", { ...GOOD, names: ["a", null] }, "names[1]: a text is needed, not null"],
    ["an object for a list", { ...GOOD, names: { 0: "a" } }, 'names: a list is needed, not {"0":"a"}'],
  ];
  it.each(cases)("%s", (_, value, message) => {
    expect(() => read(JSON.stringify(value))).toThrow(UserError);
    expect(() => read(JSON.stringify(value))).toThrow(`state.json: ${message}`);
    expect(() => read(JSON.stringify(value))).toThrow(/; write it again$/);
  });

  it.each([
    ["cut short", '{"step": 1', "state.json:1: malformed JSON (it ends in the middle"],
    ["empty", "", "state.json:1: malformed JSON"],
    ["infinite", JSON.stringify(GOOD).replace("0.5", "1e999"), "state.json: loss: a number is needed"],
    ["nested without end", "[".repeat(200_000), "state.json:1: malformed JSON"],
  ])("%s", (_, content, message) => {
    expect(() => read(content)).toThrow(UserError);
    expect(() => read(content)).toThrow(message);
  });

  it("one that cannot be read says so, with what to do", () => {
    const missing = path.join(dir, "none.json");
    expect(() => readJsonFile(missing, SHAPE, { missing: "is not there", remedy: "write it" })).toThrow(
      `${missing}: is not there; write it`,
    );
    expect(() => readJsonFile(dir, SHAPE)).toThrow(`${dir}: cannot be read (`);
  });
});

it("a file that only spares work is asked, and skipped where it is damaged", () => {
  const file = path.join(dir, "cache.json");
  expect(recallJson(file, SHAPE)).toBeUndefined();
  for (const content of ["", "null", '{"step": "1"}', "\0", "[".repeat(1e5)]) {
    writeFileSync(file, content);
    expect(recallJson(file, SHAPE)).toBeUndefined();
  }
  writeFileSync(file, JSON.stringify(GOOD));
  expect(recallJson(file, SHAPE)).toEqual(JSON.parse(readFileSync(file, "utf8")));
});

it("no JSON file is parsed around the reader", () => {
  const lib = new URL("../../lib/", import.meta.url);
  // what is no file, or has a reader of its kind: rows of corpora, recipes, answers of hubs and of Python, kept tensors
  const others = [
    "files/json.ts",
    "files/json-file.ts",
    "files/python-json.ts",
    "data/readers/json-rows.ts",
    "data/tokenizer/engines.ts",
    "config/syntax/read.ts",
    "config/values/scheduler-settings.ts",
    "hub/transfer/http.ts",
    "trackers/python/bridge.ts",
    "trackers/python/interpreter.ts",
    "distributed/rendezvous.ts",
    "train/strategy/gather-json.ts",
    "nn/quantized/quant-state.ts",
    // values that are checked key by key, each with its own remedy
    "config/rules/settings-file.ts",
    "data/datasets/dataset-info.ts",
    "init/dataset.ts",
    "models/files/config-file.ts",
    "peft/adapter-files.ts",
    // of this package itself
    "version.ts",
    "torch/native.ts",
    "cli/commands/env.ts",
    "doctor/gpu/examine.ts",
  ];
  const around = readdirSync(lib, { recursive: true, encoding: "utf8" }).filter(
    (name) =>
      name.endsWith(".ts") && /\b(?:JSON\.parse|parseJson)\(/.test(readFileSync(new URL(name, lib), "utf8")),
  );
  expect(around.filter((name) => !others.includes(name))).toEqual([]);
  expect(others.filter((name) => !around.includes(name))).toEqual([]);
});
