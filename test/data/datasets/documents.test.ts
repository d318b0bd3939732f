// Which text a row gives, and what dataset_info.json may say.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readDatasetInfo, readDocuments } from "../../../lib/data/index.js";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-documents-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function info(entry: unknown): void {
  writeFileSync(path.join(dir, "dataset_info.json"), JSON.stringify({ it: entry }));
}

async function documents(rows: unknown[], entry: Record<string, unknown> = { columns: { prompt: "text" } }) {
  writeFileSync(path.join(dir, "rows.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
  info({ file_name: "rows.jsonl", ...entry });
  const all = [];
  for await (const text of readDocuments(readDatasetInfo(dir, ["it"])[0]!)) all.push(text);
  return all;
}

describe("a row's text", () => {
  it("is the prompt, then the query on a new line; null and absent are empty; the output plays no part", async () => {
    const rows = [
      { instruction: "a", input: "b", output: "c" },
      { instruction: "a", input: "" },
      { instruction: null, input: "b" },
      { input: null },
    ];
    expect(await documents(rows, {})).toEqual(["a\nb", "a", "b", ""]);
  });

  it("comes from the named columns only", async () => {
    const rows = [{ text: "a", input: "ignored", more: "b" }];
    expect(await documents(rows)).toEqual(["a"]);
    expect(await documents(rows, { columns: { prompt: "text", query: "more" } })).toEqual(["a\nb"]);
    expect(await documents(rows, { columns: { query: "more" } })).toEqual(["b"]);
  });

  it("may stand in a column that is named like a property of every object", async () => {
    expect(await documents([{ constructor: "a" }, {}], { columns: { prompt: "constructor" } })).toEqual([
      "a",
      "",
    ]);
    await expect(documents([{ text: "a" }], { columns: { prompt: "toString" } })).rejects.toThrow(
      /is missing/,
    );
  });

  it("must be text", async () => {
    for (const [value, kind] of [
      [1, "a number"],
      [["a"], "an array"],
      [{}, "an object"],
      [false, "a boolean"],
    ] as const) {
      await expect(documents([{ text: "a" }, { text: value }])).rejects.toThrow(
        new RegExp(`rows\\.jsonl:2: column "text" must be text, not ${kind}`),
      );
    }
    await expect(documents([{ text: "a\ud83d" }])).rejects.toThrow(
      /rows\.jsonl:1: column "text" has half of a surrogate/,
    );
    expect(await documents([{ text: "a🙂" }])).toEqual(["a🙂"]);
  });

  it("in a column that no row has is an error that offers one that is there", async () => {
    await expect(documents([{ content: "a", id: 1 }])).rejects.toThrow(
      /rows\.jsonl: column "text" is missing; the rows have: content, id; set "columns": \{"prompt": "content"\}/,
    );
    await expect(documents([{ text: "a" }], {})).rejects.toThrow(
      /column "instruction".*\{"prompt": "text"\}/,
    );
  });

  it("a misspelt column is found out early in a long file", async () => {
    const entry = { columns: { prompt: "nope" } };
    const rows: unknown[] = [...Array.from({ length: 1000 }, () => ({ text: "a" })), "a defect of line 1001"];
    await expect(documents(rows, entry)).rejects.toThrow(/column "nope"/);
  });
});

describe("dataset_info.json", () => {
  it("a hub's entry says what to fetch: ModelScope where it is asked for or alone, else Hugging Face", () => {
    info({ hf_hub_url: "a/b", ms_hub_url: "c/d", subset: "zh", licence: "noted" });
    expect(readDatasetInfo(dir, ["it"])[0]!.source).toEqual({
      hub: "huggingface",
      repo: "a/b",
      subset: "zh",
      folder: undefined,
      split: "train",
    });
    expect(readDatasetInfo(dir, ["it"], true)[0]!.source).toMatchObject({ hub: "modelscope", repo: "c/d" });
    info({ ms_hub_url: "c/d", split: "test", folder: "data" });
    expect(readDatasetInfo(dir, ["it"])[0]!.source).toMatchObject({
      hub: "modelscope",
      repo: "c/d",
      split: "test",
      folder: "data",
    });
    expect(readDatasetInfo("ONLINE", ["a/b"])[0]).toMatchObject({
      source: { hub: "huggingface", repo: "a/b" },
      columns: { prompt: "instruction", query: "input" },
    });
  });

  it("a folder may mix .json and .jsonl", async () => {
    mkdirSync(path.join(dir, "many"));
    writeFileSync(path.join(dir, "many/b.jsonl"), '{"text":"2"}');
    writeFileSync(path.join(dir, "many/a.json"), '[{"text":"1"}]');
    info({ file_name: "many", columns: { prompt: "text" } });
    const all = [];
    for await (const text of readDocuments(readDatasetInfo(dir, ["it"])[0]!)) all.push(text);
    expect(all.sort()).toEqual(["1", "2"]);
  });

  it("an absolute path is taken as it is", () => {
    writeFileSync(path.join(dir, "rows.jsonl"), "");
    info({ file_name: path.join(dir, "rows.jsonl") });
    expect(readDatasetInfo(dir, ["it"])[0]!.files).toEqual([path.join(dir, "rows.jsonl")]);
  });

  const local = { file_name: "rows.jsonl" };
  const refused: [string, unknown, RegExp][] = [
    ["a hub id that is none", { hf_hub_url: "https://x/y/z" }, /it: hf_hub_url must be a repository such as/],
    ["another hub", { om_hub_url: "a/b" }, /om_hub_url: that hub is not fetched from/],
    ["a subset that is no text", { hf_hub_url: "a/b", subset: 3 }, /it: subset must be a text/],
    ["a script", { script_url: "x" }, /script_url: loading scripts are not run/],
    ["a cloud file", { cloud_file_name: "s3://x" }, /cloud_file_name: cloud storage is not read/],
    ["ranking", { ...local, ranking: true }, /a ranking dataset does not fit/],
    [
      "an unknown formatting",
      { ...local, formatting: "chatml" },
      /formatting "chatml" is unknown; use alpaca/,
    ],
    ["a split", { ...local, split: "train[:10]" }, /split "train\[:10\]"/],
    ["a subset", { ...local, subset: "x" }, /subset has no meaning/],
    ["no file", {}, /file_name is missing/],
    ["a file that is not there", { file_name: "none.json" }, /none\.json does not exist/],
    ["another type", { file_name: "rows.docx" }, /rows\.docx is not of a supported type: \.arrow, \.csv/],
    ["columns without text", { ...local, columns: { response: "x" } }, /columns names no text/],
    [
      "a column that is no name",
      { ...local, columns: { prompt: 3 } },
      /columns\.prompt must be a column's name/,
    ],
    [
      "num_samples of 0",
      { ...local, num_samples: 0 },
      /num_samples must be a whole number of at least 1, not 0/,
    ],
    ["an entry that is no object", "rows.jsonl", /it: must be an object/],
  ];
  for (const [what, entry, message] of refused) {
    it(`refuses ${what}`, () => {
      writeFileSync(path.join(dir, "rows.jsonl"), "");
      writeFileSync(path.join(dir, "rows.docx"), "");
      info(entry);
      expect(() => readDatasetInfo(dir, ["it"])).toThrow(message);
    });
  }

  it("refuses a repository as dataset_dir, a missing and a malformed file", () => {
    expect(() => readDatasetInfo("REMOTE:a/b", ["it"])).toThrow(/dataset_dir: REMOTE:a\/b: .*is not fetched/);
    expect(() => readDatasetInfo(path.join(dir, "none"), ["it"])).toThrow(/does not exist; set dataset_dir/);
    writeFileSync(path.join(dir, "dataset_info.json"), "{");
    expect(() => readDatasetInfo(dir, ["it"])).toThrow(/dataset_info\.json:\d+: malformed JSON/);
  });
});
