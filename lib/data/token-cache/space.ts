// Keeps the cache of tokens within its limit: the entries that were not used for longest go first, and what killed
// processes left behind goes with them.

import { readdirSync, rmSync, statSync, utimesSync } from "node:fs";
import path from "node:path";
import { CONTENTS, removeEntry } from "./entry.js";

const DAY_MS = 86_400_000;
/** Half-made entries that nobody has written to for so long are nobody's. */
const ABANDONED_MS = DAY_MS;
/** Locks and records of files are small, and made again where they are missing. */
const FORGOTTEN_MS = 60 * DAY_MS;
const ENTRY = /^[0-9a-f]{32}$/;

/** Makes an entry the one that was used last. */
export function touchEntry(place: string): void {
  const now = new Date();
  try {
    utimesSync(path.join(place, CONTENTS), now, now);
  } catch {
    // a cache that others filled may be readable only
  }
}

/** Bytes of a folder's files. */
export function sizeOf(folder: string): number {
  return readdirSync(folder).reduce((sum, name) => sum + statSync(path.join(folder, name)).size, 0);
}

/** Removes entries, the one unused for longest first, until those left take at most `limit` bytes; `kept` stays. */
export function keepWithin(folder: string, limit: number, kept: string): void {
  const entries = [];
  let total = 0;
  for (const name of readdirSync(folder)) {
    const place = path.join(folder, name);
    try {
      if (!ENTRY.test(name)) {
        removeForgotten(place, name);
        continue;
      }
      const bytes = sizeOf(place);
      total += bytes;
      if (name !== kept) entries.push({ place, bytes, used: statSync(path.join(place, CONTENTS)).mtimeMs });
    } catch {
      // another process removes it at this moment
    }
  }
  for (const { place, bytes } of entries.sort((a, b) => a.used - b.used)) {
    if (total <= limit) break;
    try {
      removeEntry(place);
      total -= bytes;
    } catch {
      // not ours to remove: the next one
    }
  }
}

function removeForgotten(place: string, name: string): void {
  const isWorkshop = name.startsWith(".");
  if (isWorkshop && Date.now() - lastWritten(place) > ABANDONED_MS)
    rmSync(place, { recursive: true, force: true });
  if (name.endsWith(".lock") && Date.now() - statSync(place).mtimeMs > FORGOTTEN_MS)
    rmSync(place, { force: true });
  if (name !== "files") return;
  for (const record of readdirSync(place)) {
    const file = path.join(place, record);
    if (Date.now() - statSync(file).mtimeMs > FORGOTTEN_MS) rmSync(file, { force: true });
  }
}

function lastWritten(folder: string): number {
  const files = readdirSync(folder).map((name) => statSync(path.join(folder, name)).mtimeMs);
  return Math.max(statSync(folder).mtimeMs, ...files);
}
