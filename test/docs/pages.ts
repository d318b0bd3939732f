// The pages of the documentation as their parts: blocks of code, links, tables, headings. A reader for the tests, not a
// parser of Markdown: fences, indented blocks after an empty line, and what a page of this project is written with.
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

export interface Block {
  /** Path of the page in the repository, and the block's first line in it. */
  readonly page: string;
  readonly line: number;
  /** "ts", "sh", ...; "" where it is indented or names none. */
  readonly language: string;
  readonly code: string;
  /** What the paragraph after it gives as the reason why no test runs it. */
  readonly reason: string | undefined;
}

/** The READMEs, CONTRIBUTING.md and every page of docs/, as paths in the repository. */
export function pages(): string[] {
  const docs = readdirSync(path.join(root, "docs"), { recursive: true, encoding: "utf8" })
    .map((name) => `docs/${name.replaceAll("\\", "/")}`)
    .filter((name) => name.endsWith(".md") && !name.startsWith("docs/site/"));
  return ["README.md", "README.zh-CN.md", "CONTRIBUTING.md", ...docs.sort()];
}

export const read = (page: string): string => readFileSync(path.join(root, page), "utf8");

const REASON = /^(?:Not run here: |此处未运行：)(.+)$/;

/** The reason in the paragraph that follows line `at`, wherever it is indented. */
function reasonAfter(lines: readonly string[], at: number): string | undefined {
  const next = lines.slice(at).find((line) => line.trim() !== "");
  return next === undefined ? undefined : REASON.exec(next.trim())?.[1];
}

function unindented(lines: readonly string[]): string {
  const width = Math.min(...lines.filter((line) => line.trim() !== "").map((line) => line.search(/\S/)));
  return `${lines.map((line) => line.slice(width)).join("\n")}\n`;
}

/** The blocks of code of a page's text, in order. */
export function blocksOf(page: string, text = read(page)): Block[] {
  const lines = text.split("\n");
  const blocks: Block[] = [];
  for (let at = 0; at < lines.length; at++) {
    const fence = /^(\s*)```(\w*)/.exec(lines[at] as string);
    if (fence !== null) {
      const end = lines.findIndex((line, i) => i > at && line.trim() === "```");
      if (end < 0) throw new Error(`${page}:${at + 1}: a fence that is not closed`);
      const code = unindented(lines.slice(at + 1, end));
      blocks.push({
        page,
        line: at + 1,
        language: fence[2] ?? "",
        code,
        reason: reasonAfter(lines, end + 1),
      });
      at = end;
    } else if (
      /^ {4}\S/.test(lines[at] as string) &&
      (lines[at - 1] ?? "").trim() === "" &&
      !inList(lines, at)
    ) {
      const after = lines.findIndex((line, i) => i > at && line.trim() !== "" && !line.startsWith("    "));
      const end = after < 0 ? lines.length : after;
      const code = `${unindented(lines.slice(at, end)).trimEnd()}\n`;
      blocks.push({ page, line: at + 1, language: "", code, reason: reasonAfter(lines, end) });
      at = end - 1;
    }
  }
  return blocks;
}

/** Whether an indented line goes on an item of a list. */
function inList(lines: readonly string[], at: number): boolean {
  const before = lines.slice(0, at).findLast((line) => /^\S/.test(line));
  return before !== undefined && /^(?:[-*]|\d+\.) /.test(before);
}

/** A block's code without comments and without the words in texts: what is the same in both languages. */
export function codeAlone({ code, language }: Block): string {
  const comment = /^(?:ts|js)$/.test(language) ? /\s*\/\/.*$/ : /(?:^|\s+)#.*$/;
  return code
    .split("\n")
    .map((line) => line.replace(comment, "").trimEnd())
    .filter((line) => line !== "" && !/^\{"text": /.test(line))
    .join("\n");
}

/** The text without its blocks of code and comments. */
export function prose(page: string): string {
  return read(page)
    .replace(/^(\s*)```[\s\S]*?^\s*```$/gm, "")
    .replace(/<!--[\s\S]*?-->/g, "");
}

/** Targets of a page's links and pictures. */
export const linksOf = (page: string): string[] =>
  [...prose(page).matchAll(/\]\(([^()\s]+)\)/g)].map(([, target]) => target as string);

/** Anchors of a page's headings, as code hosts and VitePress make them. */
export function anchorsOf(page: string): string[] {
  return [...prose(page).matchAll(/^#{1,6} (.+)$/gm)].map(([, title]) =>
    (title as string)
      .replace(/[`*]/g, "")
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .trim()
      .replaceAll(/\s/g, "-"),
  );
}

/** For each table its rows, each as the numbers in it, sorted: 1,234 and 1.2e-7 are one each. */
export function tableFigures(page: string): string[][] {
  const rows = prose(page)
    .split("\n")
    .filter((line) => line.startsWith("|") && !/^\|[-|: ]+\|$/.test(line));
  return rows.map((row) => (row.match(/\d(?:[\d,]*\d)?(?:\.\d+)?(?:e[+-]?\d+)?/g) ?? []).sort());
}
