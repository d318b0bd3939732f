// The bytes of a text file as a stream, unpacked where they are gzip'd, and said plainly where they are another thing
// than text (an archive, a pointer file, a web page). It knows nothing of rows.

import { type FileHandle, open } from "node:fs/promises";
import path from "node:path";
import { createGunzip } from "node:zlib";
import { messageOf, UserError } from "../../errors.js";
import { isUtf16, notUtf8 } from "./encoding.js";

const CHUNK = 1 << 18;
const FIRST_CHUNK = 1 << 14;

/**
 * The bytes of a file, chunk by chunk.
 *
 * @param chunkBytes how much is read at a time; tests make it small
 * @throws UserError for a file that cannot be read, is cut short inside its gzip stream, or holds no text
 */
export async function* readBytes(file: string, chunkBytes = CHUNK): AsyncGenerator<Buffer> {
  const handle = await orRefused(file, open(file));
  try {
    const { buffer, bytesRead } = await orRefused(file, handle.read(Buffer.alloc(256), 0, 256, 0));
    const head = buffer.subarray(0, bytesRead);
    const other = otherThanText(head, file);
    if (other !== undefined) throw new UserError(`${file}: ${other}`);
    if (isUtf16(head)) throw notUtf8(file, `${file}:1`, head);
    yield* head[0] === 0x1f && head[1] === 0x8b
      ? unpacked(file, handle, chunkBytes)
      : plain(file, handle, chunkBytes);
  } finally {
    await handle.close();
  }
}

async function* plain(file: string, handle: FileHandle, chunkBytes: number): AsyncGenerator<Buffer> {
  // most files of a folder are small: a large chunk is taken once a small one was not enough
  let size = Math.min(chunkBytes, FIRST_CHUNK);
  for (let at = 0; ; size = chunkBytes) {
    const { buffer, bytesRead } = await orRefused(file, handle.read(Buffer.allocUnsafe(size), 0, size, at));
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
    at += bytesRead;
  }
}

async function* unpacked(file: string, handle: FileHandle, chunkBytes: number): AsyncGenerator<Buffer> {
  const source = handle.createReadStream({ highWaterMark: chunkBytes, start: 0, autoClose: false });
  const plain = createGunzip({ chunkSize: Math.max(64, chunkBytes) });
  try {
    source.on("error", (error) => plain.destroy(error)).pipe(plain);
    for await (const chunk of plain) yield chunk as Buffer;
  } catch (error) {
    if (!isSystemError(error) || !error.code.startsWith("Z_")) throw cannotRead(file, error);
    const what = error.code === "Z_BUF_ERROR" ? "cut short" : `damaged (${error.message})`;
    throw new UserError(
      `${file}: its gzip stream is ${what}; fetch or pack the file again (gzip -t tells whether it is whole)`,
    );
  } finally {
    source.destroy();
  }
}

async function orRefused<T>(file: string, done: Promise<T>): Promise<T> {
  try {
    return await done;
  } catch (error) {
    throw cannotRead(file, error);
  }
}

const cannotRead = (file: string, error: unknown): Error =>
  new UserError(`${file}: cannot be read: ${messageOf(error)}`);

function isSystemError(error: unknown): error is Error & { code: string } {
  return error instanceof Error && typeof (error as { code?: unknown }).code === "string";
}

const SIGNATURES: readonly (readonly [string, string, string])[] = [
  ["28b52ffd", "Zstandard", "zstd -d"],
  ["fd377a585a", "xz", "xz -d"],
  ["425a68", "bzip2", "bzip2 -d"],
  ["504b0304", "zip", "unzip"],
  ["377abcaf271c", "7z", "7z x"],
  ["526172211a07", "rar", "unrar x"],
  ["50415231", "parquet", ""],
  ["4152524f5731", "arrow", ""],
];

/** A sentence where the bytes are known to be no text of rows. */
function otherThanText(head: Buffer, file: string): string | undefined {
  const hex = head.toString("hex");
  const known = SIGNATURES.find(([signature]) => hex.startsWith(signature));
  if (known !== undefined) {
    const [, name, command] = known;
    if (command === "") return `its content is ${name}, its name ends in ${path.extname(file)}; rename it`;
    return `is packed as ${name}; unpack it first, for instance by: ${command} ${file}`;
  }
  const start = head.toString("latin1").trimStart().toLowerCase();
  if (start.startsWith("version https://git-lfs")) {
    return "is a Git LFS pointer, not the data; fetch the data by git lfs pull, or download the file itself";
  }
  if (start.startsWith("<!doctype html") || start.startsWith("<html")) {
    return "is a web page, not data; download the file itself rather than the page about it";
  }
  return undefined;
}
