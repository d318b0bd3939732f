// The one gate for names and hashes that come from outside: a hub's answer, a downloaded file, a folder that another
// program saved. What passes it stays inside its folder. Not for paths that a user wrote: those may lead anywhere.
import { realpathSync } from "node:fs";
import path from "node:path";
import { UserError } from "../errors.js";

/** A path inside a folder, refused where it would lead out of it on any system. */
export function isSafePath(name: unknown): name is string {
  if (typeof name !== "string" || name === "" || name.startsWith("/") || /[\\:\0]/.test(name)) return false;
  return name.split("/").every((part) => part !== "" && part !== "." && part !== "..");
}

/** Whether text is a hash of a file's content: sha256, or git's sha1. It becomes a file's name. */
export function isContentHash(text: unknown): text is string {
  return typeof text === "string" && /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text);
}

/** A size that a file can have. */
export function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/**
 * The path of `name` in `folder`. What is there already may be a link, as long as it leads to somewhere inside `root`
 * (default: the folder; null: anywhere, for a folder that is the user's own).
 *
 * @param source what named it, for the message
 * @throws UserError where it leads out
 */
export function insideFolder(
  folder: string,
  name: unknown,
  source: string,
  root: string | null = folder,
): string {
  if (!isSafePath(name)) {
    const shown = JSON.stringify(name)?.slice(0, 80) ?? "nothing";
    throw new UserError(`${source}: ${shown} is no name of a file inside ${folder}; fetch or write it again`);
  }
  const file = path.join(folder, ...name.split("/"));
  if (root === null) return file;
  const real = realPath(file);
  const within = realPath(root);
  if (real !== undefined && within !== undefined && real !== within && !real.startsWith(within + path.sep)) {
    throw new UserError(`${source}: ${file} is a link to ${real}, outside of ${root}; remove the link`);
  }
  return file;
}

function realPath(file: string): string | undefined {
  try {
    return realpathSync(file);
  } catch {
    return undefined; // not there yet, or a link to nothing
  }
}
