// Writes the table of docs/corpora.md from examples/data/dataset_info.json (build first: npm run build).
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { corporaTable, readCorpora } from "../../dist/data/datasets/corpora.js";

const page = fileURLToPath(new URL("../../docs/corpora.md", import.meta.url));
const table = corporaTable(readCorpora(fileURLToPath(new URL("../../examples/data", import.meta.url))));
const marks = /(<!-- table -->\n)[\s\S]*?(\n<!-- end -->)/;
writeFileSync(
  page,
  readFileSync(page, "utf8").replace(marks, (_, from, to) => from + table + to),
);
