// One entry of the cache of tokens on the disk: a folder with the ids of a dataset's documents, their lengths, and a
// file that says how many there are and what their bytes sum to. Written beside its place and renamed.

import { closeSync, existsSync, openSync, readSync, renameSync, rmSync, statSync } from "node:fs";
import path from "node:path";
import { crc32 } from "node:zlib";
import { readJsonFile } from "../../files/json-file.js";
import { makeFolder } from "../../files/make-folder.js";
import { count, type Of, object, oneOf } from "../../files/shape.js";
import { replaceFile } from "../../files/whole-file.js";
import { NumberRun } from "../blocks/number-run.js";
import { TokenArena } from "../blocks/token-arena.js";

/** The version of an entry's files; entries of another are not read. */
export const FORMAT = 1;
/** The file that says what an entry holds. */
export const CONTENTS = "entry.json";
const IDS = "ids.i32";
const LENGTHS = "lengths.i32";
const CHUNK = 1 << 20;

/** Sizes, and the CRC-32 of the two files. */
const CONTENTS_SHAPE = object({
  format: oneOf(FORMAT),
  documents: count,
  tokens: count,
  ids: count,
  lengths: count,
});

/** An arena whose files are made in `workshop`, a folder that it makes. Throws the system's error where it cannot. */
export function startEntry(workshop: string, onRefused: (why: string) => void): TokenArena {
  makeFolder(workshop);
  return new TokenArena(
    { file: path.join(workshop, IDS), onRefused },
    { file: path.join(workshop, LENGTHS), onRefused },
  );
}

/** Moves a finished arena's folder to its place, over what is there. Throws the system's error where it cannot. */
export function finishEntry(workshop: string, place: string, arena: TokenArena): void {
  const contents: Of<typeof CONTENTS_SHAPE> = {
    format: FORMAT,
    documents: arena.documents,
    tokens: arena.tokens,
    ids: checksum(path.join(workshop, IDS)),
    lengths: checksum(path.join(workshop, LENGTHS)),
  };
  replaceFile(path.join(workshop, CONTENTS), JSON.stringify(contents));
  removeEntry(place);
  renameSync(workshop, place);
}

/**
 * The documents of an entry; undefined where there is none.
 *
 * @throws Error for one that is damaged
 */
export function openEntry(place: string): TokenArena | undefined {
  const contents = path.join(place, CONTENTS);
  if (!existsSync(contents)) return undefined;
  const { documents, tokens, ids, lengths } = readJsonFile(contents, CONTENTS_SHAPE);
  const found = (file: string, count: number, sum: number): NumberRun => {
    const whole = path.join(place, file);
    if (statSync(whole).size !== 4 * count) throw new Error(`${file} is cut short, or longer than it was`);
    if (checksum(whole) !== sum) throw new Error(`the checksum of ${file} differs`);
    return NumberRun.open(whole, count);
  };
  const arena = new TokenArena(found(IDS, tokens, ids), found(LENGTHS, documents, lengths));
  if (arena.tokens !== tokens) throw new Error("its documents have another number of tokens");
  return arena;
}

/** Removes an entry at once for everyone who looks, then its files. Those who have it open keep what they have. */
export function removeEntry(place: string): void {
  const gone = path.join(path.dirname(place), `.${path.basename(place)}.${process.pid}.gone`);
  try {
    renameSync(place, gone);
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  rmSync(gone, { recursive: true, force: true });
}

function isMissing(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "");
}

function checksum(file: string): number {
  const handle = openSync(file, "r");
  try {
    const bytes = Buffer.allocUnsafe(CHUNK);
    let sum = 0;
    for (let count = readSync(handle, bytes); count > 0; count = readSync(handle, bytes))
      sum = crc32(bytes.subarray(0, count), sum);
    return sum;
  } finally {
    closeSync(handle);
  }
}
