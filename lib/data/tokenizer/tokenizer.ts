// A Hugging Face tokenizer from a model's folder: what ends, pads and begins a document, and text to ids and back.
// The work of tokenizing is an engine's (engines.ts). Chat templates are not read.

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import path from "node:path";
import { messageOf, UserError } from "../../errors.js";
import { readJsonFile } from "../../files/json-file.js";
import { anything, table } from "../../files/shape.js";
import { type AddedToken, addTokens } from "./added-tokens.js";
import { decodeByteLevel } from "./byte-level.js";
import { tokenizerFault } from "./check-tokenizer.js";
import { configTokens, isQwenClass, type NamedToken } from "./config-tokens.js";
import { encoderForm } from "./encoder-form.js";
import {
  type EngineMaker,
  type EngineName,
  LazyEngine,
  nativeEngines,
  scriptEngines,
  type TokenizerEngine,
} from "./engines.js";
import { quickEngine } from "./quick-engine.js";
import { replacedEos } from "./template.js";
import type { EncodedRows, RowRule } from "./text-addon.js";

/** What pre-training needs of a tokenizer. Encoding never adds special tokens; those in the text are recognised. */
export interface Tokenizer {
  /** The folder it was read from. */
  readonly dir: string;
  /** tokenizer.json with what was added to it, or what took its place; undefined where it is the folder's. */
  readonly extended: object | undefined;
  /** Whether its entries are others than the folder's files say. */
  readonly replaced: boolean;
  /** SHA-256 of all that decides which ids a text becomes. */
  readonly fingerprint: string;
  /** Which engine tokenizes: the Rust one where the package tokenizers is installed and loads, else the pure JavaScript one. */
  readonly engine: EngineName;
  /** Tokens, added ones included. */
  readonly vocabSize: number;
  /** The token that ends a document, as text. */
  readonly eosToken: string;
  /** Its id. */
  readonly eosId: number;
  /** The token that fills rows, as text. */
  readonly padToken: string;
  /** Its id. */
  readonly padId: number;
  /** The id of the token that begins a text; undefined for none. */
  readonly bosId: number | undefined;
  /**
   * Whether a block begins with the bos token. False for what loadTokenizer reads: beside a tokenizer.json,
   * transformers 5 drops `add_bos_token`, and so the reference trainer adds none.
   */
  readonly addBos: boolean;
  /** How many batches are worth having under way at once. */
  readonly lanes: number;
  /** The ids of each text, int32, in order. */
  encodeBatch(texts: readonly string[]): Promise<Int32Array[]>;
  /**
   * Encodes the texts of JSON lines as they stand in a file; undefined where the native encoder is not at work, which
   * takes over once a first batch of texts has proved it right. Absent where it never will.
   */
  readonly encodeRows: ((rows: Uint8Array, rule: RowRule) => Promise<EncodedRows> | undefined) | undefined;
  /**
   * Gives up what takes memory, some 200 MB for Qwen3's vocabulary; whoever asks for ids or tokens afterwards waits half
   * a second for it to be rebuilt. Nothing may be encoding.
   */
  release(): Promise<void>;
  /** Whether it holds that memory now. */
  readonly isAtWork: boolean;
  /** The ids of a text, int32. */
  encode(text: string): Promise<Int32Array>;
  /** The text of ids. `skipSpecialTokens` leaves special tokens out; by default they are written. */
  decode(ids: ArrayLike<number>, options?: { readonly skipSpecialTokens?: boolean }): string;
  /** The id of a token; undefined where the vocabulary lacks it. */
  tokenId(token: string): number | undefined;
}

/** Options of {@link loadTokenizer}. */
export interface TokenizerOptions {
  /** The recipe's template; it may name another eos token. */
  readonly template?: string | null;
  /** "auto" takes the Rust engine where it loads, and for all but small amounts the native encoder before it. */
  readonly engine?: EngineName | "auto";
  /** With "auto": characters after which the native encoder takes over. */
  readonly quickFrom?: number;
  /** Ordinary and special tokens to add. */
  readonly addTokens?: readonly string[];
  /** Special tokens to add. */
  readonly addSpecialTokens?: readonly string[];
  /** The content of a tokenizer.json in place of the folder's. */
  readonly json?: object;
}

interface TokenizerJson {
  added_tokens?: AddedToken[];
  model: { vocab?: Record<string, number> | [string, number][] };
  pre_tokenizer?: unknown;
  decoder?: { type?: string; decoders?: { type?: string }[] } | null;
  [key: string]: unknown;
}

/**
 * Loads tokenizer.json and tokenizer_config.json of a model's folder.
 *
 * @throws UserError where a file is missing, malformed, or names a token that the vocabulary lacks
 */
export async function loadTokenizer(dir: string, options: TokenizerOptions = {}): Promise<Tokenizer> {
  const file = path.join(dir, "tokenizer.json");
  const json =
    options.json === undefined ? readTokenizerJson(file) : (structuredClone(options.json) as TokenizerJson);
  const config = readJson(path.join(dir, "tokenizer_config.json")) ?? {};
  const map = readJson(path.join(dir, "special_tokens_map.json")) ?? {};
  const named = configTokens(path.join(dir, "tokenizer_config.json"), config, map);
  const textOf = (key: string): string | undefined => named.find((token) => token.key === key)?.content;
  // those of the config before those of the recipe, which the reference trainer adds to a loaded tokenizer
  registerTokens(json, config, named);
  if (isQwenClass(config)) setPrefixSpace(json.pre_tokenizer, config["add_prefix_space"] === true);
  const count =
    addTokens(json, options.addTokens ?? [], false) + addTokens(json, options.addSpecialTokens ?? [], true);
  const extended = count > 0 || options.json !== undefined ? structuredClone(json) : undefined;
  const wanted = options.engine ?? "auto";
  const text = Buffer.from(JSON.stringify(json));
  const make = await engineMaker(file, text, config, wanted);
  const form = wanted === "auto" ? encoderForm(json) : undefined;
  const engine = new LazyEngine(
    wanted === "auto" ? () => quickEngine(make(), text, form, options.quickFrom) : make,
  );
  const { name, size } = startEngine(file, engine);
  const id = (token: string) => engine.get().tokenToId(token);
  const eosToken =
    replacedEos(options.template, (token) => id(token) !== undefined) ??
    textOf("eos_token") ??
    "<|endoftext|>";
  const padToken = textOf("pad_token") ?? eosToken;
  const bosToken = textOf("bos_token");
  const special = new Set(
    (json.added_tokens ?? []).filter((token) => token.special).map((token) => token.id),
  );
  const byteLevel = json.decoder?.type === "ByteLevel";
  const decodes = byteLevel || engine.get().decode !== undefined;
  const decoding = decodes ? engine : new LazyEngine(await scriptEngines(text, config));
  return {
    dir,
    extended,
    replaced: options.json !== undefined,
    fingerprint: createHash("sha256").update(text).update(JSON.stringify(config)).digest("hex"),
    engine: name,
    vocabSize: size,
    eosToken,
    eosId: requireToken(dir, "eos_token", eosToken, id),
    padToken,
    padId: requireToken(dir, "pad_token", padToken, id),
    bosId: bosToken === undefined ? undefined : requireToken(dir, "bos_token", bosToken, id),
    addBos: false,
    tokenId: id,
    get lanes() {
      return engine.get().lanes ?? 1;
    },
    encodeBatch: async (texts) => engine.get().encodeBatch(texts),
    get encodeRows() {
      return engine.get().encodeRows;
    },
    get isAtWork() {
      return engine.isMade || decoding.isMade;
    },
    async release() {
      engine.release();
      decoding.release();
    },
    encode: async (text) => (await engine.get().encodeBatch([text]))[0]!,
    decode(ids, { skipSpecialTokens = false } = {}) {
      const kept = Array.from(ids).filter((one) => !(skipSpecialTokens && special.has(one)));
      const { decode, idToToken } = decoding.get();
      if (!byteLevel && decode) return decode(kept);
      return decodeByteLevel(kept.map((one) => idToToken(one) ?? ""));
    },
  };
}

/**
 * The content of a folder's tokenizer.json.
 *
 * @throws UserError where it is missing, malformed, or no tokenizer
 */
export function readTokenizerFile(dir: string): object {
  return readTokenizerJson(path.join(dir, "tokenizer.json"));
}

function readTokenizerJson(file: string): TokenizerJson {
  const json = readJson(file);
  if (json === undefined) {
    throw new UserError(
      `${file} is missing; a model's folder holds tokenizer.json and tokenizer_config.json ` +
        "(AutoTokenizer.from_pretrained(...).save_pretrained(...) writes both)",
    );
  }
  const model = json.model;
  if (model === null || typeof model !== "object" || !("vocab" in model)) {
    throw new UserError(
      `${file}: is not a tokenizer: it has no model.vocab; copy the file of the model again`,
    );
  }
  const fault = tokenizerFault(json, model);
  if (fault !== undefined) throw new UserError(`${file}: ${fault}; copy the file of the model again`);
  return json as TokenizerJson;
}

function readJson(file: string): Record<string, unknown> | undefined {
  return existsSync(file)
    ? readJsonFile(file, table(anything), { remedy: "copy the file of the model again" })
    : undefined;
}

/** Adds to tokenizer.json what only tokenizer_config.json registers, as transformers does on loading. */
function registerTokens(
  json: TokenizerJson,
  config: Record<string, unknown>,
  named: readonly NamedToken[],
): void {
  json.added_tokens ??= [];
  const added = json.added_tokens;
  const present = new Set(added.map((token) => token.content));
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  const isQwen = isQwenClass(config);
  const register = (token: AddedToken) => {
    if (present.has(token.content)) return;
    present.add(token.content);
    added.push(token);
  };
  const decoder = (config.added_tokens_decoder ?? {}) as Record<string, Partial<AddedToken> | null>;
  const listed = Object.entries(decoder).sort(([a], [b]) => Number(a) - Number(b));
  for (const [id, token] of listed) {
    if (typeof token?.content !== "string") continue;
    const { content } = token;
    register({ ...flags, special: false, ...token, content, id: Number(id) });
    // where the two files differ, transformers adds a token once more as it is here
    const there = added.find((one) => one.content === content);
    if (there !== undefined)
      Object.assign(
        there,
        flags,
        { special: false },
        token,
        { content, id: there.id },
        isQwen ? {} : firstNormalized(there),
      );
  }
  // one of the vocabulary keeps its id, any other comes after all that are there
  const missing = named.filter(({ content }) => !present.has(content));
  addTokens(
    json,
    missing.map(({ content }) => content),
    true,
  );
  const byContent = new Map(added.map((token) => [token.content, token]));
  for (const { content, flags: given } of missing) Object.assign(byContent.get(content) ?? {}, given);
  // Qwen's class adds every named token once more, by its text alone, which takes the flags away again
  if (!isQwen) return;
  for (const { content } of named) {
    const there = byContent.get(content);
    if (there !== undefined) Object.assign(there, flags, { special: true }, firstNormalized(there));
  }
}

/** Where a token is looked for, before or after a text is normalized, Hugging Face's library keeps from the first time that it was added as a special one. */
function firstNormalized({ special, normalized }: AddedToken): { normalized?: unknown } {
  return special ? { normalized: normalized === true } : {};
}

/** Sets what Qwen's class passes on: a space before each text, or none, whatever tokenizer.json says. */
function setPrefixSpace(part: unknown, wanted: boolean): void {
  if (typeof part !== "object" || part === null) return;
  const { type, pretokenizers } = part as { type?: unknown; pretokenizers?: unknown };
  if (type === "ByteLevel") (part as { add_prefix_space?: boolean }).add_prefix_space = wanted;
  if (Array.isArray(pretokenizers)) for (const one of pretokenizers) setPrefixSpace(one, wanted);
}

async function engineMaker(
  file: string,
  text: Buffer,
  config: Record<string, unknown>,
  wanted: EngineName | "auto",
): Promise<EngineMaker> {
  if (wanted === "script") return scriptEngines(text, config);
  const native = await nativeEngines(text);
  if (native !== undefined) return native;
  if (wanted === "native")
    throw new UserError(
      `${file}: the package tokenizers is not installed, or has no binary for this system: npm install tokenizers`,
    );
  return scriptEngines(text, config);
}

function startEngine(file: string, engine: LazyEngine): TokenizerEngine {
  try {
    return engine.get();
  } catch (error) {
    throw unusable(file, error);
  }
}

function unusable(file: string, error: unknown): UserError {
  const said = messageOf(error).replace(/\s+/g, " ");
  return new UserError(`${file}: cannot be used: ${said}; copy the file of the model again`);
}

function requireToken(
  dir: string,
  key: string,
  token: string,
  id: (token: string) => number | undefined,
): number {
  const found = id(token);
  if (found !== undefined) return found;
  const file = path.join(dir, "tokenizer_config.json");
  throw new UserError(
    `${file}: ${key} ${JSON.stringify(token)} is not in the tokenizer's vocabulary; name one that is`,
  );
}
