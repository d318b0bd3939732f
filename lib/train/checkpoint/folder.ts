// The life of a checkpoint folder: written beside its place, flushed, renamed; found again, checked, and the oldest
// removed. Knows nothing of what is inside but the manifest.
import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import path from "node:path";
import { UserError } from "../../errors.js";
import { readJsonFile } from "../../files/json-file.js";
import { makeFolder } from "../../files/make-folder.js";
import { writeError, writeWhole } from "../../files/output-file.js";
import { insideFolder } from "../../files/outside-path.js";
import { mayStillWrite } from "../../files/processes.js";
import { count, type Of, object, oneOf, sha256 as sha256Shape, table } from "../../files/shape.js";

const MANIFEST = "manifest.json";
const TEMPORARY = /^\.(?<original>checkpoint-\d+)\.(?<pid>\d+)\.(?<kind>tmp|old)$/;
/** What a write in progress leaves beside its file: output-file.ts's name, and the tensor writer's. */
const UNFINISHED = /^\..+\.(?<pid>\d+)\.tmp$|\.safetensors\.tmp-(?<writer>\d+)-\d+$/;

const MANIFEST_SHAPE = object({
  format: oneOf(1),
  step: count,
  /** Bytes and SHA-256 of every file. */
  files: table(object({ bytes: count, sha256: sha256Shape })),
});
type Manifest = Of<typeof MANIFEST_SHAPE>;
/** What the manifest says of a file. */
export interface WrittenFile {
  readonly bytes: number;
  readonly sha256: string;
}
/** Files of a folder, by name. */
export type Written = Readonly<Record<string, WrittenFile>>;

/** `checkpoint-500` of an output folder. */
export function checkpointPath(outputDir: string, step: number): string {
  return path.join(outputDir, `checkpoint-${step}`);
}

/** Length and checksum of a file that was written, as the manifest has them. */
export function measured(file: string): WrittenFile {
  return { bytes: statSync(file).size, sha256: sha256(file) };
}

function sha256(file: string): string {
  const hash = createHash("sha256");
  const handle = openSync(file, "r");
  try {
    const chunk = Buffer.allocUnsafe(1 << 22);
    for (let read = readSync(handle, chunk); read > 0; read = readSync(handle, chunk))
      hash.update(chunk.subarray(0, read));
  } finally {
    closeSync(handle);
  }
  return hash.digest("hex");
}

function flush(place: string): void {
  const handle = openSync(place, "r");
  try {
    fsyncSync(handle);
  } catch (error) {
    // Windows does not flush folders
    if (
      (error as NodeJS.ErrnoException).code !== "EPERM" &&
      (error as NodeJS.ErrnoException).code !== "EISDIR"
    )
      throw error;
  } finally {
    closeSync(handle);
  }
}

/** Where `checkpoint-<step>` is written by process `pid` before it is whole. */
export function unfinishedPath(outputDir: string, step: number, pid: number): string {
  return path.join(outputDir, `.checkpoint-${step}.${pid}.tmp`);
}

/**
 * Begins `checkpoint-<step>`, which is written whole or not at all: an empty folder, which {@link finishCheckpoint} puts
 * in its place.
 * @throws UserError where the disk refuses
 */
export function beginCheckpoint(outputDir: string, step: number): string {
  const temporary = unfinishedPath(outputDir, step, process.pid);
  try {
    makeFolder(outputDir);
    rmSync(temporary, { recursive: true, force: true });
    mkdirSync(temporary);
  } catch (error) {
    throw error instanceof UserError ? error : writeError(checkpointPath(outputDir, step), error);
  }
  return temporary;
}

/**
 * Adds a manifest to what {@link beginCheckpoint} began, flushes everything and renames the folder. An earlier folder of
 * that name is replaced.
 * @param known files that those who wrote them have flushed and measured
 * @returns the path of the checkpoint
 * @throws UserError where the disk refuses; nothing is left behind then
 */
export function finishCheckpoint(outputDir: string, step: number, known: Written = {}): string {
  const final = checkpointPath(outputDir, step);
  const temporary = unfinishedPath(outputDir, step, process.pid);
  const aside = path.join(outputDir, `.checkpoint-${step}.${process.pid}.old`);
  try {
    checkThere(temporary, known);
    const files: Manifest["files"] = {};
    for (const name of readdirSync(temporary).sort()) {
      const file = path.join(temporary, name);
      if (known[name] === undefined) flush(file);
      files[name] = known[name] ?? measured(file);
    }
    const manifest: Manifest = { format: 1, step, files };
    writeWhole(path.join(temporary, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
    flush(temporary);
    if (existsSync(final)) renameSync(final, aside);
    renameSync(temporary, final);
    flush(outputDir);
    rmSync(aside, { recursive: true, force: true });
  } catch (error) {
    dropCheckpoint(outputDir, step);
    if (!existsSync(final) && existsSync(aside)) renameSync(aside, final);
    throw error instanceof UserError ? error : writeError(final, error);
  }
  return final;
}

/** @throws UserError where a file that another process has written is not there, or not all of it */
function checkThere(dir: string, known: Written): void {
  for (const [name, { bytes }] of Object.entries(known)) {
    const file = path.join(dir, name);
    if (statSync(file, { throwIfNoEntry: false })?.size !== bytes)
      throw new UserError(
        `${file}: another process has written it, and it is not whole here; choose an output_dir that all machines share`,
      );
  }
}

/** Removes what {@link beginCheckpoint} began. */
export function dropCheckpoint(outputDir: string, step: number): void {
  removeFolder(unfinishedPath(outputDir, step, process.pid));
}

/** Removes a folder into which another process may still be writing. */
export function removeFolder(dir: string): void {
  rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
}

/** Removes what a process that is gone left half-written, and puts back what it had set aside. */
export function cleanStale(outputDir: string): void {
  if (!existsSync(outputDir)) return;
  for (const name of readdirSync(outputDir)) {
    const place = path.join(outputDir, name);
    const folder = TEMPORARY.exec(name)?.groups;
    const owner = folder ?? UNFINISHED.exec(name)?.groups;
    const written = lstatSync(place, { throwIfNoEntry: false })?.mtimeMs;
    if (owner === undefined || written === undefined) continue;
    if (mayStillWrite(Number(owner["pid"] ?? owner["writer"]), written)) continue;
    const original = path.join(outputDir, folder?.["original"] ?? name);
    if (folder?.["kind"] === "old" && !existsSync(original)) renameSync(place, original);
    else rmSync(place, { recursive: true, force: true });
  }
}

/** The checkpoints of an output folder, by step, the last one first. */
export function listCheckpoints(outputDir: string): { step: number; dir: string }[] {
  if (!existsSync(outputDir)) return [];
  return readdirSync(outputDir)
    .map((name) => ({
      dir: path.join(outputDir, name),
      step: Number(/^checkpoint-(\d+)$/.exec(name)?.[1] ?? Number.NaN),
    }))
    .filter(({ step, dir }) => Number.isInteger(step) && statSync(dir).isDirectory())
    .sort((a, b) => b.step - a.step);
}

/** One of several that read a folder together. */
interface Share {
  readonly rank: number;
  readonly size: number;
}

/**
 * Checks a checkpoint against its manifest: every file there, of its length, and of its hash those of a share; left out,
 * all.
 * @throws UserError naming the file that is missing or damaged
 */
export function verifyCheckpoint(dir: string, { rank, size }: Share = { rank: 0, size: 1 }): void {
  const file = path.join(dir, MANIFEST);
  const refuse = (why: string): UserError => new UserError(`${why}; resume from another checkpoint`);
  if (!existsSync(dir))
    throw new UserError(
      `resume_from_checkpoint: there is no folder ${dir}; name a checkpoint-N of an earlier run, or leave it out to start over`,
    );
  if (!existsSync(file)) {
    const pickles = existsSync(path.join(dir, "optimizer.pt"));
    throw refuse(
      pickles
        ? `${dir} is a checkpoint of LLaMA-Factory, whose optimizer state is a pickle that is not read here`
        : `${dir} is not a complete checkpoint of qwen-pt (no ${MANIFEST})`,
    );
  }
  const { files } = readJsonFile(file, MANIFEST_SHAPE, { remedy: "resume from another checkpoint" });
  const members = Object.entries(files).map(([name, said]) => ({
    ...said,
    member: insideFolder(dir, name, file, null),
  }));
  for (const { member, bytes } of members) {
    const found = statSync(member, { throwIfNoEntry: false })?.size;
    if (found === undefined) throw refuse(`${member} is missing`);
    if (found !== bytes) throw refuse(`${member} has ${found} bytes where ${bytes} were written`);
  }
  // the largest dealt out first: files of parts are of a size
  for (const [at, { member, sha256: expected }] of members.sort((a, b) => b.bytes - a.bytes).entries())
    if (at % size === rank && sha256(member) !== expected)
      throw refuse(`${member} is damaged (its checksum differs)`);
}

/**
 * Keeps the newest `limit` checkpoints, by the time they were written; `just` is the one of now. It and the `best` one
 * stay in any case.
 * @returns the folders that were removed
 */
export function rotateCheckpoints(
  outputDir: string,
  limit: number | null,
  just: string,
  best: string | null = null,
): string[] {
  if (limit === null) return [];
  const all = listCheckpoints(outputDir)
    .map((entry) => ({
      ...entry,
      time: entry.dir === just ? Number.POSITIVE_INFINITY : statSync(entry.dir).mtimeMs,
    }))
    .sort((a, b) => a.time - b.time || a.step - b.step);
  const kept = new Set([just, ...(best === null ? [] : [best])]);
  const surplus = all.length - Math.max(limit, all.filter(({ dir }) => kept.has(dir)).length);
  const removed = all
    .filter(({ dir }) => !kept.has(dir))
    .slice(0, Math.max(0, surplus))
    .map(({ dir }) => dir);
  for (const dir of removed) rmSync(dir, { recursive: true, force: true });
  return removed;
}
