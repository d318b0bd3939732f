// docs/decisions: every record is in the index, says the four things that a record says, and names files that exist.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = path.join(root, "docs", "decisions");
const records = readdirSync(folder).filter((name) => name !== "README.md");
const read = (name: string) => readFileSync(path.join(folder, name), "utf8");

describe("the decision records", () => {
  it("are the rows of the index", () => {
    const rows = [...read("README.md").matchAll(/^\| \[[^\]]+\]\(([\w-]+\.md)\)/gm)].map((match) => match[1]);
    expect(rows.sort()).toEqual([...records].sort());
  });

  it.each(records)("%s says context, decision, consequences, and what would change it", (name) => {
    const headings = [...read(name).matchAll(/^\*\*(.+?)\.\*\*/gm)].map((match) => match[1]);
    expect(headings).toEqual(["Context", "Decision", "Consequences", "What would change our mind"]);
  });

  it.each(records)("%s names files that exist", (name) => {
    const named = [...read(name).matchAll(/`((?:lib|native|test|scripts)\/[\w./-]*)`|\]\(([^)]+)\)/g)];
    const missing = named
      .map(([, file, link]) => (file ? path.join(root, file) : path.join(folder, link)))
      .filter((file) => !existsSync(file));
    expect(missing).toEqual([]);
  });
});
