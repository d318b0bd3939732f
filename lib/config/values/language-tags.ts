// The recipe's language_tag: one tag for all datasets, or one for each, checked name by name. A tag may be written with
// or without its frame: zh-yue is [lang=zh-yue].
import { custom, Mismatch } from "../key.js";

/** A tag for all datasets, or by the dataset's name. */
export type LanguageTags = string | Readonly<Record<string, string>>;

const FRAME = /^\[lang=([^[\]\s]+)\]$/;

/** A tag in its frame; undefined for what is no tag. */
export function framedTag(value: unknown): string | undefined {
  if (typeof value !== "string") return undefined;
  if (FRAME.test(value)) return value;
  return /^[^[\]\s]+$/.test(value) ? `[lang=${value}]` : undefined;
}

/** What a tag must be, for messages. */
export const TAG_FORM = "a tag such as zh-yue or [lang=zh-yue], without spaces";

export const languageTags = custom<LanguageTags | null>({
  default: null,
  type: "text or a mapping",
  wantsText: true,
  json: { type: ["string", "object"], additionalProperties: { type: "string" } },
  doc: "Tag in front of each document, such as zh-yue for [lang=zh-yue]: one for all datasets or {dataset: tag}; it takes precedence over language_tag in dataset_info.json.",
  read(value) {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      const entries = Object.entries(value).map(([name, tag]) => {
        const framed = framedTag(tag);
        if (framed === undefined) throw new Mismatch(`${TAG_FORM}, for ${name}`);
        return [name, framed] as const;
      });
      return Object.fromEntries(entries);
    }
    const framed = framedTag(value);
    if (framed === undefined) throw new Mismatch(`${TAG_FORM}, or a mapping from datasets to tags`);
    return framed;
  },
});
