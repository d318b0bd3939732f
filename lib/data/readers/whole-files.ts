// Documents that are files: notes, chapters, manuals. `"whole_file": true` in dataset_info.json, and .md files without
// being told; LLaMA-Factory has no such datasets, and reads a .txt line by line.

import { existsSync, readdirSync, statSync } from "node:fs";
import path from "node:path";
import { UserError } from "../../errors.js";
import { readBytes } from "./bytes.js";
import { requireUtf8 } from "./encoding.js";
import { LONGEST, tooLong } from "./longest.js";
import type { Row } from "./row.js";

const ENDINGS = [".md", ".markdown", ".txt"];
const MARKDOWN = /\.(?:md|markdown)$/i;

/** The column that a whole file's text is in. */
export const WHOLE_FILE_COLUMN = "text";

/** Whether a file is one document by its name alone. */
export const isMarkdown = (file: string): boolean => MARKDOWN.test(file);

const isDocument = (file: string): boolean => ENDINGS.includes(path.extname(file).toLowerCase());

/**
 * Whether an entry's files are one document each.
 *
 * @param where the entry, for messages
 * @throws UserError for a value that is neither true nor false, and beside keys that speak of rows
 */
export function isWholeFile(where: string, entry: Record<string, unknown>): boolean {
  const given = entry.whole_file;
  if (given !== undefined && given !== null && typeof given !== "boolean")
    throw new UserError(`${where}: whole_file must be true or false, not ${JSON.stringify(given)}`);
  const whole = given ?? (typeof entry.file_name === "string" && isMarkdown(entry.file_name));
  if (!whole) return false;
  for (const key of ["columns", "formatting", "tags"])
    if (entry[key] !== undefined && entry[key] !== null)
      throw new UserError(
        `${where}: ${key} has no meaning with whole files, which have no rows; leave it out`,
      );
  return true;
}

/**
 * The documents behind `file_name`: a file, or all of a folder and the folders in it, sorted by their paths. Files of
 * other kinds and hidden ones are skipped.
 *
 * @param dir the folder that holds dataset_info.json
 * @throws UserError where there is none
 */
export function wholeFiles(dir: string, where: string, fileName: string): string[] {
  const target = path.isAbsolute(fileName) ? fileName : path.join(dir, fileName);
  if (!existsSync(target))
    throw new UserError(`${where}: ${target} does not exist; correct file_name (it is relative to ${dir})`);
  if (!statSync(target).isDirectory()) {
    if (isDocument(target)) return [target];
    throw new UserError(
      `${where}: ${target} is not a whole document (${ENDINGS.join(", ")}); remove whole_file`,
    );
  }
  const found = documentsBelow(target);
  if (found.length > 0) return found;
  throw new UserError(
    `${where}: folder ${target} holds no documents; put files into it: ${ENDINGS.join(", ")}`,
  );
}

/** The documents in a folder and in the folders below it, sorted by code units, so alike on every machine. */
export function documentsBelow(folder: string): string[] {
  const entries = readdirSync(folder, { withFileTypes: true }).filter(({ name }) => !name.startsWith("."));
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    const place = path.join(folder, entry.name);
    if (entry.isDirectory()) return documentsBelow(place);
    return isDocument(entry.name) && statSync(place).isFile() ? [place] : [];
  });
}

/**
 * A file as one row. Its line ends become \n, and neither a byte order mark nor the last line ends are text.
 *
 * @param longest bytes that it may have; tests make it small
 * @throws UserError for what cannot be read, is not UTF-8 or is too long
 */
export async function* readWholeFile(file: string, longest = LONGEST): AsyncGenerator<Row> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of readBytes(file)) {
    bytes += chunk.length;
    if (bytes > longest) throw tooLong(file, 1, longest);
    chunks.push(chunk);
  }
  const text = requireUtf8(Buffer.concat(chunks), file, file)
    .replace(/^\uFEFF/, "")
    .replace(/\r\n?/g, "\n")
    .replace(/\n+$/, "");
  yield { value: { [WHOLE_FILE_COLUMN]: text }, place: file };
}
