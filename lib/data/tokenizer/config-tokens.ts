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
  const { table, list } = extraTokens(file, config, over);
  const own = { ...ownTokens(config, over), ...table };
  const given = (key: string): unknown => {
    const value = own[key] ?? (key in over ? over[key] : config[key]);
    return value === undefined && FILLED.has(key) && isQwenClass(config) ? "<|endoftext|>" : value;
  };
  return [
    ...NAMED.map((key): [string, unknown] => [key, given(key)]),
    ...Object.entries(own).filter(([key]) => !NAMED.includes(key)),
    ...list.map((value): [string, unknown] => ["extra", value]),
  ].flatMap(([key, value]) => namedToken(file, key, value));
}

/** One token; none where there is no value. */
function namedToken(file: string, key: string, value: unknown): NamedToken[] {
  if (value === undefined || value === null || value === "") return [];
  if (typeof value === "string") return [{ key, content: value, flags: {} }];
  const { content } = value as { content?: unknown };
  if (typeof content !== "string") throw new UserError(`${file}: ${key} must be a token's text`);
  const flags = FLAGS.filter((flag) => typeof (value as Config)[flag] === "boolean");
  const given = Object.fromEntries(flags.map((flag) => [flag, (value as Config)[flag] === true]));
  // one of a list that is added as an ordinary token first is found before texts are normalized, once it is special
  if (key === "extra" && (value as Config)["special"] !== true) given["normalized"] = false;
  return [{ key, content, flags: given }];
}

/** Tokens under names that a model gives itself (`image_token`): those with flags and the map's, then the config's texts. */
function ownTokens(config: Config, map: Config): Record<string, unknown> {
  const own = (from: Config) =>
    Object.entries(from).filter(
      ([key, value]) => key.endsWith("_token") && !NAMED.includes(key) && isToken(value),
    );
  const texts = own(config).filter(([, value]) => typeof value === "string");
  return Object.fromEntries([
    ...own(config).filter(([, value]) => typeof value !== "string"),
    ...own(map),
    ...texts,
  ]);
}

/** The further tokens that hold: those in tables have names; a list of the map is joined to the config's. */
function extraTokens(file: string, config: Config, map: Config) {
  const key = "extra_special_tokens";
  const late = "additional_special_tokens";
  const first = key in config ? config[key] : config[late];
  const isTable = (value: unknown) => typeof value === "object" && value !== null && !Array.isArray(value);
  const sources = [first, map[key]];
  for (const value of [...sources, map[late]])
    if (value !== undefined && value !== null && typeof value !== "object")
      throw new UserError(`${file}: ${key} must be a list of tokens, or names and tokens`);
  let list = isTable(first) ? undefined : first;
  if (Array.isArray(map[key])) list = [...((list as unknown[] | null | undefined) ?? []), ...map[key]];
  else if (key in map) list = isTable(map[key]) ? undefined : map[key];
  if (list === undefined) list = map[late];
  return {
    table: Object.assign({}, ...sources.filter(isTable)) as Record<string, unknown>,
    list: Array.isArray(list) ? (list as unknown[]) : [],
  };
}

function isToken(value: unknown): boolean {
  return typeof value === "string" || (typeof value === "object" && value !== null && "content" in value);
}
