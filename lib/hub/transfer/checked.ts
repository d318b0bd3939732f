// Which files of a ModelScope folder have been hashed already: its files keep their names when a branch moves on, and
// hashing gigabytes at every start would be felt. A note holds as long as size and time of the file do.
import { createHash } from "node:crypto";
import { statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { recallJson } from "../../files/json-file.js";
import { insideFolder } from "../../files/outside-path.js";
import { count, number, type Of, object, table, text } from "../../files/shape.js";
import type { Repository } from "../names.js";
import { hashOf } from "./transfer.js";

const NOTES = ".qwen-pt-checked.json";

const NOTES_SHAPE = table(object({ hash: text, size: count, time: number }));
type Note = Of<typeof NOTES_SHAPE>[string];

export class CheckedFiles {
  constructor(readonly folder: string) {}

  /** Whether a file has this content. */
  async is(file: string, hash: string): Promise<boolean> {
    const note = this.#read()[file];
    const place = insideFolder(this.folder, file, this.folder);
    const { size, mtimeMs } = statSync(place);
    if (note !== undefined && note.size === size && note.time === mtimeMs) return note.hash === hash;
    const found = await hashOf(place, hash);
    if (found !== undefined) this.note(file, found);
    return found === undefined || found === hash;
  }

  note(file: string, hash: string): void {
    try {
      const { size, mtimeMs } = statSync(insideFolder(this.folder, file, this.folder));
      const notes = { ...this.#read(), [file]: { hash, size, time: mtimeMs } };
      writeFileSync(path.join(this.folder, NOTES), JSON.stringify(notes));
    } catch {
      // then it is hashed again
    }
  }

  #read(): Record<string, Note> {
    return recallJson(path.join(this.folder, NOTES), NOTES_SHAPE) ?? {};
  }

  /** The lock that ModelScope's client takes for a file. */
  lock(cacheDir: string, { kind, id }: Repository, file: string): string {
    const key = ["modelscope-hub-download-lock-v2", "file", kind, id, file].join("\0");
    return path.join(cacheDir, ".lock", `file_${createHash("sha256").update(key).digest("hex")}.lock`);
  }
}
