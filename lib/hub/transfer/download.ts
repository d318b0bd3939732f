// Several files of one repository at a time: room on the disk first, then each file under its lock, then its place.

import { existsSync, statfsSync, statSync } from "node:fs";
import path from "node:path";
import { UserError } from "../../errors.js";
import { lockFile } from "../../files/file-lock.js";
import { gigabytes } from "../../words.js";
import type { Tally } from "../events.js";
import type { HubSettings } from "../settings.js";
import { hubError, type Wanted } from "./failures.js";
import { Http, type HttpOptions } from "./http.js";
import { type Job, partialOf, Room, transfer } from "./transfer.js";

const CONNECTIONS = 8;

/** A file to fetch, and what becomes of it. */
export interface Errand extends Job {
  /** Its path in the repository. */
  readonly file: string;
  readonly lock: string;
  /** Called under the lock; `isNew` says whether this process fetched it. */
  place(isNew: boolean): void | Promise<void>;
  /** Whether a file at `target` is the right one already: asked under the lock. */
  isThere(): boolean | Promise<boolean>;
}

export interface DownloadOptions extends HttpOptions {
  readonly settings: HubSettings;
  readonly wanted: Wanted;
  readonly tally: Tally;
}

/** Fetches all of them. The first failure ends the others, whose bytes stay for the next time. */
export async function downloadAll(errands: readonly Errand[], options: DownloadOptions): Promise<void> {
  if (errands.length === 0) return;
  const { settings, tally, wanted } = options;
  const total = errands.reduce((sum, { size = 0 }) => sum + size, 0);
  checkRoom(errands, settings, wanted.repository.id);
  tally.expect(errands.length, total);
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  const http = new Http(settings, { ...options, signal });
  const room = new Room(CONNECTIONS);
  const queue = [...errands];
  let failure: { error: unknown } | undefined;
  const carry = async (): Promise<void> => {
    for (let errand = queue.shift(); errand !== undefined; errand = queue.shift()) {
      try {
        await one(http, errand, room, tally);
      } catch (error) {
        failure ??= { error: hubError(error, settings, { ...wanted, file: errand.file }) };
        stop.abort(failure.error);
        return;
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: CONNECTIONS }, carry));
  } finally {
    await http.close();
  }
  options.signal?.throwIfAborted();
  if (failure !== undefined) throw writingError(failure.error, settings);
}

async function one(http: Http, errand: Errand, room: Room, tally: Tally): Promise<void> {
  const unlock = await lockFile(errand.lock, {
    signal: http.signal,
    onWait: () =>
      tally.onEvent({
        type: "message",
        level: "info",
        text: `${errand.name}: another process is fetching it; waiting`,
      }),
  });
  try {
    const there = await errand.isThere();
    if (there) tally.add(errand.size ?? 0);
    else await transfer(http, errand, room, (bytes) => tally.add(bytes));
    await errand.place(!there);
    tally.fileDone();
  } finally {
    await unlock();
  }
}

/** A folder that cannot be written to, in one line. */
export function writingError(error: unknown, settings: HubSettings): unknown {
  const { code, path: file } = (error ?? {}) as NodeJS.ErrnoException;
  if (!["EACCES", "EPERM", "EROFS", "ENOTDIR", "EEXIST", "ENOSPC"].includes(code ?? "")) return error;
  const cache = settings.hub === "modelscope" ? "MODELSCOPE_CACHE" : "HF_HOME";
  return new UserError(
    `${file ?? settings.cacheDir}: cannot be written (${code}); choose another cache by ${cache} or cache_dir, or correct the permissions of ${settings.cacheDir}`,
  );
}

/** Says before hours of downloading that the disk is too small. */
function checkRoom(errands: readonly Errand[], settings: HubSettings, id: string): void {
  const needed = errands.reduce((sum, { size = 0, target }) => {
    const partial = statSync(partialOf(target), { throwIfNoEntry: false });
    return sum + Math.max(0, size - (partial === undefined ? 0 : (partial.blocks ?? 0) * 512));
  }, 0);
  let folder = settings.cacheDir;
  while (!existsSync(folder) && path.dirname(folder) !== folder) folder = path.dirname(folder);
  let free: number;
  try {
    const disk = statfsSync(folder);
    free = disk.bavail * disk.bsize;
  } catch {
    return; // a file system that does not say
  }
  if (needed <= free) return;
  const cache = settings.hub === "modelscope" ? "MODELSCOPE_CACHE" : "HF_HOME";
  throw new UserError(
    `${id}: ${gigabytes(needed)} are needed in ${settings.cacheDir} and ${gigabytes(free)} are free there; free some space, or set ${cache} (or cache_dir in the recipe) to a folder on a larger disk`,
  );
}
