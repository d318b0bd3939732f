// The documentation's site builds, dead links and all: VitePress refuses a page with one.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const built = (name: string) => path.join(root, "build", "site", name);

describe("npm run docs:site", () => {
  beforeAll(() => {
    execFileSync(process.execPath, ["scripts/documents/docs-site.mjs"], { cwd: root, stdio: "pipe" });
  });

  it("builds the pages of both languages and typedoc's", () => {
    const pages = ["index.html", "recipe.html", "zh/index.html", "zh/recipe.html", "api/index.html"];
    expect(pages.filter((name) => !existsSync(built(name)))).toEqual([]);
  });

  it("carries the files of the repository that pages link to, as text", () => {
    expect(readFileSync(built("files/examples/train.ts.txt"), "utf8")).toContain("qp.addLora");
  });

  it("leaves no space where a line of Chinese was broken", () => {
    expect(readFileSync(built("zh/walk-through.html"), "utf8")).toContain("纯文本，直到预测");
  });
});
