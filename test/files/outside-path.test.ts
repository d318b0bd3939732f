// The gate for names from outside: what leads out of a folder on any system is refused, links included, and nothing in
// lib/hub builds a path from such names around it.
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UserError } from "../../lib/errors.js";
import { insideFolder, isContentHash, isSize } from "../../lib/files/outside-path.js";

let root: string;
beforeAll(() => {
  root = mkdtempSync(path.join(tmpdir(), "qwen-pt-gate-"));
  mkdirSync(path.join(root, "repo", "blobs"), { recursive: true });
  mkdirSync(path.join(root, "repo", "snapshots"));
  writeFileSync(path.join(root, "repo", "blobs", "b"), "");
  writeFileSync(path.join(root, "secret"), "");
  symlinkSync("../blobs/b", path.join(root, "repo", "snapshots", "good"));
  symlinkSync("../../secret", path.join(root, "repo", "snapshots", "bad"));
  symlinkSync("../..", path.join(root, "repo", "snapshots", "up"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const snapshot = () => path.join(root, "repo", "snapshots");

describe("names", () => {
  it("of a folder's files pass", () => {
    expect(insideFolder("/a/b", "c/d..e.json", "x")).toBe(path.join("/a/b", "c", "d..e.json"));
  });

  it.each([
    "../x",
    "a/../../x",
    "..",
    ".",
    "",
    "/etc/passwd",
    "a//b",
    "a\\..\\b",
    "C:x",
    "x\0.json",
    12,
    null,
    undefined,
    {},
    [["a"]],
  ])("%j is refused", (name) => {
    expect(() => insideFolder("/a/b", name, "index.json")).toThrow(UserError);
    expect(() => insideFolder("/a/b", name, "index.json")).toThrow(
      /^index\.json: .*is no name of a file inside/,
    );
  });

  it("links may lead to the repository's blobs, and nowhere else", () => {
    const repo = path.join(root, "repo");
    expect(insideFolder(snapshot(), "good", "x", repo)).toBe(path.join(snapshot(), "good"));
    expect(() => insideFolder(snapshot(), "bad", "x", repo)).toThrow(/is a link to .*secret, outside of/);
    expect(() => insideFolder(snapshot(), "up/secret", "x", repo)).toThrow(/outside of/);
    expect(() => insideFolder(snapshot(), "good", "x")).toThrow(/outside of/);
    expect(insideFolder(snapshot(), "bad", "x", null)).toBe(path.join(snapshot(), "bad"));
  });
});

it("a hash has the length of one, and its digits", () => {
  expect(["a".repeat(40), "0".repeat(64)].every(isContentHash)).toBe(true);
  const wrong = [
    "",
    "a".repeat(39),
    "a".repeat(41),
    "A".repeat(40),
    `${"a".repeat(37)}/..`,
    "g".repeat(64),
    1,
    null,
  ];
  expect(wrong.some(isContentHash)).toBe(false);
});

it("a size is a whole number of bytes", () => {
  expect([0, 1, 2 ** 40].every(isSize)).toBe(true);
  expect([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, "1", null].some(isSize)).toBe(false);
});

it("no path is built from outside text around the gate", () => {
  const hub = new URL("../../lib/hub/", import.meta.url);
  const sources = readdirSync(hub, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => ["lib/hub/", name, new URL(name, hub)] as const);
  const data = new URL("../../lib/data/tokenized-path/llamafactory-dataset.ts", import.meta.url);
  const shards = new URL("../../lib/models/files/checkpoint-files.ts", import.meta.url);
  const all = [
    ...sources,
    ["lib/data/tokenized-path/", "llamafactory-dataset.ts", data],
    ["lib/models/files/", "checkpoint-files.ts", shards],
    ["lib/train/checkpoint/", "folder.ts", new URL("../../lib/train/checkpoint/folder.ts", import.meta.url)],
  ] as const;
  const around = all.flatMap(([folder, name, url]) => {
    const lines = readFileSync(url, "utf8").split("\n");
    // names that hold what a hub, an index or another program's file said
    const outside =
      /\b(?:path\.)?join\([^)]*\b(?:file|filename|hash|oid|commit|revision|shard|split|name\.split|file\.split)\b(?!:)/;
    return lines.flatMap((line, at) =>
      outside.test(line) ? [`${folder}${name}:${at + 1}: ${line.trim()}`] : [],
    );
  });
  expect(around).toEqual([]);
});
