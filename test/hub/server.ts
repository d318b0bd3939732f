// A hub on this machine, over real HTTP: Hugging Face's and ModelScope's addresses, a second server for the bytes of
// large files (as a CDN), and faults to order. What it sends is made of the rules of git and of the hubs' clients.
import { createHash } from "node:crypto";
import http from "node:http";
import type { AddressInfo } from "node:net";

export interface Asked {
  method: string;
  url: string;
  headers: http.IncomingHttpHeaders;
  /** Which of the two servers. */
  at: "hub" | "cdn";
}

type Fault = (
  request: http.IncomingMessage,
  response: http.ServerResponse,
  asked: Asked,
) => boolean | undefined | Promise<boolean | undefined>;

export interface Repo {
  commit: string;
  refs: string[];
  files: Map<string, Buffer>;
  /** Paths that are in LFS: listed by sha256 and sent from the other server. */
  large: Set<string>;
  access?: { token: string; gated: boolean };
}

export const sha256 = (data: Buffer | string) => createHash("sha256").update(data).digest("hex");
export const gitSha1 = (data: Buffer) =>
  createHash("sha1").update(`blob ${data.length}\0`).update(data).digest("hex");

export class FakeHub {
  readonly repos = new Map<string, Repo>();
  readonly asked: Asked[] = [];
  /** The first that returns true has answered. */
  faults: Fault[] = [];
  /** Bytes of bodies that were sent. */
  sent = 0;
  noTree = false;
  /** What next pages' addresses begin with: behind a mirror it is the hub's own. */
  pages = "";
  readonly #hub = http.createServer((q, s) => void this.#serve("hub", q, s));
  readonly #cdn = http.createServer((q, s) => void this.#serve("cdn", q, s));
  endpoint = "";
  cdn = "";

  static async start(): Promise<FakeHub> {
    const hub = new FakeHub();
    hub.endpoint = await listen(hub.#hub);
    // another host by its name, as clients judge hosts
    hub.cdn = (await listen(hub.#cdn)).replace("127.0.0.1", "localhost");
    hub.pages = hub.endpoint;
    return hub;
  }

  async stop(): Promise<void> {
    for (const server of [this.#hub, this.#cdn]) {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    }
  }

  /** "models/org/name" or "datasets/org/name" */
  add(key: string, files: Record<string, Buffer | string>, large: string[] = []): Repo {
    const repo: Repo = {
      commit: createHash("sha1").update(key).digest("hex"),
      refs: ["main", "master"],
      files: new Map(Object.entries(files).map(([name, data]) => [name, Buffer.from(data)])),
      large: new Set(large),
    };
    this.repos.set(key, repo);
    return repo;
  }

  /** The requests for a file's bytes, of either server. */
  downloads(): Asked[] {
    return this.asked.filter(
      ({ method, url }) => method === "GET" && /\/resolve\/|\/lfs\/|FilePath/.test(url),
    );
  }

  async #serve(at: "hub" | "cdn", q: http.IncomingMessage, s: http.ServerResponse): Promise<unknown> {
    const asked = { method: q.method ?? "", url: q.url ?? "", headers: q.headers, at };
    this.asked.push(asked);
    for (const fault of this.faults) if (await fault(q, s, asked)) return;
    const url = new URL(q.url ?? "", this.endpoint);
    if (at === "cdn") return this.#sendLarge(url, q, s);
    if (url.pathname.startsWith("/api/v1/")) return this.#modelscope(url, q, s);
    return this.#huggingFace(url, q, s);
  }

  #sendLarge(url: URL, q: http.IncomingMessage, s: http.ServerResponse): unknown {
    const wanted = url.pathname.split("/").at(-1);
    for (const repo of this.repos.values()) {
      for (const data of repo.files.values()) if (sha256(data) === wanted) return this.send(data, q, s);
    }
    s.writeHead(404).end();
  }

  #huggingFace(url: URL, q: http.IncomingMessage, s: http.ServerResponse): unknown {
    const api = /^\/api\/(models|datasets)\/([^/]+\/[^/]+)\/(revision|tree)\/([^/]+)$/.exec(url.pathname);
    const file = /^\/(datasets\/)?([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(url.pathname);
    const kind = api ? api[1] : file?.[1] ? "datasets" : "models";
    const repo = this.repos.get(`${kind}/${api?.[2] ?? file?.[2]}`);
    if (repo === undefined) {
      const known = q.headers.authorization !== undefined;
      return refuse(s, known ? 404 : 401, "RepoNotFound", "Repository not found");
    }
    if (repo.access && q.headers.authorization !== `Bearer ${repo.access.token}`) {
      if (!repo.access.gated) return refuse(s, 401, "RepoNotFound", "Invalid username or password.");
      return refuse(s, q.headers.authorization ? 403 : 401, "GatedRepo", "Access to model is restricted");
    }
    const revision = decodeURIComponent(api?.[4] ?? file?.[3] ?? "");
    if (revision !== repo.commit && !repo.refs.includes(revision)) {
      return refuse(s, 404, "RevisionNotFound", `Invalid rev id: ${revision}`);
    }
    if (api) return this.#api(api[3] ?? "", repo, url, s);
    this.#resolve(decodeURIComponent(file?.[4] ?? ""), repo, q, s);
  }

  #api(what: string, repo: Repo, url: URL, s: http.ServerResponse): unknown {
    const names = [...repo.files.keys()];
    if (what === "revision") {
      const siblings = names.map((rfilename) => ({ rfilename }));
      return json(s, { id: "org/any", sha: repo.commit, private: false, tags: [], siblings });
    }
    if (this.noTree) return refuse(s, 404, "", "no such address");
    // two a page, so that following pages is tried
    const from = Number(url.searchParams.get("cursor") ?? 0);
    const page = names.slice(from, from + 2).map((name) => {
      const data = repo.files.get(name)!;
      const lfs = repo.large.has(name)
        ? { lfs: { oid: sha256(data), size: data.length, pointerSize: 130 } }
        : {};
      return { type: "file", path: name, size: data.length, oid: gitSha1(data), ...lfs };
    });
    if (from + 2 < names.length) {
      const next = `${this.pages}${url.pathname}?recursive=true&cursor=${from + 2}`;
      s.setHeader("link", `<${next}>; rel="next"`);
    }
    json(s, [{ type: "directory", path: "onnx", oid: "0".repeat(40), size: 0 }, ...page]);
  }

  #resolve(name: string, repo: Repo, q: http.IncomingMessage, s: http.ServerResponse): unknown {
    const data = repo.files.get(name);
    s.setHeader("x-repo-commit", repo.commit);
    if (data === undefined) return refuse(s, 404, "EntryNotFound", "Entry not found");
    if (!repo.large.has(name)) {
      s.setHeader("etag", `"${gitSha1(data)}"`);
      return this.send(data, q, s);
    }
    s.setHeader("x-linked-etag", `"${sha256(data)}"`);
    s.setHeader("x-linked-size", String(data.length));
    s.writeHead(302, { location: `${this.cdn}/lfs/${sha256(data)}?signature=secret` }).end();
  }

  #modelscope(url: URL, q: http.IncomingMessage, s: http.ServerResponse): unknown {
    const found = /^\/api\/v1\/((?:models|datasets)\/[^/]+\/[^/]+)\/repo(\/files|\/tree)?$/.exec(
      url.pathname,
    );
    const repo = this.repos.get(found?.[1] ?? "");
    const revision = url.searchParams.get("Revision") ?? "";
    if (repo === undefined) {
      s.statusCode = 404;
      return json(s, { Code: 10010205001, Success: false, Message: "record not found", Data: null });
    }
    if (repo.access && q.headers.authorization !== `Bearer ${repo.access.token}`) {
      s.statusCode = 403;
      return json(s, { Code: 10010206001, Success: false, Message: "no access", Data: null });
    }
    if (!repo.refs.includes(revision)) {
      s.statusCode = 404;
      return json(s, {
        Code: 10010208001,
        Success: false,
        Message: "the revision does not exist",
        Data: null,
      });
    }
    if (found?.[2] === undefined) {
      const data = repo.files.get(url.searchParams.get("FilePath") ?? "");
      return data === undefined ? s.writeHead(404).end() : this.send(data, q, s);
    }
    const all = [...repo.files].map(([name, data]) => ({
      Name: name.split("/").at(-1),
      Path: name,
      Type: "blob",
      Size: data.length,
      Sha256: sha256(data),
    }));
    const size = Number(url.searchParams.get("PageSize") ?? all.length);
    const page = Number(url.searchParams.get("PageNumber") ?? 1);
    const files = all.slice((page - 1) * size, page * size);
    json(s, { Code: 200, Success: true, Data: { Files: files } });
  }

  /** A body, or the range of it that was asked for. */
  send(data: Buffer, q: http.IncomingMessage, s: http.ServerResponse): void {
    const range = /^bytes=(\d+)-(\d+)?$/.exec(q.headers.range ?? "");
    const start = Number(range?.[1] ?? 0);
    const end = Math.min(Number(range?.[2] ?? data.length - 1), data.length - 1);
    if (range && start >= data.length && data.length > 0) {
      s.writeHead(416, { "content-range": `bytes */${data.length}` }).end();
      return;
    }
    if (range) s.setHeader("content-range", `bytes ${start}-${end}/${data.length}`);
    s.setHeader("accept-ranges", "bytes");
    s.setHeader("content-length", String(end - start + 1));
    s.statusCode = range ? 206 : 200;
    if (q.method === "HEAD") {
      s.end();
      return;
    }
    this.sent += end - start + 1;
    s.end(data.subarray(start, end + 1));
  }
}

function listen(server: http.Server): Promise<string> {
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () =>
      resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    );
  });
}

export function refuse(s: http.ServerResponse, status: number, code: string, message: string): void {
  if (code !== "") s.setHeader("x-error-code", code);
  s.setHeader("x-error-message", message);
  s.statusCode = status;
  json(s, { error: message });
}

function json(s: http.ServerResponse, body: unknown): void {
  s.setHeader("content-type", "application/json");
  s.end(JSON.stringify(body));
}

/** A small model's repository, with files that training does not need. */
export function modelRepo(hub: FakeHub, id = "org/tiny", weights = Buffer.alloc(300_000, "w")): Repo {
  return hub.add(
    `models/${id}`,
    {
      ".gitattributes": "*.safetensors filter=lfs",
      "README.md": "# tiny",
      "config.json": '{"model_type": "qwen3"}',
      "generation_config.json": '{"top_k": 20}',
      "tokenizer.json": Buffer.alloc(20_000, "t"),
      "tokenizer_config.json": '{"eos_token": "x"}',
      "vocab.json": '{"a": 0}',
      "merges.txt": "",
      "model.safetensors": weights,
      "pytorch_model.bin": "pickle",
      "onnx/model.onnx": "onnx",
      "original/consolidated.00.pth": "original",
    },
    ["model.safetensors", "tokenizer.json", "pytorch_model.bin"],
  );
}

/** The same in shards. */
export function shardedRepo(hub: FakeHub, id = "org/shards"): Repo {
  const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
  const map = { a: shards[0], b: shards[1], c: shards[1] };
  return hub.add(
    `models/${id}`,
    {
      "config.json": "{}",
      "tokenizer.json": "{}",
      "model.safetensors.index.json": JSON.stringify({ weight_map: map }),
      [shards[0]!]: Buffer.alloc(1000, 1),
      [shards[1]!]: Buffer.alloc(2000, 2),
      "consolidated.safetensors": Buffer.alloc(3000, 3),
    },
    [...shards, "consolidated.safetensors"],
  );
}
