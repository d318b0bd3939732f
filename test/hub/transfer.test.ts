// What happens to a file on its way: redirects, ranges, interruptions, wrong bytes, slow and failing servers. Every
// fault is a real one on a socket.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import path from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import type { DownloadEvent } from "../../lib/hub/index.js";
import { failure, place } from "./room.js";
import { type Asked, modelRepo, type Repo, refuse, sha256 } from "./server.js";

const here = place();
const WEIGHTS = Buffer.from(Array.from({ length: 400_000 }, (_, i) => (i * 31 + (i >> 8)) & 255));
let repo: Repo;

beforeEach(() => {
  repo = modelRepo(here.hub, "org/tiny", WEIGHTS);
});

const blobs = () => path.join(here.home, "hub", "models--org--tiny", "blobs");
const isWeights = ({ method, url }: Asked) => method === "GET" && url.includes(`/lfs/${sha256(WEIGHTS)}`);
const weightsAsked = () => here.hub.asked.filter(isWeights);
const weightsOf = (folder: string) => readFileSync(path.join(folder, "model.safetensors"));

/** Lets a fault meet the weights' bytes only, the first `times`. */
function onWeights(times: number, fault: (q: IncomingMessage, s: ServerResponse, nth: number) => void): void {
  let nth = 0;
  here.hub.faults.push((q, s, asked) => {
    if (!isWeights(asked) || nth >= times) return false;
    fault(q, s, nth++);
    return true;
  });
}

/** Announces the range that was asked for, sends `bytes` of it and then does `next`. */
function sendPart(q: IncomingMessage, s: ServerResponse, bytes: number, next: () => void): void {
  const start = Number(/bytes=(\d+)/.exec(q.headers.range ?? "bytes=0")![1]);
  s.writeHead(206, {
    "content-range": `bytes ${start}-${WEIGHTS.length - 1}/${WEIGHTS.length}`,
    "content-length": WEIGHTS.length - start,
  });
  s.write(WEIGHTS.subarray(start, start + bytes), next);
}

describe("redirects", () => {
  it("carry the token to the hub and to nobody else", async () => {
    here.env.HF_TOKEN = "hf_secret";
    expect(weightsOf(await here.fetch("org/tiny")).equals(WEIGHTS)).toBe(true);
    const at = (server: "hub" | "cdn") => here.hub.asked.filter((asked) => asked.at === server);
    expect(at("hub").length).toBeGreaterThan(5);
    expect(at("hub").every(({ headers }) => headers.authorization === "Bearer hf_secret")).toBe(true);
    expect(at("cdn").length).toBeGreaterThan(0);
    expect(at("cdn").some(({ headers }) => "authorization" in headers || "cookie" in headers)).toBe(false);
  });

  it("do not carry it to another port of the same host", async () => {
    here.env.HF_TOKEN = "hf_secret";
    here.hub.cdn = here.hub.cdn.replace("localhost", "127.0.0.1");
    expect(weightsOf(await here.fetch("org/tiny")).equals(WEIGHTS)).toBe(true);
    expect(weightsAsked()).toHaveLength(1);
    expect(weightsAsked()[0]?.headers).not.toHaveProperty("authorization");
  });

  it("do not give the token back when a stranger redirects to the hub", async () => {
    here.env.HF_TOKEN = "hf_secret";
    onWeights(1, (_, s) => s.writeHead(302, { location: `${here.hub.endpoint}/back` }).end());
    here.hub.faults.push((q, s) => {
      if (q.url !== "/back") return false;
      here.hub.send(WEIGHTS, q, s);
      return true;
    });
    expect(weightsOf(await here.fetch("org/tiny")).equals(WEIGHTS)).toBe(true);
    expect(here.hub.asked.find(({ url }) => url === "/back")?.headers).not.toHaveProperty("authorization");
  });

  it("within the hub are followed with the token, relative ones too", async () => {
    here.env.HF_TOKEN = "hf_secret";
    here.hub.faults.push((q, s) => {
      if (!q.url?.includes("org/renamed")) return false;
      s.writeHead(307, { location: q.url.replace("org/renamed", "org/tiny") }).end();
      return true;
    });
    expect(weightsOf(await here.fetch("org/renamed")).equals(WEIGHTS)).toBe(true);
    const followed = here.hub.asked.filter(({ url, at }) => at === "hub" && url.includes("org/tiny"));
    expect(followed.every(({ headers }) => headers.authorization === "Bearer hf_secret")).toBe(true);
  });

  it("without end are given up in a line", async () => {
    here.hub.faults.push((q, s) => {
      s.writeHead(302, { location: q.url ?? "/" }).end();
      return true;
    });
    expect((await failure(here.fetch("org/tiny"))).message).toMatch(/redirects without end or to nowhere/);
  });

  it("to an address that has expired are asked for again", async () => {
    // a part's first answer breaks off; by then the signed address has expired
    onWeights(1, (q, s) => sendPart(q, s, 1000, () => s.destroy()));
    let expired = false;
    onWeights(1, (_, s) => {
      expired = true;
      refuse(s, 403, "", "Request has expired");
    });
    expect(weightsOf(await here.fetch("org/tiny")).equals(WEIGHTS)).toBe(true);
    expect(expired).toBe(true);
    const resolves = here.hub.asked.filter(
      ({ url, method }) => method === "GET" && /resolve.*model\.saf/.test(url),
    );
    expect(resolves).toHaveLength(2);
  });
});

describe("ranges", () => {
  const large = Buffer.alloc(80 * 2 ** 20, 7);
  large.write("begin");
  large.write("end", large.length - 3);

  it("of a large file come side by side and make the same file", async () => {
    modelRepo(here.hub, "org/large", large);
    const folder = await here.fetch("org/large");
    expect(weightsOf(folder).equals(large)).toBe(true);
    const ranges = here.hub.asked
      .filter(({ at, url }) => at === "cdn" && url.includes(sha256(large)))
      .map(({ headers }) => headers.range);
    expect(ranges).toEqual(
      expect.arrayContaining([
        "bytes=0-33554431",
        "bytes=33554432-67108863",
        `bytes=67108864-${large.length - 1}`,
      ]),
    );
  });

  it("that a server does not know are done without", async () => {
    modelRepo(here.hub, "org/large", large);
    here.hub.faults.push((q) => {
      delete q.headers.range;
      return false;
    });
    const folder = await here.fetch("org/large");
    expect(weightsOf(folder).equals(large)).toBe(true);
  });
});

describe("an interruption", () => {
  it("in the middle of a body is gone on from where it was, without the token there", async () => {
    here.env.HF_TOKEN = "hf_secret";
    onWeights(3, (q, s) => sendPart(q, s, 100_000, () => s.destroy()));
    expect(weightsOf(await here.fetch("org/tiny")).equals(WEIGHTS)).toBe(true);
    const starts = weightsAsked().map(({ headers }) => Number(/bytes=(\d+)/.exec(headers.range ?? "")?.[1]));
    expect(starts[0]).toBe(0);
    expect(starts.length).toBe(4);
    for (const [i, start] of starts.slice(1).entries()) expect(start).toBeGreaterThan(starts[i]!);
    expect(starts[3]).toBeLessThanOrEqual(300_000);
    // the bytes' own address is asked straight on: it must not learn the token then
    expect(weightsAsked().some(({ headers }) => "authorization" in headers)).toBe(false);
  });

  it("after interruption is borne as long as bytes come between them", async () => {
    onWeights(8, (q, s) => sendPart(q, s, 40_000, () => s.destroy()));
    expect(weightsOf(await here.fetch("org/tiny", { attempts: 2 })).equals(WEIGHTS)).toBe(true);
    expect(weightsAsked().length).toBeGreaterThan(5);
  });

  it("that looks like an end, in a shorter range than was asked for, is gone on from too", async () => {
    onWeights(1, (_, s) => {
      s.writeHead(206, { "content-range": "bytes 0-99999/400000", "content-length": 100_000 });
      s.end(WEIGHTS.subarray(0, 100_000));
    });
    expect(weightsOf(await here.fetch("org/tiny")).equals(WEIGHTS)).toBe(true);
    expect(weightsAsked().at(-1)?.headers.range).toBe("bytes=100000-399999");
  });

  it("by the user is gone on from in the next run", async () => {
    const stop = new AbortController();
    onWeights(1, (q, s) => sendPart(q, s, 150_000, () => setTimeout(() => stop.abort(), 100)));
    const error = await failure(here.fetch("org/tiny", { signal: stop.signal }));
    expect(error.name).toBe("AbortError");
    expect(readdirSync(blobs())).toContain(`${sha256(WEIGHTS)}.qwen-pt.incomplete`);
    here.hub.asked.length = here.hub.sent = 0;
    expect(weightsOf(await here.fetch("org/tiny")).equals(WEIGHTS)).toBe(true);
    expect(weightsAsked().map(({ headers }) => headers.range)).toEqual(["bytes=150000-399999"]);
    expect(readdirSync(blobs()).filter((name) => name.includes("incomplete"))).toEqual([]);
  });

  it("costs the partial file where the repository changed meanwhile", async () => {
    const stop = new AbortController();
    onWeights(1, (q, s) => sendPart(q, s, 150_000, () => setTimeout(() => stop.abort(), 100)));
    await failure(here.fetch("org/tiny", { signal: stop.signal }));
    const other = Buffer.alloc(WEIGHTS.length, 9);
    repo.files.set("model.safetensors", other);
    repo.commit = "c".repeat(40);
    expect(weightsOf(await here.fetch("org/tiny")).equals(other)).toBe(true);
  });

  it("leaves no name in the snapshot that is not whole", async () => {
    onWeights(99, (q, s) => sendPart(q, s, 0, () => s.destroy()));
    const { message } = await failure(here.fetch("org/tiny", { attempts: 2 }));
    expect(message).toMatch(
      /^org\/tiny: model\.safetensors: the connection to http\S+ breaks off again and again \(/,
    );
    const folder = path.join(blobs(), "..", "snapshots", repo.commit);
    expect(existsSync(path.join(folder, "config.json"))).toBe(true);
    expect(existsSync(path.join(folder, "model.safetensors"))).toBe(false);
    expect(existsSync(path.join(blobs(), sha256(WEIGHTS)))).toBe(false);
  });
});

describe("wrong bytes", () => {
  it("of a large file are refused, and nothing of them stays", async () => {
    const wrong = Buffer.from(WEIGHTS);
    wrong[1234]! ^= 1;
    onWeights(99, (q, s) => here.hub.send(wrong, q, s));
    const { message } = await failure(here.fetch("org/tiny"));
    expect(message).toMatch(/^org\/tiny: model\.safetensors: what arrives is not what the hub promises/);
    expect(weightsAsked()).toHaveLength(2);
    expect(readdirSync(blobs()).filter((name) => name.startsWith(sha256(WEIGHTS)))).toEqual([]);
    here.hub.faults = [];
    expect(weightsOf(await here.fetch("org/tiny")).equals(WEIGHTS)).toBe(true);
  });

  it("once are fetched again", async () => {
    onWeights(1, (q, s) => here.hub.send(Buffer.alloc(WEIGHTS.length), q, s));
    expect(weightsOf(await here.fetch("org/tiny")).equals(WEIGHTS)).toBe(true);
  });

  it("of a small file are told by git's hash", async () => {
    here.hub.faults.push((q, s) => {
      if (!q.url?.endsWith("/config.json")) return false;
      here.hub.send(Buffer.from('{"model_type": "qwen4"}'), q, s);
      return true;
    });
    expect((await failure(here.fetch("org/tiny"))).message).toMatch(/^org\/tiny: config\.json: what arrives/);
  });

  it("too many or too few are no file", async () => {
    onWeights(99, (_, s) => s.end(Buffer.alloc(WEIGHTS.length + 1)));
    expect((await failure(here.fetch("org/tiny", { attempts: 2 }))).message).toMatch(/model\.safetensors/);
    expect(existsSync(path.join(blobs(), sha256(WEIGHTS)))).toBe(false);
  });
});

describe("a server in trouble", () => {
  it.each([429, 500, 502, 503, 504])("that answers %i twice is asked again", async (status) => {
    onWeights(2, (_, s) => refuse(s, status, "", "later"));
    expect(weightsOf(await here.fetch("org/tiny")).equals(WEIGHTS)).toBe(true);
    expect(weightsAsked()).toHaveLength(3);
  });

  it("is asked again when it says, by Retry-After", async () => {
    const times: number[] = [];
    onWeights(2, (q, s, nth) => {
      times.push(Date.now());
      s.setHeader("retry-after", "2");
      if (nth === 0) refuse(s, 429, "", "slow down");
      else here.hub.send(WEIGHTS, q, s);
    });
    await here.fetch("org/tiny");
    expect(times[1]! - times[0]!).toBeGreaterThan(1900);
  });

  it("that asks for too long a wait is given up in a line", async () => {
    onWeights(99, (_, s) => {
      s.setHeader("retry-after", "3600");
      refuse(s, 429, "", "slow down");
    });
    const { message } = await failure(here.fetch("org/tiny"));
    expect(message).toMatch(/too many requests \(429\); wait some minutes.*set HF_TOKEN/);
    expect(weightsAsked()).toHaveLength(1);
  });

  it("for good is given up in a line", async () => {
    here.hub.faults.push((_, s) => {
      refuse(s, 503, "", "maintenance");
      return true;
    });
    const { message } = await failure(here.fetch("org/tiny"));
    expect(message).toMatch(/^org\/tiny: http:\S+ is out of order \(503\); try again later/);
    expect(here.hub.asked).toHaveLength(5);
  });

  it("that falls silent inside a file is asked again for the rest", async () => {
    here.env.HF_HUB_DOWNLOAD_TIMEOUT = "1";
    onWeights(1, (q, s) => sendPart(q, s, 50_000, () => {}));
    expect(weightsOf(await here.fetch("org/tiny")).equals(WEIGHTS)).toBe(true);
    expect(weightsAsked().map(({ headers }) => headers.range)).toEqual([
      "bytes=0-399999",
      "bytes=50000-399999",
    ]);
  });

  it("that stays silent is given up in a line", async () => {
    here.env.HF_HUB_DOWNLOAD_TIMEOUT = "1";
    onWeights(99, (q, s) => sendPart(q, s, 0, () => {}));
    const { message } = await failure(here.fetch("org/tiny", { attempts: 1 }));
    expect(message).toMatch(/model\.safetensors: http\S+ fell silent for 1 s \(HF_HUB_DOWNLOAD_TIMEOUT\)/);
  });

  it("that never answers at all is given up in a line", async () => {
    here.env.HF_HUB_ETAG_TIMEOUT = "1";
    here.hub.faults.push(() => true);
    const { message } = await failure(here.fetch("org/tiny", { attempts: 1 }));
    expect(message).toMatch(/^org\/tiny: http\S+ fell silent for 1 s \(HF_HUB_ETAG_TIMEOUT\)/);
  });
});

describe("before and while it runs", () => {
  it("a disk that is too small is said before anything is fetched", async () => {
    here.hub.faults.push((q, s) => {
      if (!q.url?.includes("/tree/")) return false;
      const lfs = { oid: "a".repeat(64), size: 4e15 };
      const files = [
        { type: "file", path: "config.json", size: 2, oid: "b".repeat(40) },
        { type: "file", path: "model.safetensors", size: 130, oid: "c".repeat(40), lfs },
      ];
      s.setHeader("content-type", "application/json").end(JSON.stringify(files));
      return true;
    });
    const { message } = await failure(here.fetch("org/tiny"));
    expect(message).toMatch(/^org\/tiny: 4000000\.0 GB are needed in .* are free there; .*HF_HOME/);
    expect(here.hub.downloads()).toEqual([]);
  });

  it("events count up to the whole", async () => {
    await here.fetch("org/tiny");
    const found = here.events.filter((event): event is DownloadEvent => event.type === "download");
    const last = found.at(-1)!;
    expect(last).toMatchObject({ repository: "org/tiny", files: 7, filesDone: 7, done: true });
    expect(last.bytes).toBe(last.totalBytes);
    expect(last.bytes).toBeGreaterThan(WEIGHTS.length);
    for (const [i, event] of found.slice(1).entries())
      expect(event.bytes).toBeGreaterThanOrEqual(found[i]!.bytes);
    expect(here.texts()).toMatch(/^fetching 7 files \(\d+ kB\) of org\/tiny from http/);
    here.events.length = 0;
    await here.fetch("org/tiny");
    expect(here.events).toEqual([]);
  });
});
