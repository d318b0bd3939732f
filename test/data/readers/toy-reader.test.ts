// A toy format comes in through the public door: a file of it is a dataset like any other, and is read, counted, packed.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, it } from "vitest";
import {
  countRows,
  type RowReader,
  readDatasetInfo,
  readDocuments,
  registerRowReader,
} from "../../../lib/public/data.js";

const dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-toy-reader-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** A row a paragraph. */
const paragraphs: RowReader = {
  endings: [".par"],
  async *read(file) {
    const found = readFileSync(file, "utf8").trim().split("\n\n");
    for (const [at, text] of found.entries())
      yield { value: { text }, place: `${file}, paragraph ${at + 1}` };
  },
};

it("a registered format is read as a dataset, and counted", async () => {
  registerRowReader("paragraphs", paragraphs);
  const file = path.join(dir, "two.par");
  writeFileSync(file, "one\nline\n\nand another\n");
  const info = { two: { file_name: "two.par", columns: { prompt: "text" } } };
  writeFileSync(path.join(dir, "dataset_info.json"), JSON.stringify(info));
  expect(await countRows(file)).toBe(2);
  const entry = (await readDatasetInfo(dir, ["two"]))[0];
  const texts: unknown[] = [];
  for await (const document of readDocuments(entry as NonNullable<typeof entry>)) texts.push(document);
  expect(JSON.stringify(texts)).toContain("and another");
  expect(texts).toHaveLength(2);
});

it("words and endings of others are left alone", () => {
  expect(() => registerRowReader("json", paragraphs)).toThrow('a reader of "json" already');
  expect(() => registerRowReader("mine", { ...paragraphs, endings: [".csv"] })).toThrow(
    'reader of ".csv" already',
  );
});
