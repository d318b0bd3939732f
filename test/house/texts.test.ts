// What may not stand in any file of the repository: paths of somebody's machine, registries' addresses, plans,
// names that say nothing; and words that are not the field's in what a user or a contributor reads.
import { execFileSync } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const listed = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
  cwd: root,
  encoding: "utf8",
});
const self = "test/house/texts.test.ts";
const files = listed
  .split("\0")
  .filter((name) => name !== "" && name !== self && !name.endsWith(".lock/pid"))
  .filter((name) => statSync(path.join(root, name), { throwIfNoEntry: false })?.isFile());
const isText = (name: string) =>
  /\.(ts|mts|mjs|js|json|jsonl|ya?ml|md|cc|h|txt|gyp|py|sh|ipynb)$|^\.ci\/run$|^\.npmrc$/.test(name);
const texts = files
  .filter(isText)
  .map((name) => ({ name, text: readFileSync(path.join(root, name), "utf8") }));
const code = texts.filter(({ name }) => /\.(ts|mjs|cc|h)$/.test(name));

/** "file:line: text" for each line that matches. */
function hits(list: typeof texts, pattern: RegExp): string[] {
  return list.flatMap(({ name, text }) =>
    pattern.test(text)
      ? text
          .split("\n")
          .flatMap((line, i) =>
            pattern.test(line) ? [`${name}:${i + 1}: ${line.trim().slice(0, 100)}`] : [],
          )
      : [],
  );
}

describe("texts", () => {
  it("finds the files", () => {
    expect(code.length).toBeGreaterThan(20);
  });

  it("name no path of a machine", () => {
    expect(
      hits(texts, /(^|[\s"'`=(:])(\/work\/|\/tmp\/w\/|\/root\/|\/home\/[a-z]+\/|C:\\Users)|\.\.\/shared\b/),
    ).toEqual([]);
  });

  it("name no registry's address", () => {
    const registries =
      /registry\.npmjs\.org|registry\.npmmirror|pypi\.(org|tuna)|pythonhosted\.org|\/simple\/?["'`\s]/;
    expect(hits(texts, registries)).toEqual([]);
    const torchIndex = hits(texts, /download\.pytorch\.org/).filter(
      (line) => !line.startsWith("scripts/libtorch.mjs:"),
    );
    expect(torchIndex).toEqual([]);
  });

  it("the lock file keeps no address either", () => {
    expect(readFileSync(path.join(root, "package-lock.json"), "utf8")).not.toMatch(/"resolved": "http/);
  });

  it("hold no plans", () => {
    expect(hits(code, /\b(TODO|FIXME|XXX|HACK)\b/)).toEqual([]);
  });
});

/** Calques and old words, and what is written instead. */
const WORDS: readonly (readonly [word: RegExp, instead: string])[] = [
  [/\banew\b/i, "again, start over, rebuilt"],
  [/\bof (its|our|their|your|one's) own\b/i, "its own X, separate"],
  [/\bto be had\b/i, "available"],
  [/\bso many\b/i, "this many, a number of"],
  [/\bdear(er|est|ly)?\b/i, "expensive"],
  [/\b(affairs?|business)\b/i, "see x.ts"],
  [/\b(thither|hitherto|whence)\b/i, "there, so far, from where"],
  [/\bpassed over\b/i, "skipped, ignored"],
  [/\bgot over\b/i, "recovered from"],
  [/\bgone on with\b/i, "resumed, continued"],
  [/\b(comes?|came|coming) to\b/i, "is, results in, reaches"],
  [/\ball the same\b/i, "anyway, still"],
  [/\bin silence\b/i, "silently"],
];
/** A text in one line: a phrase may be split between two lines of a comment. */
const joined = (text: string) => text.replace(/\n[ \t]*(?:\/{2,3}|\*(?!\/)|#)?[ \t]*/g, " ");

/** "file: ...phrase..." for each word of WORDS, with what to write instead. */
function wordHits(list: typeof texts): string[] {
  return list.flatMap(({ name, text }) => {
    const line = joined(text);
    return WORDS.flatMap(([word, instead]) =>
      [...line.matchAll(new RegExp(word, "gi"))].map(
        ({ index }) => `${name}: ...${line.slice(Math.max(0, index - 30), index + 40)}... (${instead})`,
      ),
    );
  });
}

describe("words", () => {
  it("of messages, comments and documentation are the field's", () => {
    const read = texts.filter(
      ({ name }) =>
        /^(lib|native|scripts|docs|examples|bench|test)\/|^(README|CHANGELOG|CONTRIBUTING)\.md$/.test(name) &&
        !/^test\/(fixtures\/|house\/texts)/.test(name),
    );
    expect(read.length).toBeGreaterThan(300);
    expect(wordHits(read)).toEqual([]);
  });

  it("are found across the lines of a comment", () => {
    const text = "/**\n * A file of\n * its own, made\n */\n// What a run came\n// to.\n";
    expect(wordHits([{ name: "x.ts", text }]).map((hit) => hit.replace(/.*\((.*)\)$/, "$1"))).toEqual([
      "its own X, separate",
      "is, results in, reaches",
    ]);
  });
});

describe("names", () => {
  it("of files say what is in them", () => {
    // headers in place of gloo's and libtorch's have those names
    const own = files.filter((name) => !/^native\/distributed\/(gloo|fake\/torch)\//.test(name));
    expect(own.filter((name) => /(^|\/)(utils?|helpers?|misc|common)(\/|\.)/i.test(name))).toEqual([]);
  });

  it("of declarations say what they are", () => {
    const declared =
      /\b(class|struct|interface|type|function|const|let)\s+\w*(Manager|Impl|Helpers?|Utils?)\b/;
    expect(hits(code, declared)).toEqual([]);
  });

  it("each source file, or the header beside it, begins by saying what it is", () => {
    const own = code.filter(({ name }) => /^(lib|native|scripts)\//.test(name));
    const stem = (name: string) => name.replace(/\.\w+$/, "");
    const said = own
      .filter(({ text }) => /^(#!.*\n)?(#pragma once\s+)?(\/\/|\/\*)/.test(text))
      .map(({ name }) => stem(name));
    expect(own.map(({ name }) => name).filter((name) => !said.includes(stem(name)))).toEqual([]);
  });
});
