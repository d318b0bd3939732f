// The tables of both languages: the same keys, placeholders, options and examples; sentences that the code really says; and
// what goes to a terminal translated as a whole.
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { HELP_CHINESE } from "../../lib/languages/chinese/help.js";
import { HELP_ENGLISH } from "../../lib/languages/english/help.js";
import { columnsOf, languageOf, padded, speak, translated } from "../../lib/languages/index.js";
import { type Speaker, TABLES } from "../../lib/languages/speak.js";

const lib = fileURLToPath(new URL("../../lib", import.meta.url));
const parts = (Object.keys(TABLES.en) as Speaker[]).map((speaker): [Speaker, Words, Words] => [
  speaker,
  TABLES.en[speaker],
  TABLES.zh[speaker],
]);
type Words = Readonly<Record<string, string>>;
/** What stands for a number's plural in English has no counterpart in Chinese. */
const placeholders = (text: string) =>
  [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name as string).filter((name) => !/noun$/i.test(name));

afterEach(() => speak("en"));

describe("the tables", () => {
  it.each(parts)("have the same keys and placeholders (%s)", (_, english, chinese) => {
    expect(Object.keys(chinese)).toEqual(Object.keys(english));
    const differ = Object.entries(english).filter(
      ([key, text]) => `${placeholders(text).sort()}` !== `${placeholders(chinese[key] ?? "").sort()}`,
    );
    expect(differ).toEqual([]);
  });

  it("of help have the same options and examples", () => {
    const lines = (text: string) =>
      text.split("\n").filter((line) => /^\s*(?:[A-Z_]+=\S+ )?qwen-pt /.test(line));
    const options = (text: string) => text.match(/--[a-z][\w-]*/g);
    for (const [command, english] of Object.entries(HELP_ENGLISH)) {
      const chinese = HELP_CHINESE[command as keyof typeof HELP_CHINESE];
      expect(lines(chinese), command).toEqual(lines(english));
      expect([...new Set(options(chinese))].sort(), command).toEqual([...new Set(options(english))].sort());
    }
  });

  it("hold sentences that the code says", () => {
    const code = readdirSync(lib, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts") && !name.startsWith("languages"))
      .map((name) =>
        readFileSync(path.join(lib, name), "utf8")
          .replace(/\\"/g, '"')
          .replace(/"\s*\+\s*["`]|`\s*\+\s*["`]/g, ""),
      )
      .join("\n");
    const words = (text: string) => text.match(/[\w'-]+/g) ?? [];
    const said = new Set(words(code));
    const spoken = words(code).join(" ");
    // a sentence may be put together from pieces: most pairs of neighbouring words are in one of them
    const unsaid = parts
      .flatMap(([, english]) => Object.values(english))
      .map((text) => words(text.replace(/\{\w+\}/g, "|")))
      .filter((sentence) => {
        const pairs = sentence.slice(1).map((word, at) => `${sentence[at]} ${word}`);
        const known = pairs.filter((pair) => spoken.includes(pair)).length;
        return sentence.some((word) => !said.has(word)) || known < pairs.length / 2 - 1;
      })
      .map((sentence) => sentence.join(" "));
    expect(unsaid).toEqual([]);
  });

  it("find every sentence by its template", () => {
    speak("zh");
    for (const [speaker, english, chinese] of parts)
      for (const [key, template] of Object.entries(english)) {
        const value = (name: string) => `<${name}>`;
        const fill = (text: string) => text.replace(/\{(\w+)\}/g, (_, name: string) => value(name));
        expect(translated(fill(template), speaker), `${key}: ${template}`).toBe(fill(chinese[key] as string));
      }
  });
});

describe("the language", () => {
  it.each([
    [{}, "en"],
    [{ LANG: "zh_CN.UTF-8" }, "zh"],
    [{ LANG: "en_US.UTF-8", LC_ALL: "zh_TW" }, "zh"],
    [{ LANG: "zh_CN.UTF-8", LC_ALL: "C" }, "en"],
    [{ LC_MESSAGES: "zh", LANG: "en_GB" }, "zh"],
    [{ LANG: "zhx" }, "en"],
  ])("of %j is %s", (env, language) => {
    expect(languageOf(env)).toBe(language);
  });

  it("keeps colours, columns and lines, and what it has no words for", () => {
    speak("zh");
    expect(translated("\u001b[33mwarning: step 3 was not applied: x\u001b[39m", "training")).toBe(
      "\u001b[33m警告：第 3 步没有应用：x\u001b[39m",
    );
    expect(translated("step 3/10 (30%)  loss 2.5  elapsed 0:10  left 0:20", "training")).toBe(
      "第 3/10 步（30%）  损失 2.5  已用 0:10  剩余 0:20",
    );
    expect(translated("device: cpu, weights: float32\n古之学者  必有师", "training")).toBe(
      "设备：cpu，权重：float32\n古之学者  必有师",
    );
  });

  it("measures Chinese text by columns", () => {
    expect([columnsOf("处理器 x"), padded("内存", 6)]).toEqual([8, "内存  "]);
  });
});
