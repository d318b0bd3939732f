// Small output files, written so that a reader or a crash never meets half of one. Not for tensors.
import { accessSync, appendFileSync, constants, existsSync, statSync, truncateSync } from "node:fs";
import path from "node:path";
import { messageOf, UserError } from "../errors.js";
import { makeFolder } from "./make-folder.js";
import { replaceFile } from "./whole-file.js";

const ADVICE: Record<string, string> = {
  ENOSPC: "the disk is full: free some space or choose another output_dir",
  EDQUOT: "the disk quota is used up: free some space or choose another output_dir",
  EFBIG: "the limit on the size of files is reached (ulimit -f): raise it or choose another output_dir",
  EACCES: "permission denied: choose an output_dir that you may write to",
  EPERM: "permission denied: choose an output_dir that you may write to",
  EROFS: "the file system is read-only: choose another output_dir",
  ENOTDIR: "a file is in the way of a folder: choose another output_dir",
  EEXIST: "a file is in the way of a folder: choose another output_dir",
  EISDIR: "a folder of that name is in the way: remove it or choose another output_dir",
};

/** The one-line error for a failed write; anything unforeseen keeps the system's own words. `key` names the folder. */
export function writeError(file: string, error: unknown, key = "output_dir"): UserError {
  const code = (error as NodeJS.ErrnoException | undefined)?.code ?? "";
  return new UserError(
    `cannot write ${file}: ${ADVICE[code]?.replace("output_dir", key) ?? messageOf(error)}`,
  );
}

/** Reports an unwritable folder before hours of work. Makes nothing. `key` is what the recipe calls the folder. */
export function checkWritable(outputDir: string, key = "output_dir"): void {
  let nearest = path.resolve(outputDir);
  while (!existsSync(nearest)) nearest = path.dirname(nearest);
  try {
    if (!statSync(nearest).isDirectory()) throw Object.assign(new Error(), { code: "ENOTDIR" });
    accessSync(nearest, constants.W_OK);
  } catch (error) {
    throw writeError(outputDir, error, key);
  }
}

/** Writes `file` whole: beside it first, flushed to the disk, then renamed over it. An old version stays on failure.
 * Missing folders are made. Throws UserError naming the file. */
export function writeWhole(file: string, content: string | Uint8Array): void {
  try {
    makeFolder(path.dirname(file));
    replaceFile(file, content);
  } catch (error) {
    throw writeError(file, error);
  }
}

/** Appends one line; where the disk takes only a part of it, the part is taken back. Throws UserError. */
export function appendLine(file: string, line: string): void {
  let before: number | undefined;
  try {
    makeFolder(path.dirname(file));
    before = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
    appendFileSync(file, `${line}\n`);
  } catch (error) {
    if (before !== undefined && (statSync(file, { throwIfNoEntry: false })?.size ?? 0) > before) {
      truncateSync(file, before);
    }
    throw writeError(file, error);
  }
}
