// A folder and those above it. Node's own `recursive` never returns where a file system answers ENOENT to making a folder
// in one that is there, as /proc and some mounts do.
import { mkdirSync, statSync } from "node:fs";
import path from "node:path";

/**
 * Makes a folder where there is none, with those above it, and gives the first one made.
 * @throws the system's error, which names the folder that could not be made
 */
export function makeFolder(folder: string): string | undefined {
  const missing: string[] = [];
  let at = path.resolve(folder);
  while (statSync(at, { throwIfNoEntry: false }) === undefined) {
    missing.push(at);
    const above = path.dirname(at);
    if (above === at) break;
    at = above;
  }
  for (const one of missing.reverse()) {
    try {
      mkdirSync(one);
    } catch (error) {
      // another process may have been faster
      if ((error as NodeJS.ErrnoException).code !== "EEXIST" || !statSync(one).isDirectory()) throw error;
    }
  }
  if (missing.length === 0 && !statSync(at).isDirectory()) mkdirSync(at); // a file of that name: EEXIST
  return missing[0];
}
