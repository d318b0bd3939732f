// A small file, replaced whole: a reader or a crash meets the old version or the new one, never half of either.
// Messages for a failure are the caller's.
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** Writes beside the file, flushes, renames over it. On failure throws the system's error and leaves the old version. */
export function replaceFile(file: string, content: string | Uint8Array): void {
  // the name by which a later run knows what a killed one left behind
  const temporary = join(dirname(file), `.${basename(file)}.${process.pid}.tmp`);
  try {
    const handle = openSync(temporary, "w");
    try {
      writeFileSync(handle, content);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
