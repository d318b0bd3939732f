// The documentation in two languages: every page has a twin with the same code, the same sections and the same figures;
// every page is in the site's menu; and no link is dead.
import { existsSync, statSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import {
  anchorsOf,
  blocksOf,
  codeAlone,
  linksOf,
  pages,
  prose,
  read,
  root,
  tableFigures,
} from "../docs/pages.js";

const all = pages();
const english = all.filter((page) => page.startsWith("docs/") && !page.startsWith("docs/zh/"));
const twinOf = (page: string) => page.replace(/^docs\//, "docs/zh/");

describe("every page", () => {
  it("is there in both languages", () => {
    const chinese = all.filter((page) => page.startsWith("docs/zh/"));
    expect(chinese).toEqual(english.map(twinOf).sort());
  });

  it.each(english)("%s has the same sections and code as its twin", (page) => {
    const shape = (of: string) => [...prose(of).matchAll(/^#+(?= )/gm)].map(([marks]) => marks);
    expect(shape(twinOf(page))).toEqual(shape(page));
    expect(blocksOf(twinOf(page)).map(codeAlone)).toEqual(blocksOf(page).map(codeAlone));
  });

  // Counts of documents are written in another way in Chinese (5910 万), so the corpora are told by their names; the
  // recipe's keys are made from one table (test/config).
  it.each(english.filter((page) => !/(?:corpora|recipe)\.md$/.test(page)))(
    "%s has its twin's figures",
    (page) => {
      expect(tableFigures(twinOf(page))).toEqual(tableFigures(page));
    },
  );

  it("of the corpora has the same ones in both languages", () => {
    const names = (page: string) => [...read(page).matchAll(/^\| (`\w+`) \|/gm)].map(([, name]) => name);
    expect(names("docs/zh/corpora.md")).toEqual(names("docs/corpora.md"));
  });

  it("in Chinese is written in it: no line of English prose", () => {
    const lines = all
      .filter((page) => page.startsWith("docs/zh/") || page === "README.zh-CN.md")
      .flatMap((page) =>
        prose(page)
          .replace(/^ {4}.*$/gm, "")
          .split("\n")
          .map((line) => ({ page, line })),
      )
      .filter(({ line }) => !/^\||\]\(/.test(line) && !/[\u4e00-\u9fff]/.test(line.replace(/`[^`]*`/g, "")));
    const words = lines.filter(
      ({ line }) => (line.replace(/`[^`]*`/g, "").match(/[a-z]{2,}/g) ?? []).length > 6,
    );
    expect(words.map(({ page, line }) => `${page}: ${line}`)).toEqual([]);
  });
});

describe("the site", () => {
  it("has every page in its menu", () => {
    const menu = read("docs/site/.vitepress/languages.mts");
    const missing = english
      .map((page) => page.replace(/^docs\//, "").replace(/\.md$/, ""))
      .filter((page) => page !== "index" && !page.startsWith("decisions/"))
      .filter((page) => !menu.includes(`["${page}", `));
    expect(missing).toEqual([]);
    const linked = linksOf("docs/decisions/README.md");
    const records = english.filter((page) => /^docs\/decisions\/(?!README)/.test(page));
    expect(records.filter((page) => !linked.includes(path.basename(page)))).toEqual([]);
  });
});

describe("links", () => {
  const local = (target: string) => !/^[a-z]+:|^\//.test(target);

  it.each(all)("of %s lead somewhere", (page) => {
    const dead = linksOf(page)
      .filter(local)
      .filter((target) => {
        const [file = "", anchor] = target.split("#");
        const found = file === "" ? page : path.posix.join(path.posix.dirname(page), file);
        if (!existsSync(path.join(root, found))) return true;
        if (anchor === undefined || statSync(path.join(root, found)).isDirectory()) return false;
        return !anchorsOf(found).includes(decodeURIComponent(anchor));
      });
    expect(dead).toEqual([]);
  });

  it.each(all.filter((page) => page.startsWith("docs/zh/")))("of %s stay in Chinese", (page) => {
    const left = linksOf(page)
      .filter(local)
      .map((target) => path.posix.join(path.posix.dirname(page), target.split("#")[0] || path.basename(page)))
      .filter(
        (target) => /^docs\/(?!zh\/|images\/)/.test(target) && target !== page.replace("docs/zh/", "docs/"),
      );
    expect(left).toEqual([]);
  });
});
