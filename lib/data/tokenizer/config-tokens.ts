// The special tokens that tokenizer_config.json names beside those of tokenizer.json, in the order in which transformers
// 5.6 adds them: the named ones, a model's own names, then the list of extra ones. What a token becomes in the vocabulary:
// see tokenizer.ts. After PreTrainedTokenizerBase._from_pretrained and TokenizersBackend.__init__.

import { UserError } from "../../errors.js";

/** A token as a config names it. */
export interface NamedToken {
  /** The key that names it, for messages and for eos, pad and bos; "extra" for one of a list. */
  readonly key: string;
  readonly content: string;
  /** What the config says of how it is found in a text. */
  readonly flags: Readonly<Record<string, boolean>>;
}

const NAMED = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
/** What Qwen's tokenizer class fills in where a config says nothing. */
const FILLED = new Set(["eos_token", "unk_token", "pad_token"]);
const FLAGS = ["single_word", "lstrip", "rstrip", "normalized"];

type Config = Readonly<Record<string, unknown>>;

/** Whether transformers takes Qwen's own class for a folder, which is rebuilt from vocabulary and merges. */
export function isQwenClass(config: Config): boolean {
  return String(config["tokenizer_class"] ?? "Qwen2Tokenizer").startsWith("Qwen2");
}

/**
 * @param file tokenizer_config.json, for messages
 * @param map special_tokens_map.json: overrules a config without `added_tokens_decoder`, and is not read beside one
 * @throws UserError for a key that names no token
 */
export function configTokens(file: string, config: Config, map: Config): NamedToken[] {
  const over = "added_tokens_decoder" in config ? {} : map;
  const token = (key: string, value: unknown): NamedToken[] => {
    if (value === undefined || value === null || value === "") return [];
    if (typeof value === "string") return [{ key, content: value, flags: {} }];
    const { content } = value as { content?: unknown };
    if (typeof content !== "string") throw new UserError(`${file}: ${key} must be a token's text`);
    const given = FLAGS.filter((flag) => typeof (value as Config)[flag] === "boolean");
    return [
      {
        key,
        content,
        flags: Object.fromEntries(given.map((flag) => [flag, (value as Config)[flag] === true])),
      },
    ];
  };
  const given = (key: string): unknown => {
    const value = key in over ? over[key] : config[key];
    return value === undefined && FILLED.has(key) && isQwenClass(config) ? "<|endoftext|>" : value;
  };
  const named = NAMED.flatMap((key) => token(key, given(key)));
  const own = Object.entries(config).filter(
    ([key, value]) => key.endsWith("_token") && !NAMED.includes(key) && isToken(value),
  );
  const listed = extraTokens(config, over).flatMap((extra): [string, unknown][] => {
    if (typeof extra !== "object" || extra === null)
      throw new UserError(`${file}: extra_special_tokens must be a list of tokens, or names and tokens`);
    return Array.isArray(extra)
      ? (extra as unknown[]).map((value): [string, unknown] => ["extra", value])
      : Object.entries(extra);
  });
  const last = listed.filter(([key]) => !NAMED.includes(key));
  return [...named, ...[...own, ...last].flatMap(([key, value]) => token(key, value))];
}

/** The lists of further tokens, or their tables, that hold: a list of the map is joined to the config's. */
function extraTokens(config: Config, map: Config): unknown[] {
  const lists =
    "extra_special_tokens" in config ? config["extra_special_tokens"] : config["additional_special_tokens"];
  const more = map["extra_special_tokens"];
  const found = Array.isArray(more) ? [lists, more] : [more ?? lists];
  const there = found.filter((list) => list !== undefined && list !== null);
  const late = map["additional_special_tokens"];
  return there.length > 0 || late === undefined || late === null ? there : [late];
}

function isToken(value: unknown): boolean {
  return typeof value === "string" || (typeof value === "object" && value !== null && "content" in value);
}
