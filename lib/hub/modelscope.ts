// ModelScope's addresses and where its own client keeps files: {cache}/models/{org}--{name}/snapshots/{revision}/, or
// the layout of its versions before 1.38, {cache}[/hub]/models/{org}/{name with dots as ___}/, where that is there.
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { insideFolder } from "../files/outside-path.js";
import { endless, MOST_PAGES, type RemoteFile, remoteFile } from "./huggingface.js";
import type { Repository } from "./names.js";
import type { HubSettings } from "./settings.js";
import { type Http, HttpFailure } from "./transfer/http.js";

const PAGE = 200;

/** LLaMA-Factory's `main` is ModelScope's `master`. */
export function modelscopeRevision(revision: string): string {
  return revision === "main" ? "master" : revision;
}

function api(settings: HubSettings, { kind, id }: Repository): string {
  return `${settings.endpoint}/api/v1/${kind}s/${id}/repo`;
}

/** The address of a file's bytes. */
export function modelscopeAddress(
  settings: HubSettings,
  repository: Repository,
  revision: string,
  file: string,
): string {
  const query = new URLSearchParams({ Revision: revision, FilePath: file });
  return `${api(settings, repository)}?${query}`;
}

/** The files of a revision. A dataset's come in pages. */
export async function modelscopeFiles(
  http: Http,
  settings: HubSettings,
  repository: Repository,
  revision: string,
  attempts?: number,
): Promise<RemoteFile[]> {
  const files: RemoteFile[] = [];
  const paged = repository.kind === "dataset";
  for (let page = 1; ; page++) {
    const query = new URLSearchParams({ Revision: revision, Recursive: "True" });
    if (paged) {
      query.set("PageNumber", String(page));
      query.set("PageSize", String(PAGE));
    }
    const { body } = await http.json(
      `${api(settings, repository)}/${paged ? "tree" : "files"}?${query}`,
      attempts,
    );
    const entries = entriesOf(body);
    for (const entry of entries) {
      const name = entry?.Path ?? entry?.Name;
      if (typeof name !== "string" || name === "" || entry?.Type === "tree") continue;
      files.push(
        remoteFile(repository.id, {
          path: name,
          size: sizeOf(entry?.Size),
          hash: entry?.Sha256 || undefined,
        }),
      );
    }
    if (!paged || entries.length < PAGE) return files;
    if (page >= MOST_PAGES) throw endless();
  }
}

interface Entry {
  readonly Path?: unknown;
  readonly Name?: unknown;
  readonly Type?: unknown;
  readonly Size?: unknown;
  readonly Sha256?: unknown;
}

function entriesOf(body: unknown): (Entry | null)[] {
  const { Data, Success, Message, Code } = (body ?? {}) as Record<string, unknown>;
  if (Success === false) {
    // it says so in the body, under status 200
    const status = typeof Code === "number" && Code >= 400 && Code < 600 ? Code : 404;
    throw new HttpFailure(String(Message ?? ""), status, `HTTP_${status}`, "", undefined);
  }
  const files = Array.isArray(Data) ? Data : (Data as { Files?: unknown } | null | undefined)?.Files;
  if (Array.isArray(files)) return files as Entry[];
  throw new HttpFailure("no files in the answer", undefined, "NO_JSON", "", undefined);
}

function sizeOf(value: unknown): number | undefined {
  const size = Number(value);
  return value !== null && value !== undefined && Number.isSafeInteger(size) ? size : undefined;
}

/** The folder that ModelScope's client would use for a revision. */
export function modelscopeFolder(settings: HubSettings, { kind, id }: Repository, revision: string): string {
  const base = settings.cacheDir;
  const [owner = "", name = ""] = id.split("/");
  const dotless = name.replaceAll(".", "___");
  const current = path.join(base, `${kind}s`, `${owner}--${name}`);
  const earlier = [
    path.join(base, `${kind}s`, owner, dotless),
    path.join(base, "hub", `${kind}s`, owner, dotless),
  ];
  const oldest = [
    path.join(base, owner, name),
    path.join(base, owner, dotless),
    path.join(base, "hub", owner, name),
    path.join(base, "hub", owner, dotless),
    path.join(base, `${kind}s`, owner, name),
  ];
  const found = earlier.find(hasFiles) ?? (hasFiles(current) ? undefined : oldest.find(hasFiles));
  return found ?? insideFolder(path.join(current, "snapshots"), revision, "model_revision");
}

function hasFiles(folder: string): boolean {
  try {
    return existsSync(folder) && readdirSync(folder).length > 0;
  } catch {
    return false;
  }
}
