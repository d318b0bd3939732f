// What a data file holds, as a hash of its content. A file that has not changed since (same place, size and times) is
// not read again: its hash is on record.

import { createHash } from "node:crypto";
import { createReadStream, statSync } from "node:fs";
import path from "node:path";
import { messageOf, UserError } from "../../errors.js";
import { recallJson } from "../../files/json-file.js";
import { makeFolder } from "../../files/make-folder.js";
import { count, type Of, object, optional, sha256, text } from "../../files/shape.js";
import { replaceFile } from "../../files/whole-file.js";

/** A file that was changed less long ago may change again without its times telling. */
const SETTLED_MS = 2000;
const CHUNK = 1 << 20;

/** `rows` where somebody counted them. */
const RECORD_SHAPE = object({ file: text, identity: text, sha256, rows: optional(count) });
type FileRecord = Partial<Of<typeof RECORD_SHAPE>> & Omit<Of<typeof RECORD_SHAPE>, "rows">;

/** Hashes and row counts of data files, kept by place, size and times. */
export class FileRecords {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** SHA-256 of the content. */
  async digest(file: string): Promise<string> {
    return (await this.#record(file)).sha256;
  }

  /** What `count` says of the file, or said when it was the same. */
  async rows(file: string, count: () => Promise<number>): Promise<number> {
    const record = await this.#record(file);
    if (record.rows !== undefined) return record.rows;
    const rows = await count();
    this.#keep({ ...record, rows });
    return rows;
  }

  async #record(file: string): Promise<FileRecord> {
    const absolute = path.resolve(file);
    const identity = identityOf(file);
    const known = this.#known(absolute);
    if (known?.identity === identity) return known;
    const record = { file: absolute, identity, sha256: await hash(file) };
    this.#keep(record);
    return record;
  }

  #place(file: string): string {
    return path.join(this.#folder, `${createHash("sha256").update(file).digest("hex").slice(0, 32)}.json`);
  }

  #known(file: string): FileRecord | undefined {
    const record = recallJson(this.#place(file), RECORD_SHAPE);
    return record?.file === file ? record : undefined;
  }

  #keep(record: FileRecord): void {
    if (Date.now() - statSync(record.file).ctimeMs < SETTLED_MS) return;
    if (identityOf(record.file) !== record.identity) return;
    try {
      makeFolder(this.#folder);
      replaceFile(this.#place(record.file), JSON.stringify(record));
    } catch {
      // a record only spares reading
    }
  }
}

/** What changes when a file does: its size, its times, its number. */
export function identityOf(file: string): string {
  try {
    const { size, mtimeNs, ctimeNs, ino, dev } = statSync(file, { bigint: true });
    return [size, mtimeNs, ctimeNs, ino, dev].join(" ");
  } catch (error) {
    throw new UserError(`${file}: cannot be read: ${messageOf(error)}`);
  }
}

async function hash(file: string): Promise<string> {
  const digest = createHash("sha256");
  try {
    for await (const chunk of createReadStream(file, { highWaterMark: CHUNK }))
      digest.update(chunk as Buffer);
  } catch (error) {
    throw new UserError(`${file}: cannot be read: ${messageOf(error)}`);
  }
  return digest.digest("hex");
}
