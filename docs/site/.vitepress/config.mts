// The site's settings: two languages over the pages of docs/, and what of the repository the pages link to. It holds no
// text of a page; the pages read the same on a code host, where their relative links hold as well.
import { copyFileSync, existsSync, mkdirSync, statSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig, type UserConfig } from "vitepress";
import { chinese, english } from "./languages.mts";

type Plugin = NonNullable<NonNullable<UserConfig["vite"]>["plugins"]>[number] & { name: string };

const docs = fileURLToPath(new URL("../..", import.meta.url));
const root = path.dirname(docs);
const output = path.join(root, "build", "site");
/** Files outside docs/ that a page links to, as paths in the repository. */
const linked = new Set<string>();

/** A link that leaves docs/: a file of the repository, which the site carries as text; undefined for all others. */
function repositoryFile(page: string, href: string): string | undefined {
  const target = path.resolve(docs, path.dirname(page), href.replace(/#.*/, ""));
  return /^[a-z]+:|^\/|^#/.test(href) || !path.relative(docs, target).startsWith("..")
    ? undefined
    : path.relative(root, target);
}

/** What of markdown-it's tokens is used here. */
interface Token {
  type: string;
  content: string;
  attrGet(name: string): string | null;
  attrSet(name: string, value: string): void;
}

/** Points a link that leaves docs/ to what the site has of it; a file that is not there fails the build. */
function linkOut(page: string, token: Token): void {
  const href = token.type === "link_open" ? token.attrGet("href") : null;
  const file = href === null ? undefined : repositoryFile(page, href);
  if (file === undefined) return;
  const found = path.join(root, file);
  if (!existsSync(found)) throw new Error(`${page}: ${href}: there is no such file`);
  if (/^README/.test(file) || statSync(found).isDirectory()) {
    token.attrSet("href", page.startsWith("zh/") ? "/zh/index.md" : "/index.md");
    return;
  }
  linked.add(file);
  token.attrSet("href", `/files/${file}.txt`);
  token.attrSet("target", "_blank");
}

/** A character of Chinese text on both sides of where a line was broken: a browser would show a space between them. */
const CHINESE = /^[\u3000-\u9fff\uff00-\uffef]{2}$/;

/** The character of text before (-1) or after (1) a token; "" where there is none, as beside code. */
function textBeside(tokens: readonly Token[], at: number, step: -1 | 1): string {
  let beside = at + step;
  while (tokens[beside] !== undefined && /_(open|close)$|^text$/.test(tokens[beside].type)) {
    const { type, content } = tokens[beside];
    if (type === "text" && content !== "") return content.at(step === 1 ? 0 : -1) ?? "";
    beside += step;
  }
  return "";
}

/** The pages lie outside this package's folder, so what they are compiled to would not find its modules. */
const modulesOfSite: Plugin = {
  name: "modules-of-site",
  enforce: "pre",
  resolveId(name, importer, options) {
    if (!/^vue(\/|$)/.test(name)) return null;
    if (options.ssr) return { id: name, external: true }; // what renders the pages runs inside this folder
    if (importer?.includes("node_modules")) return null;
    return this.resolve(name, path.join(docs, "site", "package.json"), { ...options, skipSelf: true });
  },
};

export default defineConfig({
  srcDir: docs,
  srcExclude: ["site/**"],
  outDir: output,
  cacheDir: path.join(root, "build", "site-cache"),
  title: "qwen-pt",
  cleanUrls: false,
  lastUpdated: false,
  rewrites: { "decisions/README.md": "decisions/index.md", "zh/decisions/README.md": "zh/decisions/index.md" },
  locales: { root: english, zh: chinese },
  vite: { plugins: [modulesOfSite] },
  themeConfig: {
    search: { provider: "local", options: { locales: { zh: chinese.search }, miniSearch: { options: { tokenize } } } },
  },
  markdown: {
    config(md) {
      md.core.ruler.push("links-out-of-docs", ({ env, tokens }) => {
        for (const { children } of tokens) for (const token of children ?? []) linkOut(env.relativePath, token);
      });
      md.core.ruler.push("no-space-between-chinese-lines", ({ tokens }) => {
        for (const { children } of tokens)
          for (const [at, token] of (children ?? []).entries())
            if (token.type === "softbreak" && CHINESE.test(textBeside(children, at, -1) + textBeside(children, at, 1)))
              token.type = "text";
      });
    },
  },
  buildEnd() {
    for (const file of linked) {
      const to = path.join(output, "files", `${file}.txt`);
      mkdirSync(path.dirname(to), { recursive: true });
      copyFileSync(path.join(root, file), to);
    }
  },
});

/** Words of the search; in Chinese, where none are marked, single characters. VitePress sends it to the browser as text. */
function tokenize(text: string): string[] {
  return text.toLowerCase().match(/[\u3400-\u9fff]|[\p{L}\p{N}_.-]+/gu) ?? [];
}
