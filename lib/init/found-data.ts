// Data that lies about where `init` is called: offered before the user has to type a path. It guesses by names alone, and
// looks into no file but for the first character of a .json, which projects have for other ends too.
import { closeSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import path from "node:path";
import { fileType, isMarkdown } from "../data/index.js";

/** The folder that recipes' data is in by custom. */
const CUSTOM = "data";
const MOST = 8;

/**
 * Files of a kind that is read, in a folder and in its `data`, the latter first as a folder.
 *
 * @param dir the folder, as it is to be written in a path
 */
export function foundData(dir = ""): string[] {
  const inData = filesOf(path.join(dir, CUSTOM));
  const folder = inData.length > 0 ? [path.join(dir, CUSTOM)] : [];
  return [...folder, ...filesOf(dir), ...(inData.length > 1 ? inData : [])].slice(0, MOST);
}

function filesOf(dir: string): string[] {
  try {
    return readdirSync(dir || ".", { withFileTypes: true })
      .filter((entry) => entry.isFile() && isData(path.join(dir, entry.name)))
      .map(({ name }) => path.join(dir, name))
      .sort();
  } catch {
    return []; // no such folder
  }
}

function isData(file: string): boolean {
  const name = path.basename(file);
  // README.md, CMakeLists.txt: about a project, in whatever folder
  if (
    name.startsWith(".") ||
    /^(?:[A-Z_-]+(?:\.[\w-]+)*\.(?:md|txt)|CMakeLists\.txt|requirements.*\.txt)$/.test(name)
  )
    return false;
  if (isMarkdown(file)) return true;
  const type = fileType(file);
  if (type === undefined || statSync(file, { throwIfNoEntry: false })?.size === 0) return false;
  return !file.endsWith(".json") || firstCharacter(file) === "[";
}

function firstCharacter(file: string): string | undefined {
  try {
    const handle = openSync(file, "r");
    try {
      const head = Buffer.alloc(64);
      return head
        .toString("latin1", 0, readSync(handle, head))
        .replace(/^\xef\xbb\xbf/, "")
        .trimStart()[0];
    } finally {
      closeSync(handle);
    }
  } catch {
    return undefined;
  }
}
