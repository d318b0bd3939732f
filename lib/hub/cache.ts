// huggingface_hub's cache of one repository, so that Python reads ours and we read Python's:
// models--org--name/{blobs/HASH, refs/REVISION, snapshots/COMMIT/FILE -> ../../blobs/HASH}. It asks no server.
import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { recallJson } from "../files/json-file.js";
import { makeFolder } from "../files/make-folder.js";
import { insideFolder, isContentHash, isSafePath } from "../files/outside-path.js";
import { count, nullable, object, optional, shape, table } from "../files/shape.js";
import { COMMIT, type Listing, type RemoteFile } from "./huggingface.js";
import { cacheFolderName, type Repository } from "./names.js";
import type { HubSettings } from "./settings.js";

/** The folders of one repository in the cache. */
export class RepositoryCache {
  readonly folder: string;
  readonly #locks: string;
  readonly #noSymlinks: boolean;

  constructor(settings: HubSettings, repository: Repository) {
    const name = cacheFolderName(repository);
    this.folder = path.join(settings.cacheDir, name);
    this.#locks = path.join(settings.cacheDir, ".locks", name);
    this.#noSymlinks = settings.noSymlinks;
  }

  /** The commit that a branch or tag was when it was last seen. */
  commitOf(revision: string): string | undefined {
    if (COMMIT.test(revision)) return revision;
    if (!isSafePath(revision)) return undefined;
    try {
      const commit = readFileSync(this.#ref(revision), "utf8").trim();
      return COMMIT.test(commit) ? commit : undefined;
    } catch {
      return undefined;
    }
  }

  /** Remembers it. A cache that cannot be written to keeps what it has. */
  setCommit(revision: string, commit: string): void {
    if (revision === commit || this.commitOf(revision) === commit || !isSafePath(revision)) return;
    try {
      replace(this.#ref(revision), commit);
    } catch {
      // the files are there anyway
    }
  }

  #ref(revision: string): string {
    return insideFolder(path.join(this.folder, "refs"), revision, "revision", this.folder);
  }

  snapshot(commit: string): string {
    return insideFolder(path.join(this.folder, "snapshots"), commit, "commit", this.folder);
  }

  pointer(commit: string, file: string): string {
    return insideFolder(this.snapshot(commit), file, this.folder, this.folder);
  }

  blob(hash: string): string {
    return insideFolder(path.join(this.folder, "blobs"), hash, this.folder, this.folder);
  }

  lock(hash: string): string {
    return insideFolder(this.#locks, `${hash}.lock`, this.folder);
  }

  has(commit: string, file: string): boolean {
    return existsSync(this.pointer(commit, file));
  }

  /** Gives a blob its name in a snapshot: a relative link, or where links are impossible the file itself. */
  link(commit: string, file: string, hash: string, isNew: boolean): void {
    const pointer = this.pointer(commit, file);
    const blob = this.blob(hash);
    makeFolder(path.dirname(pointer));
    rmSync(pointer, { force: true });
    if (!this.#noSymlinks) {
      try {
        symlinkSync(path.relative(path.dirname(pointer), blob), pointer);
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "EEXIST") return; // another process was faster
      }
    }
    // as huggingface_hub does on Windows: a new blob moves, one that others may point to is copied
    if (isNew) renameSync(blob, pointer);
    else copyFileSync(blob, pointer);
  }

  #listed(folder: string, commit: string): string {
    return insideFolder(path.join(this.folder, folder), `${commit}.json`, "commit", this.folder);
  }

  /** What a commit is known to hold. */
  listing(commit: string): Listing | undefined {
    for (const folder of [".qwen-pt", "trees"]) {
      // not there, or of a later format: asked again
      const found = recallJson(this.#listed(folder, commit), TREE_SHAPE);
      if (found === undefined) continue;
      const files = Object.entries(found.files).map(([name, entry]) => ({
        path: name,
        size: entry.lfs_size ?? entry.size,
        hash: entry.lfs_sha256 ?? entry.blob_id,
      }));
      return { commit, files };
    }
    return undefined;
  }

  /** Keeps a listing; a commit never changes. In a separate folder: in huggingface_hub's `trees` it would say that
   * the files which are not needed here are missing. */
  keepListing({ commit, files }: Listing): void {
    if (files.some(({ hash }) => hash === undefined)) return;
    const entries = files.map(({ path: name, size, hash }) => [name, { size, blob_id: hash }]);
    try {
      replace(
        this.#listed(".qwen-pt", commit),
        JSON.stringify({ format_version: 1, files: Object.fromEntries(entries) }),
      );
    } catch {
      // then it is asked for again
    }
  }

  /** The files that are in a snapshot's folder. */
  present(commit: string): RemoteFile[] {
    return filesIn(this.snapshot(commit));
  }
}

const contentHash = shape<string>("a content's hash", isContentHash);
const TREE_SHAPE = object({
  files: table(
    object({
      size: count,
      blob_id: contentHash,
      lfs_sha256: optional(nullable(contentHash)),
      lfs_size: optional(nullable(count)),
    }),
  ),
});

/** The files below a folder by their paths with slashes, sorted; broken links left out. */
export function filesIn(folder: string): RemoteFile[] {
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  const files = names.flatMap((name): RemoteFile[] => {
    const found = statSync(path.join(folder, name), { throwIfNoEntry: false });
    if (found === undefined || !found.isFile()) return [];
    return [{ path: name.replaceAll("\\", "/"), size: found.size, hash: undefined }];
  });
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

function replace(file: string, content: string): void {
  makeFolder(path.dirname(file));
  const temporary = `${file}.${process.pid}.${Math.random().toString(36).slice(2, 8)}.tmp`;
  try {
    writeFileSync(temporary, content);
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
