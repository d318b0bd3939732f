// One file from an address onto the disk: several ranges at a time, resumed after an interruption, checked by its
// hash before it gets its name. It knows no hub and no cache.
import { createHash } from "node:crypto";
import { createReadStream, existsSync, writeFileSync } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import path from "node:path";
import { UserError } from "../../errors.js";
import { recallJson } from "../../files/json-file.js";
import { makeFolder } from "../../files/make-folder.js";
import { isSize } from "../../files/outside-path.js";
import { count, list, object, optional, text } from "../../files/shape.js";
import { type Answer, failureOf, type Http, HttpFailure } from "./http.js";
import { Pace } from "./pace.js";

const LEAST_PART = 32 * 2 ** 20;
const MOST_PARTS = 16;
const JOURNAL_MS = 1000;
/** Bytes of a file whose size nobody says: of those that training needs, only small ones come so. */
const MOST_UNANNOUNCED = 2 ** 30;

/** What is to be fetched. */
export interface Job {
  /** What messages call it. */
  readonly name: string;
  readonly address: string;
  /** The file that it becomes. What is unfinished lies beside it under other names. */
  readonly target: string;
  readonly size: number | undefined;
  /** sha256 (64 digits) or git's sha1 of the content (40); any other is not checked. */
  readonly hash: string | undefined;
}

/** Limits how many pieces of work run at a time. */
export class Room {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(places: number) {
    this.#free = places;
  }

  async with<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((go) => this.#waiting.push(go));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}

interface Part {
  readonly start: number;
  /** One past its last byte. */
  readonly end: number;
  /** Bytes that are on the disk, from `start`. */
  done: number;
}

/** The server answers a range with the whole file. */
class NoRanges extends Error {}

// not huggingface_hub's own name: its older versions would append to a file that has holes
export function partialOf(target: string): string {
  return `${target}.qwen-pt.incomplete`;
}

function journalOf(target: string): string {
  return `${partialOf(target)}.json`;
}

/**
 * Fetches a file. `onBytes` gets every number of bytes that arrives, those of an earlier attempt first, and a negative
 * number where bytes turn out to be useless.
 * @throws HttpFailure; UserError where the content is not the one that the hub promises
 */
export async function transfer(
  http: Http,
  job: Job,
  room: Room,
  onBytes: (bytes: number) => void,
): Promise<void> {
  makeFolder(path.dirname(job.target));
  for (let attempt = 1; ; attempt++) {
    const carrier = new Carrier(http, job, room, onBytes);
    await carrier.fetch();
    const found = await hashOf(partialOf(job.target), job.hash);
    if (found === undefined || found === job.hash) break;
    onBytes(-carrier.bytes);
    await discard(job.target);
    if (attempt === 2) {
      throw new UserError(
        `${job.name}: what arrives is not what the hub promises (hash ${found.slice(0, 12)}... in place of ${job.hash?.slice(0, 12)}...), twice; a proxy or mirror alters it, or the repository is being changed: try again later, or another endpoint`,
      );
    }
  }
  await rename(partialOf(job.target), job.target);
  await rm(journalOf(job.target), { force: true });
}

async function discard(target: string): Promise<void> {
  await rm(partialOf(target), { force: true });
  await rm(journalOf(target), { force: true });
}

/** One attempt at a file. */
class Carrier {
  #parts: Part[];
  #handle: FileHandle | undefined;
  /** Where the bytes were found to be, when the hub sent the request there. */
  #location: string | undefined;
  #lastJournal = Date.now();
  readonly #resumed: boolean;

  constructor(
    readonly http: Http,
    readonly job: Job,
    readonly room: Room,
    readonly onBytes: (bytes: number) => void,
  ) {
    const earlier = readJournal(job);
    this.#resumed = earlier !== undefined;
    this.#parts = earlier ?? split(job.size);
    if (this.bytes > 0) onBytes(this.bytes);
  }

  get bytes(): number {
    return this.#parts.reduce((sum, { done }) => sum + done, 0);
  }

  async fetch(): Promise<void> {
    this.#handle = await open(partialOf(this.job.target), this.#resumed ? "r+" : "w+");
    try {
      try {
        await this.#allParts();
      } catch (error) {
        if (!(error instanceof NoRanges)) throw error;
        this.#restart();
        await this.room.with(() => this.#whole());
      }
      // a name must not outlive its bytes when the power fails
      await this.#handle.datasync();
    } catch (error) {
      this.#writeJournal();
      throw error;
    } finally {
      await this.#handle.close();
    }
  }

  /** Where one part fails, the others are let run out before the file is closed. */
  async #allParts(): Promise<void> {
    if (this.job.size === undefined) throw new NoRanges();
    let failed = false;
    const work = this.#parts.map((part) =>
      this.room
        .with(async () => {
          if (!failed && part.done < part.end - part.start) await this.#onePart(part);
        })
        .catch((error: unknown) => {
          failed = true;
          throw error;
        }),
    );
    const results = await Promise.allSettled(work);
    const first = results.find((result) => result.status === "rejected");
    if (first !== undefined) throw first.reason;
  }

  async #onePart(part: Part): Promise<void> {
    let before = part.done;
    const progressed = (): boolean => {
      const has = part.done > before;
      before = part.done;
      return has;
    };
    await this.http.persist(
      async () => {
        const from = part.start + part.done;
        const answer = await this.#request({ range: `bytes=${from}-${part.end - 1}` });
        if (answer.status !== 206 || !answersFrom(answer, from)) {
          const isWhole = answer.status === 200 && from === 0 && part.end === this.job.size;
          if (!isWhole) {
            answer.body.destroy();
            throw new NoRanges();
          }
        }
        await this.#pour(answer, part);
      },
      { progressed },
    );
  }

  /** Without ranges nothing can be resumed: each attempt starts over. */
  async #whole(): Promise<void> {
    await this.http.persist(async () => {
      this.#restart();
      const answer = await this.#request({});
      const length = this.job.size ?? lengthOf(answer) ?? MOST_UNANNOUNCED;
      const part = { start: 0, end: length, done: 0 };
      this.#parts = [part];
      await this.#handle!.truncate(0);
      await this.#pour(answer, part);
    });
  }

  #restart(): void {
    if (this.bytes > 0) this.onBytes(-this.bytes);
    this.#parts = [];
  }

  /** Asks where the bytes were last found, and the hub again where that address has expired. */
  async #request(headers: Record<string, string>): Promise<Answer> {
    if (this.#location !== undefined) {
      try {
        return await this.http.open(this.#location, { headers, anonymous: true });
      } catch (error) {
        const expired =
          error instanceof HttpFailure &&
          error.status !== undefined &&
          error.status < 500 &&
          error.status !== 429;
        if (!expired) throw error;
        this.#location = undefined;
      }
    }
    const answer = await this.http.open(this.job.address, { headers });
    if (new URL(answer.url).origin !== new URL(this.job.address).origin) this.#location = answer.url;
    return answer;
  }

  async #pour(answer: Answer, part: Part): Promise<void> {
    const handle = this.#handle!;
    const pace = new Pace(this.http.silence);
    try {
      for await (const chunk of answer.body as AsyncIterable<Buffer>) {
        if (!pace.keeps(chunk.length)) throw tooSlow(this.job);
        if (part.start + part.done + chunk.length > part.end) {
          throw new HttpFailure("more bytes than announced", undefined, "TOO_LONG", "", undefined);
        }
        await writeAll(handle, chunk, part.start + part.done, this.job);
        part.done += chunk.length;
        this.onBytes(chunk.length);
        if (Date.now() - this.#lastJournal > JOURNAL_MS) this.#writeJournal();
      }
    } catch (error) {
      this.http.signal?.throwIfAborted();
      if (error instanceof UserError) throw error;
      throw failureOf(error);
    } finally {
      answer.body.destroy();
    }
    if (part.start + part.done < part.end && part.end !== MOST_UNANNOUNCED) {
      throw new HttpFailure("the connection ended early", undefined, "ENDED_EARLY", "", undefined);
    }
  }

  #writeJournal(): void {
    this.#lastJournal = Date.now();
    const { size, hash } = this.job;
    if (size === undefined || this.#parts.length === 0) return;
    try {
      writeFileSync(journalOf(this.job.target), JSON.stringify({ size, hash, parts: this.#parts }));
    } catch {
      // then an interruption costs what was fetched so far
    }
  }
}

async function writeAll(handle: FileHandle, chunk: Buffer, at: number, job: Job): Promise<void> {
  try {
    for (let done = 0; done < chunk.length; ) {
      done += (await handle.write(chunk, done, chunk.length - done, at + done)).bytesWritten;
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOSPC" && code !== "EDQUOT" && code !== "EFBIG") throw error;
    throw new UserError(
      `${job.name}: the disk of ${path.dirname(job.target)} is full (${code}); free some space and start again, which goes on where it stopped, or move the cache (HF_HOME, cache_dir)`,
    );
  }
}

function tooSlow(job: Job): UserError {
  return new UserError(
    `${job.name}: arrives at less than ${Pace.LEAST} bytes a second; try again later, which goes on where it stopped, or another hub (HF_ENDPOINT)`,
  );
}

function answersFrom(answer: Answer, from: number): boolean {
  return new RegExp(`^bytes ${from}-`).test(answer.headers["content-range"] ?? "");
}

function lengthOf(answer: Answer): number | undefined {
  const length = answer.headers["content-length"];
  return length !== undefined && isSize(Number(length)) ? Number(length) : undefined;
}

function split(size: number | undefined): Part[] {
  if (size === undefined) return [];
  const length = Math.max(LEAST_PART, Math.ceil(size / MOST_PARTS));
  const parts: Part[] = [];
  for (let start = 0; start < size; start += length) {
    parts.push({ start, end: Math.min(size, start + length), done: 0 });
  }
  return parts;
}

const JOURNAL_SHAPE = object({
  size: count,
  hash: optional(text),
  parts: list(object({ start: count, end: count, done: count })),
});

/** What an earlier attempt at the same content left. */
function readJournal(job: Job): Part[] | undefined {
  // without a hash nothing would tell bytes of one content from those of another
  if (job.hash === undefined || !existsSync(partialOf(job.target))) return undefined;
  const journal = recallJson(journalOf(job.target), JOURNAL_SHAPE);
  if (journal === undefined) return undefined;
  const { size, hash, parts } = journal;
  let at = 0;
  for (const { start, end, done } of parts) {
    if (start !== at || !(end > start) || done > end - start) return undefined;
    at = end;
  }
  return size === job.size && hash === job.hash && at === size ? parts : undefined;
}

/** The hash of a file in the kind of `like`; undefined where that is none. */
export async function hashOf(file: string, like: string | undefined): Promise<string | undefined> {
  const kind = like === undefined ? "" : /^[0-9a-f]{64}$/.test(like) ? "sha256" : "sha1";
  if (kind === "" || (kind === "sha1" && !/^[0-9a-f]{40}$/.test(like ?? ""))) return undefined;
  const hash = createHash(kind);
  const handle = await open(file);
  try {
    // git hashes a header with the content
    if (kind === "sha1") hash.update(`blob ${(await handle.stat()).size}\0`);
    for await (const chunk of createReadStream("", {
      fd: handle,
      highWaterMark: 2 ** 20,
      autoClose: false,
    })) {
      hash.update(chunk as Buffer);
    }
  } finally {
    await handle.close();
  }
  return hash.digest("hex");
}
