// The cache of tokens: a dataset that was tokenized once is not tokenized again while its files, the tokenizer and what
// decides which ids its documents become are the same. It is found by a hash of these. What cannot be kept costs a
// warning, never the run. (`tokenized_path` is another thing: finished blocks, in a folder that the user names.)

import { createHash } from "node:crypto";
import { rmSync } from "node:fs";
import path from "node:path";
import { messageOf } from "../../errors.js";
import { lockFile } from "../../files/file-lock.js";
import { gigabytes, plural } from "../../words.js";
import { TokenArena } from "../blocks/token-arena.js";
import { fileType } from "../readers/rows.js";
import { finishEntry, openEntry, removeEntry, startEntry } from "./entry.js";
import { FileRecords, identityOf } from "./file-records.js";
import type { CacheSettings } from "./settings.js";
import { keepWithin, sizeOf, touchEntry } from "./space.js";

/** A dataset's files, and all else that decides its tokens, as plain data. */
export interface CorpusKey {
  readonly name: string;
  readonly files: readonly string[];
  readonly rules: unknown;
}

/** How the cache of tokens is used. */
export interface CacheOptions {
  /** Tokenize again what is there. */
  readonly overwrite: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Called once where another process is tokenizing the same. */
  readonly onWait?: ((dataset: string) => void) | undefined;
}

type Fill = (arena: TokenArena) => Promise<void>;

/** Tokens of datasets by what decides them. What cannot be read or kept costs a warning, never the run. */
export class CorpusCache {
  /** What was taken from the cache and what was kept, a line each. */
  readonly notes: string[] = [];
  /** What went wrong, a line each. */
  readonly warnings: string[] = [];
  readonly #settings: CacheSettings | undefined;
  readonly #options: CacheOptions;
  readonly #records: FileRecords | undefined;

  /** @param settings undefined for no cache: tokens then lie in memory, or in a file that is gone with the process */
  constructor(settings: CacheSettings | undefined, options: CacheOptions) {
    this.#settings = settings;
    this.#options = options;
    if (settings !== undefined) this.#records = new FileRecords(path.join(settings.folder, "files"));
  }

  /** The number of a file's rows, by `count` where it is not known. */
  async rows(file: string, count: () => Promise<number>): Promise<number> {
    return this.#records === undefined ? count() : this.#records.rows(file, count);
  }

  /** A dataset's tokens: from the cache, or those that `fill` puts into an empty arena. */
  async tokens(corpus: CorpusKey, fill: Fill): Promise<TokenArena> {
    if (this.#settings === undefined) return this.#withoutName(fill);
    const { folder } = this.#settings;
    const key = await this.#key(corpus);
    const place = path.join(folder, key);
    const found = this.#find(corpus.name, place);
    if (found !== undefined) return found;
    const { signal, onWait } = this.#options;
    let release = async (): Promise<void> => {};
    try {
      release = await lockFile(`${place}.lock`, { signal, onWait: () => onWait?.(corpus.name) });
    } catch (error) {
      signal?.throwIfAborted();
      this.#refused(messageOf(error));
      return this.#withoutName(fill);
    }
    try {
      return this.#find(corpus.name, place) ?? (await this.#make(corpus, place, fill));
    } finally {
      await release();
    }
  }

  async #withoutName(fill: Fill): Promise<TokenArena> {
    const onRefused = (why: string) => {
      const text = `token ids stay in memory: no temporary file can be written (${why})`;
      if (!this.warnings.includes(text)) this.warnings.push(text);
    };
    const arena = new TokenArena({ onRefused }, { onRefused });
    await fill(arena);
    return arena;
  }

  /** An entry that is there and whole. A damaged one is removed, with a warning. */
  #find(name: string, place: string): TokenArena | undefined {
    if (this.#options.overwrite) return undefined;
    try {
      const arena = openEntry(place);
      if (arena === undefined) return undefined;
      touchEntry(place);
      this.notes.push(`dataset: ${name}: ${counted(arena)} taken from the cache (${place})`);
      return arena;
    } catch (error) {
      this.warnings.push(`the cache of tokens: ${place} is damaged (${messageOf(error)}); it is rebuilt`);
      try {
        removeEntry(place);
      } catch {
        // then it is written over, or that is refused too
      }
      return undefined;
    }
  }

  async #make(corpus: CorpusKey, place: string, fill: Fill): Promise<TokenArena> {
    const { folder, limit } = this.#settings!;
    const workshop = path.join(folder, `.${path.basename(place)}.${process.pid}.tmp`);
    const before = corpus.files.map(identityOf);
    let refused: string | undefined;
    let arena: TokenArena;
    rmSync(workshop, { recursive: true, force: true });
    try {
      arena = startEntry(workshop, (why) => {
        refused ??= why;
      });
    } catch (error) {
      this.#refused(messageOf(error));
      return this.#withoutName(fill);
    }
    try {
      await fill(arena);
      arena.ids.flush();
      arena.lengths.flush();
      if (refused !== undefined) throw new Refused(refused);
      // what was read is not what the key says
      if (corpus.files.some((file, i) => identityOf(file) !== before[i])) return arena;
      const bytes = sizeOf(workshop);
      if (bytes > limit) {
        this.notes.push(
          `dataset: ${corpus.name}: its tokens take ${gigabytes(bytes)}, more than the cache's limit of ${gigabytes(limit)}, ` +
            "and are not kept; QWEN_PT_TOKEN_CACHE raises it",
        );
        return arena;
      }
      this.#keep(corpus, { workshop, place }, arena);
      return arena;
    } catch (error) {
      if (!(error instanceof Refused)) {
        arena.close();
        throw error;
      }
      this.#refused(error.message);
      return arena; // what the disk refused is in memory
    } finally {
      rmSync(workshop, { recursive: true, force: true });
    }
  }

  #keep(
    { name }: CorpusKey,
    { workshop, place }: { workshop: string; place: string },
    arena: TokenArena,
  ): void {
    const { folder, limit } = this.#settings!;
    try {
      finishEntry(workshop, place, arena);
      keepWithin(folder, limit, path.basename(place));
    } catch (error) {
      throw new Refused(messageOf(error));
    }
    this.notes.push(`dataset: ${name}: ${counted(arena)} kept in the cache for the next run (${place})`);
  }

  #refused(why: string): void {
    const text = `the cache of tokens cannot be written (${why}); the run goes on without it, and the next one tokenizes again`;
    if (!this.warnings.includes(text)) this.warnings.push(text);
  }

  /** A hash of everything that the tokens depend on. */
  async #key({ files, rules }: CorpusKey): Promise<string> {
    const contents = [];
    for (const file of files)
      contents.push([fileType(file) ?? path.extname(file), await this.#records!.digest(file)]);
    return createHash("sha256")
      .update(JSON.stringify([contents, rules]))
      .digest("hex")
      .slice(0, 32);
  }
}

/** The disk refuses: reason for a warning. */
class Refused extends Error {}

function counted({ documents, tokens }: TokenArena): string {
  return `${plural(tokens, "token")} of ${plural(documents, "document")}`;
}
