// Hugging Face's addresses: which commit a revision is, what it holds, where a file's bytes are.
import { UserError } from "../errors.js";
import { isContentHash, isSize } from "../files/outside-path.js";
import type { Repository } from "./names.js";
import type { HubSettings } from "./settings.js";
import { type Http, HttpFailure } from "./transfer/http.js";

/** A file as a hub lists it. */
export interface RemoteFile {
  readonly path: string;
  readonly size: number | undefined;
  /** sha256 of a large file, git's sha1 of a small one; undefined where the hub names neither. */
  readonly hash: string | undefined;
}

/** What a commit holds. */
export interface Listing {
  readonly commit: string;
  readonly files: readonly RemoteFile[];
}

export const COMMIT = /^[0-9a-f]{40}$/;

function folder({ kind, id }: Repository): string {
  return kind === "dataset" ? `datasets/${id}` : id;
}

/** The address of a file's bytes. */
export function fileAddress(
  settings: HubSettings,
  repository: Repository,
  commit: string,
  file: string,
): string {
  const encoded = file.split("/").map(encodeURIComponent).join("/");
  return `${settings.endpoint}/${folder(repository)}/resolve/${encodeURIComponent(commit)}/${encoded}`;
}

/** The commit of a branch or tag, and the names of its files. */
export async function resolveRevision(
  http: Http,
  settings: HubSettings,
  repository: Repository,
  revision: string,
  attempts?: number,
): Promise<{ commit: string; names: string[] }> {
  const address = `${settings.endpoint}/api/${repository.kind}s/${repository.id}/revision/${encodeURIComponent(revision)}`;
  const { body } = await http.json(address, attempts);
  const { sha, siblings } = (body ?? {}) as { sha?: unknown; siblings?: unknown };
  if (typeof sha !== "string" || !COMMIT.test(sha)) {
    throw new HttpFailure("no commit in the answer", undefined, "NO_JSON", "", undefined);
  }
  const rows = Array.isArray(siblings) ? (siblings as ({ rfilename?: unknown } | null)[]) : [];
  const names = rows.map((row) => row?.rfilename).filter((name) => typeof name === "string");
  return { commit: sha, names };
}

/** The files of a commit with sizes and hashes; where a mirror has no such list, the given names without them. */
export async function listFiles(
  http: Http,
  settings: HubSettings,
  repository: Repository,
  commit: string,
  names: readonly string[],
): Promise<RemoteFile[]> {
  const files: RemoteFile[] = [];
  let pages = 0;
  let address: string | undefined =
    `${settings.endpoint}/api/${repository.kind}s/${repository.id}/tree/${commit}?recursive=true`;
  try {
    while (address !== undefined) {
      const { body, headers } = await http.json(address);
      for (const entry of Array.isArray(body) ? (body as (TreeEntry | null)[]) : []) {
        if (entry?.type !== "file" || typeof entry.path !== "string") continue;
        files.push(
          remoteFile(repository.id, {
            path: entry.path,
            size: entry.lfs?.size ?? entry.size,
            hash: entry.lfs?.oid ?? entry.lfs?.sha256 ?? entry.oid,
          }),
        );
      }
      const next = nextPage(headers["link"], address);
      if (++pages > MOST_PAGES || next === address) throw endless();
      address = next;
    }
  } catch (error) {
    if (!(error instanceof HttpFailure) || error.status !== 404 || names.length === 0) throw error;
    return names.map((name) => ({ path: name, size: undefined, hash: undefined }));
  }
  return files;
}

/** What an answer says, before it is believed. */
interface TreeEntry {
  readonly type?: unknown;
  readonly path?: unknown;
  readonly size?: unknown;
  readonly oid?: unknown;
  readonly lfs?: { readonly oid?: unknown; readonly sha256?: unknown; readonly size?: unknown } | null;
}

/**
 * An entry of a hub's list. A hash becomes a file's name, and one of an unknown form would never be checked: it is
 * refused, not left out.
 * @throws UserError naming the file
 */
export function remoteFile(
  repository: string,
  entry: { path: string; size: unknown; hash: unknown },
): RemoteFile {
  const { path, size, hash } = entry;
  const refuse = (what: string, value: unknown): UserError =>
    new UserError(
      `${repository}: ${JSON.stringify(path.slice(0, 120))}: the hub says ${JSON.stringify(value)?.slice(0, 80)} for its ${what}, which is none; take another hub (HF_ENDPOINT), or a local folder`,
    );
  if (size !== undefined && size !== null && !isSize(size)) throw refuse("size", size);
  if (hash !== undefined && hash !== null && !isContentHash(hash)) throw refuse("hash", hash);
  return { path, size: size ?? undefined, hash: hash ?? undefined };
}

/** Pages of a list: a repository of more than this is none that training needs. */
export const MOST_PAGES = 1000;

/** A list that does not end. */
export function endless(): UserError {
  return new UserError(
    `the hub's list of files does not end after ${MOST_PAGES} pages; take another hub (HF_ENDPOINT), or a local folder`,
  );
}

/** `<https://...>; rel="next"`. A page of another host is not asked for: it would see the token. */
function nextPage(link: string | undefined, current: string): string | undefined {
  const found = /<([^>]+)>\s*;\s*rel="?next"?/.exec(link ?? "")?.[1];
  if (found === undefined || !URL.canParse(found, current)) return undefined;
  const next = new URL(found, current);
  const here = new URL(current);
  // a mirror passes the hub's own address on: the path and the cursor are what counts
  return `${here.origin}${next.pathname}${next.search}`;
}

/** Size and hash of one file, from the headers of its address. */
export async function describeFile(http: Http, address: string, path: string): Promise<RemoteFile> {
  const { headers, body } = await http.persist(() => http.open(address, { method: "HEAD", follow: false }));
  await body.dump().catch(() => {});
  const etag = (headers["x-linked-etag"] || headers["etag"] || "").replace(/^W\//, "").replace(/^"|"$/g, "");
  const size = Number(headers["x-linked-size"] || headers["content-length"] || Number.NaN);
  return {
    path,
    size: isSize(size) ? size : undefined,
    hash: isContentHash(etag) ? etag : undefined,
  };
}
