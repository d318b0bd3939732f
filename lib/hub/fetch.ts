// A repository's needed files, as a folder on the disk: from the cache where they are there, else from the hub. The one
// door of this part: models, adapters and datasets all come through it.

import { existsSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { UserError } from "../errors.js";
import { insideFolder, isContentHash, isSafePath } from "../files/outside-path.js";
import { gigabytes } from "../words.js";
import { filesIn, RepositoryCache } from "./cache.js";
import { type HubEvent, Tally } from "./events.js";
import {
  COMMIT,
  describeFile,
  fileAddress,
  type Listing,
  listFiles,
  type RemoteFile,
  resolveRevision,
} from "./huggingface.js";
import { modelscopeAddress, modelscopeFiles, modelscopeFolder, modelscopeRevision } from "./modelscope.js";
import type { Repository } from "./names.js";
import type { Selection } from "./select.js";
import type { HubSettings } from "./settings.js";
import { CheckedFiles } from "./transfer/checked.js";
import { downloadAll, type Errand, writingError } from "./transfer/download.js";
import { hubError, pageOf } from "./transfer/failures.js";
import { Http, HttpFailure, type HttpOptions } from "./transfer/http.js";

export interface FetchOptions extends HttpOptions {
  readonly settings: HubSettings;
  readonly revision?: string;
  readonly selection: Selection;
  readonly onEvent?: (event: HubEvent) => void;
}

/** Where the needed files are. */
export interface Fetched {
  readonly folder: string;
  /** Their paths below it, in the order in which the selection named them. */
  readonly files: readonly string[];
}

/**
 * Makes sure that a repository's needed files are on the disk.
 * @throws UserError one line with the repository, the address and the remedy; AbortError where the signal says so
 */
export async function fetchRepository(repository: Repository, options: FetchOptions): Promise<Fetched> {
  const visit =
    options.settings.hub === "modelscope"
      ? new ModelscopeVisit(repository, options)
      : new HuggingFaceVisit(repository, options);
  try {
    return await visit.fetch();
  } catch (error) {
    options.signal?.throwIfAborted();
    throw writingError(error, options.settings);
  }
}

/** What both hubs have in common. */
abstract class Visit {
  protected readonly settings: HubSettings;
  protected readonly revision: string;
  protected readonly tally: Tally;

  constructor(
    protected readonly repository: Repository,
    protected readonly options: FetchOptions,
  ) {
    this.settings = options.settings;
    const revision = options.revision ?? "main";
    this.revision = options.settings.hub === "modelscope" ? modelscopeRevision(revision) : revision;
    this.tally = new Tally(repository.id, (event) => options.onEvent?.(event));
  }

  /** What the disk holds, where that is enough. */
  protected abstract cached(): Promise<Fetched | undefined>;
  /** Where the disk would hold it, for messages. */
  protected abstract place(): string;
  protected abstract online(http: Http, hasCached: boolean): Promise<Fetched>;

  async fetch(): Promise<Fetched> {
    const { settings, options } = this;
    const cached = await this.cached();
    if (settings.offline !== undefined) {
      if (cached !== undefined) return cached;
      throw new UserError(
        `${this.repository.id}: not in the cache (${this.place()}), or not whole, and ${settings.offline} forbids downloading; unset it once, copy the cache of another machine there, or name a local folder`,
      );
    }
    const http = new Http(settings, options);
    try {
      return await this.online(http, cached !== undefined);
    } catch (error) {
      options.signal?.throwIfAborted();
      const wanted = { repository: this.repository, revision: this.revision };
      const known = hubError(error, settings, wanted);
      const isLost = error instanceof HttpFailure && error.hubCode !== "RevisionNotFound";
      if (cached === undefined || !isLost) throw known;
      options.onEvent?.({
        type: "message",
        level: "warning",
        text: `${(known as Error).message} (continuing with the cached files, ${cached.folder})`,
      });
      return cached;
    } finally {
      await http.close();
    }
  }

  /** Chooses and fetches; `locate` says where a file's bytes come from and go to, undefined where they are there. */
  protected async obtain(
    files: readonly RemoteFile[],
    folder: string,
    locate: (file: RemoteFile) => Promise<Errand | undefined>,
  ): Promise<string[]> {
    const byPath = new Map(files.map((file) => [file.path, file]));
    const get = async (names: readonly string[], isAll: boolean): Promise<void> => {
      const errands: Errand[] = [];
      for (const name of new Set(names)) {
        const file = byPath.get(name);
        if (file === undefined) throw this.#notListed(name);
        if (!isSafePath(name)) throw new UserError(`${this.repository.id}: ${name} is no name for a file`);
        const errand = await locate(file);
        if (errand !== undefined) errands.push(errand);
      }
      if (isAll) this.#announce(errands);
      await downloadAll(errands, {
        ...this.options,
        wanted: { repository: this.repository, revision: this.revision },
        tally: this.tally,
      });
    };
    const chosen = await this.options.selection.choose(files, async (name) => {
      await get([name], false);
      return readFile(this.at(folder, name), "utf8");
    });
    await get(chosen, true);
    this.tally.finish();
    return chosen;
  }

  /** Said once everything is known: the index or page that names the rest comes first, and is small. */
  #announce(errands: readonly Errand[]): void {
    const bytes = errands.reduce((sum, { size = 0 }) => sum + size, 0);
    if (errands.length === 0) return;
    const count = errands.length === 1 ? "1 file" : `${errands.length} files`;
    this.options.onEvent?.({
      type: "message",
      level: "info",
      text: `fetching ${count} (${gigabytes(bytes)}) of ${this.repository.id} from ${this.settings.endpoint} into ${this.settings.cacheDir}`,
    });
  }

  #notListed(name: string): UserError {
    return new UserError(
      `${this.repository.id}: ${name} is not in revision ${this.revision} of ${pageOf(this.settings, this.repository)}`,
    );
  }

  /** Where a file of the repository is: never outside of what the cache has of this repository. */
  protected at(folder: string, name: string): string {
    return insideFolder(folder, name, this.repository.id, this.place());
  }

  /** The needed files of a folder, or undefined where one is missing. Nothing is fetched. */
  protected async fromFolder(folder: string, known: readonly RemoteFile[]): Promise<Fetched | undefined> {
    if (known.length === 0) return undefined;
    let isWhole = true;
    try {
      const chosen = await this.options.selection.choose(known, async (name) => {
        const file = this.at(folder, name);
        if (existsSync(file)) return readFile(file, "utf8");
        isWhole = false;
        return "{}";
      });
      isWhole &&= chosen.length > 0 && chosen.every((name) => existsSync(this.at(folder, name)));
      return isWhole ? { folder, files: chosen } : undefined;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return undefined; // what is there is not enough to choose from
    }
  }
}

class HuggingFaceVisit extends Visit {
  readonly #cache = new RepositoryCache(this.settings, this.repository);

  protected place(): string {
    return this.#cache.folder;
  }

  protected async cached(): Promise<Fetched | undefined> {
    const commit = this.#cache.commitOf(this.revision);
    if (commit === undefined) return undefined;
    const known = this.#cache.listing(commit)?.files ?? this.#cache.present(commit);
    return this.fromFolder(this.#cache.snapshot(commit), known);
  }

  protected async online(http: Http, hasCached: boolean): Promise<Fetched> {
    const { settings, repository, revision } = this;
    // a commit never changes: with its files there, nobody need be asked
    if (hasCached && COMMIT.test(revision)) return (await this.cached())!;
    const { commit, names } = COMMIT.test(revision)
      ? { commit: revision, names: [] }
      : await resolveRevision(http, settings, repository, revision, hasCached ? 1 : undefined);
    const listing = await this.#listing(http, commit, names);
    const folder = this.#cache.snapshot(commit);
    const files = await this.obtain(listing.files, folder, (file) => this.#errand(http, commit, file));
    this.#cache.setCommit(revision, commit);
    return { folder, files };
  }

  async #listing(http: Http, commit: string, names: readonly string[]): Promise<Listing> {
    const kept = this.#cache.listing(commit);
    if (kept !== undefined) return kept;
    const files = await listFiles(http, this.settings, this.repository, commit, names);
    const listing = { commit, files };
    this.#cache.keepListing(listing);
    return listing;
  }

  async #errand(http: Http, commit: string, listed: RemoteFile): Promise<Errand | undefined> {
    const cache = this.#cache;
    if (cache.has(commit, listed.path)) return undefined;
    const address = fileAddress(this.settings, this.repository, commit, listed.path);
    const file = listed.hash === undefined ? await describeFile(http, address, listed.path) : listed;
    const hash = file.hash;
    if (!isContentHash(hash)) {
      throw new UserError(
        `${this.repository.id}: ${file.path}: ${this.settings.endpoint} names no hash for it (ETag), which a hub does; correct HF_ENDPOINT`,
      );
    }
    return {
      name: `${this.repository.id}: ${file.path}`,
      file: file.path,
      address,
      target: cache.blob(hash),
      size: file.size,
      hash,
      lock: cache.lock(hash),
      isThere: () => existsSync(cache.blob(hash)) || cache.has(commit, file.path),
      place: (isNew) => {
        if (!cache.has(commit, file.path)) cache.link(commit, file.path, hash, isNew);
      },
    };
  }
}

class ModelscopeVisit extends Visit {
  readonly #folder = modelscopeFolder(this.settings, this.repository, this.revision);
  readonly #checked = new CheckedFiles(this.#folder);

  protected place(): string {
    return this.#folder;
  }

  protected async cached(): Promise<Fetched | undefined> {
    return this.fromFolder(this.#folder, filesIn(this.#folder));
  }

  protected async online(http: Http, hasCached: boolean): Promise<Fetched> {
    const attempts = hasCached ? 1 : undefined;
    const listed = await modelscopeFiles(http, this.settings, this.repository, this.revision, attempts);
    const files = await this.obtain(listed, this.#folder, (file) => this.#errand(file));
    return { folder: this.#folder, files };
  }

  async #errand(file: RemoteFile): Promise<Errand | undefined> {
    const target = this.at(this.#folder, file.path);
    const isThere = async (): Promise<boolean> => {
      const found = await stat(target).catch(() => undefined);
      if (found === undefined || (file.size !== undefined && found.size !== file.size)) return false;
      return file.hash === undefined || this.#checked.is(file.path, file.hash);
    };
    if (await isThere()) return undefined;
    return {
      name: `${this.repository.id}: ${file.path}`,
      file: file.path,
      address: modelscopeAddress(this.settings, this.repository, this.revision, file.path),
      target,
      size: file.size,
      hash: file.hash,
      lock: this.#checked.lock(this.settings.cacheDir, this.repository, file.path),
      isThere,
      place: () => {
        if (file.hash !== undefined) this.#checked.note(file.path, file.hash);
      },
    };
  }
}
