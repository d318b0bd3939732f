// The sentences of the command line in the language that it speaks. The code says everything in English; what goes to a
// terminal is translated on its way out, found by its template. Errors are not: they are searched for and reported.
import { DOCTOR_CHINESE } from "./chinese/doctor.js";
import { HELP_CHINESE } from "./chinese/help.js";
import { INIT_CHINESE } from "./chinese/init.js";
import { TRAINING_CHINESE } from "./chinese/training.js";
import { USAGE_CHINESE } from "./chinese/usage.js";
import { DOCTOR_ENGLISH } from "./english/doctor.js";
import { HELP_ENGLISH } from "./english/help.js";
import { INIT_ENGLISH } from "./english/init.js";
import { TRAINING_ENGLISH } from "./english/training.js";
import { USAGE_ENGLISH } from "./english/usage.js";
import { type Language, spokenLanguage } from "./language.js";
import { keyInChinese } from "./recipe-keys/index.js";

/** The tables of each language, by who says what is in them: a language is one more line here. */
export const TABLES = {
  en: { usage: USAGE_ENGLISH, doctor: DOCTOR_ENGLISH, training: TRAINING_ENGLISH, init: INIT_ENGLISH },
  zh: { usage: USAGE_CHINESE, doctor: DOCTOR_CHINESE, training: TRAINING_CHINESE, init: INIT_CHINESE },
} as const;
/** Who speaks: a sentence of one is not looked for among the others'. */
export type Speaker = keyof (typeof TABLES)["en"];
const HELP = { en: HELP_ENGLISH, zh: HELP_CHINESE };

interface Template {
  readonly pattern: RegExp;
  readonly names: readonly string[];
  readonly translation: string;
}

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** Templates with the most fixed text first: `{a}: {b}` would take everything. */
function compile(speaker: Speaker, language: Language): Template[] {
  const words: Readonly<Record<string, string>> = TABLES[language][speaker];
  return Object.entries<string>(TABLES.en[speaker])
    .map(([key, english]) => ({
      weight: english.replace(/\{\w+\}/g, "").length,
      pattern: new RegExp(
        `^${english
          .split(/\{\w+\}/)
          .map(escaped)
          .join("(.+?)")}$`,
      ),
      names: [...english.matchAll(/\{(\w+)\}/g)].map(([, name]) => name as string),
      translation: words[key] as string,
    }))
    .sort((a, b) => b.weight - a.weight);
}

const compiled = new Map<string, Template[]>();

function templatesOf(speaker: Speaker): Template[] {
  const key = `${spokenLanguage()} ${speaker}`;
  if (!compiled.has(key)) compiled.set(key, compile(speaker, spokenLanguage()));
  return compiled.get(key) as Template[];
}

/** Placeholders whose values are sentences themselves. */
const NESTED = new Set([
  "text",
  "how",
  "what",
  "why",
  "summary",
  "found",
  "cost",
  "memory",
  "other",
  "share",
]);

function sentence(text: string, speaker: Speaker): string | undefined {
  for (const { pattern, names, translation } of templatesOf(speaker)) {
    const found = pattern.exec(text);
    if (found === null) continue;
    return translation.replace(/\{(\w+)\}/g, (_, name: string) => {
      const value = found[names.indexOf(name) + 1] as string;
      return NESTED.has(name) ? translated(value, speaker) : value;
    });
  }
  return undefined;
}

/**
 * A text in the spoken language, line by line; a line of columns (two spaces between them) is translated column by column.
 * What has no template stays as it is. Colours around a line stay around it.
 */
export function translated(text: string, speaker: Speaker): string {
  if (spokenLanguage() === "en") return text;
  if (text.includes("\n"))
    return text
      .split("\n")
      .map((line) => translated(line, speaker))
      .join("\n");
  const [, before = "", plain = "", after = ""] =
    /^((?:\u001b\[\d+m)*)(.*?)((?:\u001b\[\d+m)*)$/.exec(text) ?? [];
  const whole = sentence(plain, speaker);
  if (whole !== undefined) return before + whole + after;
  const columns = plain.split("  ");
  return (
    before +
    (columns.length > 1 ? columns.map((one) => sentence(one, speaker) ?? one).join("  ") : plain) +
    after
  );
}

/** What `qwen-pt help COMMAND` prints; undefined for a word that is no command. */
export function helpOf(command: string): string | undefined {
  const texts: Readonly<Record<string, string>> = HELP[spokenLanguage()];
  return Object.hasOwn(texts, command) ? texts[command] : undefined;
}

/** A recipe's key as it is described in the spoken language. */
export function inLanguage<K extends Parameters<typeof keyInChinese>[0]>(key: K): K {
  return spokenLanguage() === "zh" ? keyInChinese(key) : key;
}

/** Columns that a text takes on a terminal: a Chinese character takes two. */
export function columnsOf(text: string): number {
  return (
    text.length +
    (
      text.match(
        /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6]/g,
      ) ?? []
    ).length
  );
}

/** The text filled up with spaces to a number of columns. */
export const padded = (text: string, columns: number): string =>
  text + " ".repeat(Math.max(0, columns - columnsOf(text)));
