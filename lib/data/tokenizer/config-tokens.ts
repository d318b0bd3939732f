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
 * @param map special_tokens_map.json: read for what the config leaves out
 * @throws UserError for a key that names no token
 */
export function configTokens(file: string, config: Config, map: Config): NamedToken[] {
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
    const value = key in config ? config[key] : map[key];
    return value === undefined && FILLED.has(key) && isQwenClass(config) ? "<|endoftext|>" : value;
  };
  const named = NAMED.flatMap((key) => token(key, given(key)));
  const own = Object.entries(config).filter(
    ([key, value]) => key.endsWith("_token") && !NAMED.includes(key) && isToken(value),
  );
  const extra = [config, map]
    .flatMap((from) => [from["extra_special_tokens"], from["additional_special_tokens"]])
    .find((value) => value !== undefined && value !== null);
  if (extra !== undefined && typeof extra !== "object")
    throw new UserError(`${file}: extra_special_tokens must be a list of tokens, or names and tokens`);
  const listed = Array.isArray(extra)
    ? (extra as unknown[]).map((value): [string, unknown] => ["extra", value])
    : Object.entries(extra ?? {});
  const last = listed.filter(([key]) => !NAMED.includes(key));
  return [...named, ...[...own, ...last].flatMap(([key, value]) => token(key, value))];
}

function isToken(value: unknown): boolean {
  return typeof value === "string" || (typeof value === "object" && value !== null && "content" in value);
}
