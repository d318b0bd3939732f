// Documents that are files: a folder of .md and .txt, one document each, in an order that is alike everywhere.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { prepareTrainingData, readDatasetInfo, readDocuments } from "../../../lib/data/index.js";
import { loadTokenizer } from "../../../lib/data/tokenizer/tokenizer.js";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-whole-"));
  mkdirSync(path.join(dir, "notes", "b"), { recursive: true });
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));
const write = (name: string, content: string | Buffer): void => writeFileSync(path.join(dir, name), content);

async function documents(entry: object): Promise<string[]> {
  write("dataset_info.json", JSON.stringify({ notes: entry }));
  const found: string[] = [];
  for await (const text of readDocuments(readDatasetInfo(dir, ["notes"])[0]!)) found.push(text);
  return found;
}

it("a folder's files and those below, sorted by path; line ends as \\n, no mark, no empty lines at the end", async () => {
  write("notes/c.txt", "third\r\nline\r\n\r\n");
  write("notes/b/x.md", "\uFEFF# Second\n\n- 甲\n");
  write("notes/a.md", "---\ntitle: First\n---\n\n  text  ");
  write("notes/.hidden.md", "no");
  write("notes/picture.png", "no");
  const expected = ["---\ntitle: First\n---\n\n  text  ", "# Second\n\n- 甲", "third\nline"];
  expect(await documents({ file_name: "notes", whole_file: true })).toEqual(expected);
  expect(await documents({ file_name: "notes/a.md" })).toEqual(expected.slice(0, 1));
  expect(await documents({ file_name: "notes/c.txt", columns: { prompt: "text" } })).toEqual([
    "third",
    "line",
    "",
  ]); // LLaMA-Factory's reading
  const tagged = await documents({ file_name: "notes", whole_file: true, language_tag: "zh" });
  expect(tagged[1]).toBe("[lang=zh]# Second\n\n- 甲");
});

it("are trained on as documents, and num_samples draws among the files", async () => {
  for (let i = 0; i < 4; i++) write(`notes/${i}.md`, `note ${i}\n\nits second paragraph`);
  write(
    "dataset_info.json",
    JSON.stringify({ notes: { file_name: "notes", whole_file: true, num_samples: 3 } }),
  );
  const tokenizer = await loadTokenizer(fileURLToPath(new URL("../../../examples/model", import.meta.url)));
  const recipe = { dataset: "notes", dataset_dir: dir, cutoff_len: 8, packing: true } as never;
  const { summary } = await prepareTrainingData(recipe, tokenizer);
  expect(summary.documents).toBe(3);
});

it.each([
  [
    { file_name: "notes", whole_file: true },
    /notes: folder .*notes holds no documents; put files into it: \.md/,
  ],
  [{ file_name: "gone", whole_file: true }, /gone does not exist; correct file_name/],
  [
    { file_name: "rows.jsonl", whole_file: true },
    /rows\.jsonl is not a whole document \(.*\); remove whole_file$/,
  ],
  [{ file_name: "notes", whole_file: "yes" }, /notes: whole_file must be true or false, not "yes"$/],
  [
    { file_name: "notes", whole_file: true, columns: { prompt: "text" } },
    /notes: columns has no meaning with whole files, which have no rows; leave it out$/,
  ],
  [{ hf_hub_url: "o/n", whole_file: true }, /notes: whole_file is for local files; download the repository/],
  [{ file_name: "more" }, /more\/a\.md is not of a supported type: .*; set "whole_file": true, /],
])("a mistake is one line: %j", async (entry, line) => {
  write("rows.jsonl", "{}\n");
  mkdirSync(path.join(dir, "more"));
  write("more/a.md", "text");
  await expect(documents(entry)).rejects.toThrow(line);
});

it("a file that is not UTF-8 is named", async () => {
  write("notes/a.md", Buffer.from([0xc4, 0xe3, 0xba, 0xc3]));
  await expect(documents({ file_name: "notes", whole_file: true })).rejects.toThrow(/a\.md.*UTF-8/);
});
