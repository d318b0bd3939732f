// New entries for a byte-level BPE tokenizer, learned from text: the merges that shorten it most, on top of those that
// the tokenizer has. Old merges keep their ranks and are done first, so every text is cut as before and then joined
// further. Reads no files; for what a model makes of new tokens, see lib/train.

import { byteAlphabet } from "../../data/tokenizer/byte-level.js";
import { BytePairs, bytePairTables, LONGEST_PIECE } from "../../data/tokenizer/byte-pairs.js";
import { hasPattern, isPlain } from "../../data/tokenizer/encoder-form.js";
import { UserError } from "../../errors.js";
import { findMerges } from "./merge-search.js";
import type { TokenPieces } from "./pair-counts.js";

/** The parsed content of a tokenizer.json. */
export type TokenizerJson = Readonly<Record<string, unknown>>;

/** What {@link learnMerges} is to find. */
export interface LearnOptions {
  /** Entries wanted; there are fewer where the text has no more pairs that are common enough. */
  readonly count: number;
  /** Least number of times that a pair must occur to be joined. Default 8. */
  readonly minCount?: number;
}

/** An entry that was learned. */
export interface NewEntry {
  /** As tokenizer.json spells it: one character of the byte-level alphabet for each byte. */
  readonly token: string;
  /** Its token id, after all that there are. */
  readonly id: number;
  /** The two tokens that become this one. */
  readonly merge: readonly [string, string];
  /** How often the two stood side by side when they were joined. */
  readonly count: number;
  /** Ids of the tokens that the text had before any was learned. */
  readonly pieces: Int32Array;
}

// Qwen's pattern and GPT-2's for JavaScript. They cut learning's text only: where the engines' notions of a space differ,
// a count may be off by one, and ids never are.
const QWEN =
  /'(?:[sdmtSDMT]|[lL]{2}|[vV][eE]|[rR][eE])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+/gu;

const GPT2 = /'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/** The least count where none is given. */
export const MIN_COUNT = 8;

/**
 * Learns entries from texts. The same texts in the same order give the same entries.
 *
 * @param tokenizer the content of tokenizer.json: byte-level BPE over Qwen's pattern
 * @throws UserError for a tokenizer of another form
 */
export function learnMerges(
  tokenizer: TokenizerJson,
  texts: Iterable<string>,
  { count, minCount = MIN_COUNT }: LearnOptions,
): NewEntry[] {
  const form = formOf(tokenizer);
  if (form === undefined) {
    throw new UserError(
      "extend_vocab: tokenizer.json is not of the form that entries are learned for (byte-level BPE over Qwen's or " +
        "GPT-2's pattern); leave extend_vocab out, or use a Qwen3 model's tokenizer",
    );
  }
  const names = tokenNames(tokenizer);
  const known = new Set(names.values());
  const firstId = nextId(tokenizer);
  const pieces = cut(texts, form);
  const found = findMerges(pieces, {
    count,
    minCount,
    firstId,
    allows(left, right, id) {
      const token = names.get(left)! + names.get(right)!;
      // a token of the vocabulary that other merges lead to would set old merges going again
      if (known.has(token) || !isReadable(token)) return false;
      known.add(token);
      names.set(id, token);
      return true;
    },
  });
  const origins = new Map<number, readonly number[]>();
  const originsOf = (id: number) => origins.get(id) ?? [id];
  return found.map(({ left, right, id, count: times }) => {
    const own = [...originsOf(left), ...originsOf(right)];
    origins.set(id, own);
    return {
      token: names.get(id)!,
      id,
      merge: [names.get(left)!, names.get(right)!],
      count: times,
      pieces: Int32Array.from(own),
    };
  });
}

interface Parts {
  readonly model: { readonly vocab: Readonly<Record<string, number>>; readonly merges: readonly unknown[] };
  readonly added_tokens?: readonly { readonly id: number; readonly content: string }[];
}

/** How a tokenizer cuts text. */
interface Form {
  readonly pattern: RegExp;
  /** Text is brought into NFC first. */
  readonly normalizes: boolean;
  readonly pairs: BytePairs;
  /** Texts of added tokens, which are cut out before all else. */
  readonly added: readonly string[];
}

/** Undefined for a tokenizer that merges something else than bytes, or cuts by another pattern. */
function formOf(tokenizer: TokenizerJson): Form | undefined {
  const { model, added_tokens: added = [] } = tokenizer as unknown as Parts;
  const normalizer = tokenizer.normalizer as { type?: string } | null | undefined;
  if (!isPlain(model) || (normalizer && normalizer.type !== "NFC")) return undefined;
  const pattern = hasPattern(tokenizer.pre_tokenizer) ? QWEN : gpt2(tokenizer.pre_tokenizer);
  const tables = bytePairTables(model.vocab, model.merges as string[]);
  if (pattern === undefined || tables === undefined) return undefined;
  return {
    pattern,
    normalizes: normalizer?.type === "NFC",
    pairs: new BytePairs(tables),
    added: added.map(({ content }) => content).filter((content) => content !== ""),
  };
}

function gpt2(value: unknown): RegExp | undefined {
  const { type, use_regex, add_prefix_space } = (value ?? {}) as Record<string, unknown>;
  return type === "ByteLevel" && use_regex !== false && add_prefix_space === false ? GPT2 : undefined;
}

/** The id behind all of a tokenizer's. */
export function nextId(tokenizer: TokenizerJson): number {
  let highest = -1;
  for (const id of tokenNames(tokenizer).keys()) highest = Math.max(highest, id);
  return highest + 1;
}

/** Every token's spelling by its id, those that were added included. */
function tokenNames(tokenizer: TokenizerJson): Map<number, string> {
  const { model, added_tokens: added = [] } = tokenizer as unknown as Parts;
  const names = new Map<number, string>();
  for (const [token, id] of Object.entries(model.vocab)) names.set(id, token);
  for (const { id, content } of added) names.set(id, content);
  return names;
}

/**
 * The same tokenizer with the entries, as a new object. Tokens keep their ids. Those that had been added are listed in
 * the vocabulary too: Hugging Face's library numbers added tokens behind it, and would move them otherwise.
 */
export function extendTokenizer(tokenizer: TokenizerJson, entries: readonly NewEntry[]): TokenizerJson {
  const { model, added_tokens: added = [] } = tokenizer as unknown as Parts;
  const vocab: Record<string, number> = { ...model.vocab };
  for (const { content, id } of added) vocab[content] ??= id;
  for (const { token, id } of entries) vocab[token] = id;
  const joined = typeof model.merges[0] === "string";
  const merges = entries.map(({ merge }) => (joined ? merge.join(" ") : [...merge]));
  return { ...tokenizer, model: { ...model, vocab, merges: [...model.merges, ...merges] } };
}

/**
 * The pieces of the entries that an extended tokenizer has, in the order of their ids: what {@link learnMerges} gave.
 *
 * @param first the first entry's id
 */
export function entryPieces(tokenizer: TokenizerJson, first: number): Int32Array[] {
  const { vocab, merges } = (tokenizer as unknown as Parts).model;
  const origins: number[][] = [];
  const originsOf = (token: string) => origins[(vocab[token] as number) - first] ?? [vocab[token] as number];
  for (const merge of merges) {
    const [left, right] = (typeof merge === "string" ? merge.split(" ") : merge) as [string, string];
    const id = vocab[left + right];
    if (id !== undefined && id >= first) origins[id - first] = [...originsOf(left), ...originsOf(right)];
  }
  return origins.map((ids) => Int32Array.from(ids));
}

const BYTE_OF = new Map(byteAlphabet().map((symbol, byte) => [symbol, byte]));
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Whole characters, or bytes inside a single one: no entry ends in the middle of a second character. */
function isReadable(token: string): boolean {
  const bytes = Uint8Array.from(token, (symbol) => BYTE_OF.get(symbol) ?? 0);
  if (bytes.length < 4) {
    const rest = bytes.subarray(bytes[0]! >= 0xc0 ? 1 : 0);
    if (rest.every((byte) => byte >= 0x80 && byte < 0xc0)) return true;
  }
  try {
    strict.decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** The different pieces of texts as the tokenizer's ids, in the order in which they are met. */
function cut(texts: Iterable<string>, { pattern, normalizes, pairs, added }: Form): TokenPieces {
  const counts = new Map<string, number>();
  const alternatives = added.map((content) => content.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&"));
  const split = alternatives.length === 0 ? undefined : new RegExp(alternatives.join("|"));
  for (const text of texts) {
    const plain = normalizes ? text.normalize("NFC") : text;
    for (const part of split === undefined ? [plain] : plain.split(split)) {
      for (const [piece] of part.matchAll(pattern)) counts.set(piece, (counts.get(piece) ?? 0) + 1);
    }
  }
  const encoder = new TextEncoder();
  const starts = new Int32Array(counts.size + 1);
  let ids = new Int32Array(1 << 16);
  let end = 0;
  let at = 0;
  for (const piece of counts.keys()) {
    const bytes = encoder.encode(piece).subarray(0, LONGEST_PIECE);
    if (end + bytes.length > ids.length) {
      const grown = new Int32Array(2 ** Math.ceil(Math.log2(end + bytes.length + 1)));
      grown.set(ids);
      ids = grown;
    }
    end = pairs.encode(bytes, bytes.length, ids, end);
    starts[++at] = end;
  }
  return { ids: ids.subarray(0, end), starts, counts: Int32Array.from(counts.values()) };
}
