// Names of repositories: what looks like one, and what it is called in a cache.
import { existsSync } from "node:fs";

/** A repository of a hub. */
export interface Repository {
  readonly kind: "model" | "dataset";
  /** organisation/name */
  readonly id: string;
}

const PART = "[A-Za-z0-9](?:[\\w.-]*[A-Za-z0-9_])?";
const ID = new RegExp(`^${PART}/${PART}$`);

/** Whether text has the form of a repository's name. */
export function isRepositoryId(text: string): boolean {
  return text.length <= 96 && ID.test(text) && !text.includes("--") && !text.includes("..");
}

/** Whether a recipe's path means a repository: a file or folder of that name always goes first. */
export function meansRepository(nameOrPath: string): boolean {
  return isRepositoryId(nameOrPath) && !existsSync(nameOrPath);
}

/** The folder of a repository in huggingface_hub's cache: models--Qwen--Qwen3-0.6B. */
export function cacheFolderName({ kind, id }: Repository): string {
  return `${kind}s--${id.replaceAll("/", "--")}`;
}
