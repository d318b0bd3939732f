// Reads datasets and tokenizes them, one after another, each into its own arena. Which of their documents are
// trained on, and in which order, is decided elsewhere.

import { createHash } from "node:crypto";
import { packageVersion } from "../../version.js";
import { DocumentIds } from "../blocks/document-ids.js";
import { type Documents, JoinedDocuments } from "../blocks/selection.js";
import type { TokenArena } from "../blocks/token-arena.js";
import type { DatasetEntry } from "../datasets/dataset-info.js";
import { readDocuments } from "../datasets/documents.js";
import type { LegacyRandom } from "../random/numpy-random.js";
import { countRows } from "../readers/rows.js";
import type { CorpusCache, CorpusKey } from "../token-cache/corpus-cache.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { encodeRows, rowRule } from "./row-intake.js";

// The tokenizer's results are some hundred bytes a token until their ids are copied, so a batch is bounded both ways.
const BATCH_DOCUMENTS = 1000;
const BATCH_CHARACTERS = 1 << 18;

/** Options of tokenizing a corpus. */
export interface IntakeOptions {
  readonly signal?: AbortSignal;
  /** Called after every batch with what was tokenized so far; a batch ends with its file at the latest, or with its dataset. */
  readonly onProgress?: (progress: { documents: number; tokens: number }) => void;
}

/** How a document's text becomes ids. */
export interface TextRule {
  /** Appended to every document before tokenizing. */
  readonly separator: string;
  /** Put before every document's ids; undefined for none. */
  readonly bosId: number | undefined;
}

/** Tokenizes datasets one after another, by one tokenizer and rule, or takes their tokens from the cache. */
export class Intake {
  readonly #arenas: TokenArena[] = [];
  readonly #tokenizer: Tokenizer;
  readonly #rule: TextRule;
  readonly #cache: CorpusCache;
  readonly #options: IntakeOptions;

  constructor(tokenizer: Tokenizer, rule: TextRule, cache: CorpusCache, options: IntakeOptions) {
    this.#tokenizer = tokenizer;
    this.#rule = rule;
    this.#cache = cache;
    this.#options = options;
  }

  /**
   * Tokenizes a dataset, or takes its tokens from the cache.
   *
   * @param random draws the rows of `num_samples`
   * @returns the corpus's numbers of its documents in their order, repeats included
   */
  async dataset(entry: DatasetEntry, maxSamples: number, random: LegacyRandom): Promise<DocumentIds> {
    const first = this.#arenas.reduce((sum, { documents }) => sum + documents, 0);
    if (entry.numSamples === undefined) {
      const key = this.#key(entry, maxSamples);
      const arena = await this.#cache.tokens(key, (to) => this.#tokenizeAll(entry, maxSamples, to));
      this.#arenas.push(arena);
      return DocumentIds.run(first, arena.documents);
    }
    const rows = drawRows(random, await this.#countAll(entry), entry.numSamples);
    const taken = rows.subarray(0, maxSamples);
    const wanted = new Set(taken);
    const key = this.#key(entry, digestOf(taken.slice().sort()));
    const fill = (to: TokenArena) =>
      this.#tokenize(entry, (row) => wanted.has(row), Number.POSITIVE_INFINITY, to);
    this.#arenas.push(await this.#cache.tokens(key, fill));
    // The arena has the wanted rows in file order; the corpus takes them in drawn order.
    const place = new Map([...wanted].sort((a, b) => a - b).map((row, index) => [row, first + index]));
    return DocumentIds.of(taken.map((row) => place.get(row)!));
  }

  /** @param rows the most that are read, or a digest of those that are */
  #key(entry: DatasetEntry, rows: number | string): CorpusKey {
    const { name, files, columns, languageTag = "", wholeFile = false } = entry;
    const { fingerprint } = this.#tokenizer;
    const reading = [columns, wholeFile, languageTag, String(rows)];
    return { name, files, rules: [packageVersion(), fingerprint, this.#rule, ...reading] };
  }

  async #countAll({ files, wholeFile }: DatasetEntry): Promise<number> {
    if (wholeFile) return files.length;
    let rows = 0;
    for (const file of files) rows += await this.#cache.rows(file, () => countRows(file));
    return rows;
  }

  /** Which dataset a document of the corpus is of, counted in the order of reading. */
  datasetOf(document: number): number {
    let before = 0;
    return this.#arenas.findIndex(({ documents }) => {
      before += documents;
      return document < before;
    });
  }

  /** The documents of all datasets so far, one after another. */
  corpus(): Documents {
    return this.#arenas.length === 1 ? this.#arenas[0]! : new JoinedDocuments([...this.#arenas]);
  }

  /** Tokenizes the rows before `end`: JSON lines as they stand in the file, where the tokenizer takes them so. */
  async #tokenizeAll(entry: DatasetEntry, end: number, arena: TokenArena): Promise<void> {
    const { separator, bosId } = this.#rule;
    const takesRows = bosId === undefined && end > 0 && this.#tokenizer.encodeRows !== undefined;
    const rule = takesRows ? await rowRule(entry, separator) : undefined;
    if (rule === undefined) return this.#tokenize(entry, () => true, end, arena);
    await encodeRows(entry, rule, this.#tokenizer, end, (ids, lengths) => {
      arena.appendAll(ids, lengths);
      this.#report(arena);
    });
  }

  /** Tokenizes the rows before `end` that `wants` picks. Batches are encoded while the next are read. */
  async #tokenize(
    entry: DatasetEntry,
    wants: (row: number) => boolean,
    end: number,
    arena: TokenArena,
  ): Promise<void> {
    let texts: string[] = [];
    let characters = 0;
    let row = 0;
    /** Batches under way; their results are taken in order. */
    const encoding: Promise<Int32Array[]>[] = [];
    const flush = async (): Promise<void> => {
      const batch = this.#tokenizer.encodeBatch(texts);
      // A failure surfaces when its turn has come; until then it is not an unhandled rejection.
      batch.catch(() => {});
      encoding.push(batch);
      texts = [];
      characters = 0;
      if (encoding.length > this.#tokenizer.lanes) await this.#take(encoding, arena);
    };
    if (end > 0) {
      for await (const text of readDocuments(entry)) {
        if (wants(row)) {
          texts.push(text + this.#rule.separator);
          characters += text.length;
        }
        if (++row >= end) break;
        if (texts.length >= BATCH_DOCUMENTS || characters >= BATCH_CHARACTERS) await flush();
      }
    }
    if (texts.length > 0) await flush();
    while (encoding.length > 0) await this.#take(encoding, arena);
  }

  async #take(encoding: Promise<Int32Array[]>[], arena: TokenArena): Promise<void> {
    appendAll(arena, await encoding.shift()!, this.#rule);
    this.#report(arena);
  }

  #report(arena: TokenArena): void {
    this.#options.signal?.throwIfAborted();
    const all = [...this.#arenas, arena];
    this.#options.onProgress?.({
      documents: all.reduce((sum, { documents }) => sum + documents, 0),
      tokens: all.reduce((sum, { tokens }) => sum + tokens, 0),
    });
  }
}

/** Tokenizes documents into an arena, in batches that bound the memory of the tokenizer's results. */
export async function encodeDocuments(
  tokenizer: Tokenizer,
  rule: TextRule,
  documents: readonly string[],
  arena: TokenArena,
): Promise<void> {
  let texts: string[] = [];
  let characters = 0;
  for (const document of documents) {
    texts.push(document + rule.separator);
    characters += document.length;
    if (texts.length < BATCH_DOCUMENTS && characters < BATCH_CHARACTERS) continue;
    appendAll(arena, await tokenizer.encodeBatch(texts), rule);
    texts = [];
    characters = 0;
  }
  if (texts.length > 0) appendAll(arena, await tokenizer.encodeBatch(texts), rule);
}

function appendAll(arena: TokenArena, encoded: readonly Int32Array[], { bosId }: TextRule): void {
  for (const ids of encoded) {
    if (bosId === undefined) arena.append(ids);
    else {
      const begun = new Int32Array(ids.length + 1);
      begun[0] = bosId;
      begun.set(ids, 1);
      arena.append(begun);
    }
  }
}

function digestOf(rows: Int32Array): string {
  return createHash("sha256").update(rows).digest("hex");
}

/** Rows in LLaMA-Factory's order: a permutation's head, then draws with replacement where more are asked for. */
function drawRows(random: LegacyRandom, rows: number, wanted: number): Int32Array {
  if (rows === 0) return new Int32Array(0);
  const head = random.permutation(rows).subarray(0, wanted);
  const more = random.choice(rows, wanted - head.length);
  const all = new Int32Array(wanted);
  all.set(head);
  all.set(more, head.length);
  return all;
}
