// `extend_vocab`: entries for the tokenizer, learned from a corpus before it is tokenized, and what they save. A resumed
// run learns nothing: its checkpoint holds the tokenizer that it began with.
import { existsSync } from "node:fs";
import path from "node:path";
import type { Recipe } from "../../config/index.js";
import {
  corpusTexts,
  type DatasetHub,
  languageTagsOf,
  loadTokenizer,
  readTokenizerFile,
  type Tokenizer,
} from "../../data/index.js";
import { UserError } from "../../errors.js";
import type { Emit } from "../../events.js";
import {
  entryPieces,
  extendTokenizer,
  learnMerges,
  nextId,
  type TokenizerJson,
} from "../../methods/index.js";
import type { PieceStart } from "../../models/new-rows.js";

/** Where the run stands. */
export interface VocabularySetting {
  /** The checkpoint to go on from. */
  readonly resume: string | undefined;
  readonly hub?: DatasetHub;
  readonly signal?: AbortSignal;
}

/** Text that is learned from: what comes behind it would change little, and must be held in memory. */
const MOST_CHARACTERS = 40_000_000;
/** Every tenth document is kept out of learning, to be measured on. */
const HELD_OUT = 10;
/** Characters that are enough to measure on. */
const MEASURED = 2_000_000;

/** The recipe's tokenizer with learned entries and language tags, and how their rows begin. */
export async function learnedVocabulary(
  recipe: Recipe,
  emit: Emit,
  setting: VocabularySetting,
): Promise<{ tokenizer: Tokenizer; start: PieceStart }> {
  const dir = recipe.model_name_or_path;
  const base = await loadTokenizer(dir, { template: recipe.template });
  const given = readTokenizerFile(dir) as TokenizerJson;
  const first = nextId(given);
  const { resume } = setting;
  if (resume !== undefined && existsSync(path.join(resume, "tokenizer.json"))) {
    const json = readTokenizerFile(resume) as TokenizerJson;
    const tokenizer = await loadTokenizer(dir, { template: recipe.template, json });
    // an adapter has its own rows, and the base rows must be those it was made on
    const pieces = await allPieces(base, tokenizer, first, entryPieces(json, first));
    return { tokenizer, start: startOf(recipe, first, tokenizer, pieces) };
  }
  const { json, pieces, texts } =
    recipe.extend_vocab === null
      ? { json: given, pieces: [], texts: undefined }
      : await learn(recipe, recipe.extend_vocab, given, emit, setting);
  const tags = recipe.add_language_tags ? languageTagsOf(recipe, setting) : [];
  const tokenizer = await loadTokenizer(dir, {
    template: recipe.template,
    json: withTokens(json),
    addTokens: recipe.add_tokens ?? [],
    addSpecialTokens: [...(recipe.add_special_tokens ?? []), ...tags],
  });
  if (texts !== undefined) await report(recipe, base, tokenizer, texts, pieces.length, emit);
  const all = await allPieces(base, tokenizer, first, pieces);
  return { tokenizer, start: startOf(recipe, first, tokenizer, all) };
}

/** The pieces of learned entries, and of the tokens behind them: added ones, as the base tokenizer cuts them. */
async function allPieces(
  base: Tokenizer,
  tokenizer: Tokenizer,
  first: number,
  learned: readonly Int32Array[],
): Promise<Int32Array[]> {
  const pieces = [...learned];
  for (let id = first + learned.length; id < nextId(tokenizer.extended as TokenizerJson); id++)
    pieces.push(await base.encode(tokenizer.decode([id])));
  return pieces;
}

/** Tokens that were added to a tokenizer are listed in its vocabulary, so that none moves when it grows. */
const withTokens = (json: TokenizerJson): object => extendTokenizer(json, []);

function startOf(
  recipe: Recipe,
  first: number,
  tokenizer: Tokenizer,
  pieces: readonly Int32Array[],
): PieceStart {
  const tokens = nextId(tokenizer.extended as TokenizerJson);
  return { init: recipe.extend_vocab_init, first, tokens, pieces };
}

/** Learnt and held-out documents. */
interface Texts {
  readonly learned: readonly string[];
  readonly held: readonly string[];
}

async function learn(
  recipe: Recipe,
  count: number,
  given: TokenizerJson,
  emit: Emit,
  setting: VocabularySetting,
): Promise<{ json: TokenizerJson; pieces: Int32Array[]; texts: Texts }> {
  const texts = await readTexts(recipe, emit, setting);
  const entries = learnMerges(given, texts.learned, { count, minCount: recipe.extend_vocab_min_count });
  if (entries.length === 0)
    throw new UserError(
      `extend_vocab: no two tokens stand side by side ${recipe.extend_vocab_min_count} times in ${texts.learned.length} documents; give a larger corpus, or lower extend_vocab_min_count`,
    );
  if (entries.length < count)
    emit({
      type: "message",
      level: "warning",
      text: `extend_vocab: ${entries.length} entries instead of ${count}: no other pair occurs ${recipe.extend_vocab_min_count} times (extend_vocab_min_count)`,
    });
  return { json: extendTokenizer(given, entries), pieces: entries.map(({ pieces }) => pieces), texts };
}

async function readTexts(recipe: Recipe, emit: Emit, setting: VocabularySetting): Promise<Texts> {
  const names = recipe.extend_vocab_dataset ?? recipe.dataset;
  const characters = MOST_CHARACTERS / names.length;
  const learned: string[] = [];
  const held: string[] = [];
  const read = new Map<string, number>();
  for await (const { dataset, text } of corpusTexts(recipe, names, { ...setting, characters })) {
    read.set(dataset, (read.get(dataset) ?? 0) + text.length);
    ((learned.length + held.length) % HELD_OUT === HELD_OUT - 1 ? held : learned).push(text);
  }
  if (learned.length === 0)
    throw new UserError(
      `extend_vocab: ${names.join(", ")}: there is no text to learn from; name a dataset with documents in extend_vocab_dataset`,
    );
  const long = [...read].filter(([, length]) => length >= characters).map(([name]) => name);
  if (long.length > 0)
    emit({
      type: "message",
      level: "info",
      text: `extend_vocab: learned from the first ${Math.round(characters / 1e6)} million characters of ${long.join(", ")}`,
    });
  return { learned, held };
}

/** Tokens per character before and after, on what was learned from and on what was held out. */
async function report(
  recipe: Recipe,
  base: Tokenizer,
  tokenizer: Tokenizer,
  { learned, held }: Texts,
  count: number,
  emit: Emit,
): Promise<void> {
  const figures = async (texts: readonly string[]): Promise<string> => {
    const [before, after] = [
      await tokensPerCharacter(base, texts),
      await tokensPerCharacter(tokenizer, texts),
    ];
    return `${before.toFixed(4)} -> ${after.toFixed(4)} (${(100 * (after / before - 1)).toFixed(1)} %)`;
  };
  const measured = held.length === 0 ? "" : `, ${await figures(held)} on ${held.length} held out of learning`;
  emit({
    type: "message",
    level: "info",
    text: `extend_vocab: ${count} entries, ${base.vocabSize} -> ${base.vocabSize + count}; tokens per character ${await figures(learned)} on ${learned.length} documents of ${(recipe.extend_vocab_dataset ?? recipe.dataset).join(", ")}${measured}`,
  });
}

async function tokensPerCharacter(tokenizer: Tokenizer, texts: readonly string[]): Promise<number> {
  let tokens = 0;
  let characters = 0;
  for (let at = 0; at < texts.length && characters < MEASURED; at += 256) {
    const some = texts.slice(at, at + 256);
    for (const ids of await tokenizer.encodeBatch(some)) tokens += ids.length;
    for (const text of some) characters += [...text].length;
  }
  return tokens / characters;
}
