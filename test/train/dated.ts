// A corpus with what the fixtures' lack: a third dataset, dates and grades. Made of the fixtures' texts. Not a test.
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fixture, folder } from "./runs.js";

/**
 * A folder with the datasets one, two and three. Rows have the columns text, year (2015 to 2024, by row in turn), day (an
 * ISO date of that year) and grade (a number, no two alike in a dataset).
 */
export function datedData(): string {
  const dir = folder();
  const texts = (name: string) =>
    readFileSync(fixture("data", `${name}.jsonl`), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as { text: string }).text);
  const corpora = { one: texts("one"), two: texts("two"), three: texts("one").reverse().slice(0, 15) };
  for (const [name, rows] of Object.entries(corpora)) {
    const lines = rows.map((text, row) => {
      const year = 2015 + (row % 10);
      const day = `${year}-0${1 + (row % 9)}-15`;
      return JSON.stringify({ text, year, day, grade: (row * 7919) % 1009 });
    });
    writeFileSync(path.join(dir, `${name}.jsonl`), `${lines.join("\n")}\n`);
  }
  const entries = Object.keys(corpora).map((name) => [
    name,
    { file_name: `${name}.jsonl`, columns: { prompt: "text" } },
  ]);
  writeFileSync(path.join(dir, "dataset_info.json"), JSON.stringify(Object.fromEntries(entries)));
  return dir;
}
