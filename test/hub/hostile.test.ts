// What a hub may say that is no answer: names that lead out of the cache, hashes that are none, lists and bodies without
// end, pages of a captive portal. Real HTTP; nothing outside of the repository's folder is written.
import { existsSync, readdirSync } from "node:fs";
import type { ServerResponse } from "node:http";
import path from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { UserError } from "../../lib/errors.js";
import { Pace } from "../../lib/hub/transfer/pace.js";
import { failure, place } from "./room.js";
import { gitSha1, modelRepo, sha256 } from "./server.js";

const here = place();
beforeEach(() => {
  modelRepo(here.hub, "org/tiny");
});

type Entry = Record<string, unknown>;

/** Answers the list of files with these entries beside the right ones. */
function listing(change: (entries: (Entry | null)[]) => unknown): void {
  here.hub.faults.push((_, s, { url }) => {
    if (!url.includes("/tree/")) return false;
    const repo = here.hub.repos.get("models/org/tiny")!;
    const entries: (Entry | null)[] = [...repo.files].map(([name, data]) => ({
      type: "file",
      path: name,
      size: data.length,
      oid: gitSha1(data),
      ...(repo.large.has(name) && { lfs: { oid: sha256(data), size: data.length } }),
    }));
    answer(s, change(entries));
    return true;
  });
}

function answer(s: ServerResponse, body: unknown): void {
  s.setHeader("content-type", "application/json");
  s.end(JSON.stringify(body));
}

const config = (entries: (Entry | null)[]): Entry =>
  entries.find((one) => one?.["path"] === "config.json") as Entry;

/** Everything in HF_HOME. */
const written = (): string[] => readdirSync(here.home, { recursive: true, encoding: "utf8" });

describe("a list of files", () => {
  it.each([
    ["a path", "../../../../PWNED.txt"],
    ["a path of the length of a hash", `${"a".repeat(34)}/../..`],
    ["another length", "a".repeat(41)],
    ["capitals", "A".repeat(40)],
    ["a number", 12345],
    ["nothing", ""],
    ["an object", {}],
  ])("whose hash is %s is refused, and nothing is fetched", async (_, oid) => {
    listing((entries) => {
      config(entries)["oid"] = oid;
      return entries;
    });
    const error = await failure(here.fetch("org/tiny"));
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(/^org\/tiny: "config\.json": the hub says .* for its hash, which is none/);
    expect(here.hub.downloads()).toEqual([]);
    expect(written().filter((name) => name.includes("PWNED"))).toEqual([]);
  });

  it.each([-1, 1.5, "9", 1e300])("whose size is %j is refused", async (size) => {
    listing((entries) => {
      config(entries)["size"] = size;
      return entries;
    });
    expect((await failure(here.fetch("org/tiny"))).message).toMatch(/for its size, which is none/);
  });

  it("with a large file's hash that is a path is refused", async () => {
    listing((entries) => {
      const weights = entries.find((one) => one?.["path"] === "model.safetensors") as Entry;
      weights["lfs"] = { oid: "../../snapshots/../../../PWNED", size: 3 };
      return entries;
    });
    expect((await failure(here.fetch("org/tiny"))).message).toMatch(/model\.safetensors": the hub says/);
  });

  it("with entries that are none, or names that are not needed, is read", async () => {
    listing((entries) => [
      null,
      1,
      {},
      { type: "file", path: "../../../evil.json", size: 3, oid: "b".repeat(40) },
      ...entries,
    ]);
    const folder = await here.fetch("org/tiny");
    expect(existsSync(path.join(folder, "config.json"))).toBe(true);
    expect(written().filter((name) => name.includes("evil"))).toEqual([]);
  });

  it("whose pages lead back to themselves is refused", async () => {
    here.hub.faults.push((_, s, { url }) => {
      if (!url.includes("/tree/")) return false;
      s.setHeader("link", `<${here.hub.endpoint}${url}>; rel="next"`);
      answer(s, []);
      return true;
    });
    expect((await failure(here.fetch("org/tiny"))).message).toMatch(/list of files does not end/);
  });
});

describe("bodies", () => {
  it("a list without end is refused before it fills the memory", async () => {
    let sent = 0;
    here.hub.faults.push((_, s, { url }) => {
      if (!url.includes("/revision/")) return false;
      s.writeHead(200, { "content-type": "application/json" });
      const chunk = Buffer.alloc(2 ** 20, " ");
      const more = (): void => {
        while (!s.destroyed && sent < 2 ** 30) {
          sent += chunk.length;
          if (!s.write(chunk)) return void s.once("drain", more);
        }
      };
      more();
      return true;
    });
    expect((await failure(here.fetch("org/tiny"))).message).toMatch(/answers without end/);
    expect(sent).toBeLessThan(2 ** 28);
  });

  it("a page in answer to a range, as a captive portal sends it, ends in one line", async () => {
    const page = Buffer.from("<html>please sign in</html>");
    const big = { type: "file", path: "model.safetensors", size: 70 * 2 ** 20, oid: "b".repeat(40) };
    listing((entries) => [...entries.filter((one) => one?.["path"] !== "model.safetensors"), big]);
    here.hub.faults.push((_, s, { url }) => {
      if (!url.includes("model.safetensors")) return false;
      s.writeHead(200, { "content-length": page.length }).end(page);
      return true;
    });
    const error = await failure(here.fetch("org/tiny", { attempts: 2 }));
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(/model\.safetensors: the connection to .* breaks off again and again/);
    await new Promise((resolve) => setTimeout(resolve, 100)); // an error that nobody listens to would come now
  });
});

describe("pace", () => {
  it("a byte a second is none, and slow networks have one", () => {
    let clock = 0;
    const slow = new Pace(10, () => clock);
    const results = Array.from({ length: 61 }, () => {
      clock += 1000;
      return slow.keeps(1);
    });
    expect(results.indexOf(false)).toBe(59);
    const enough = new Pace(10, () => clock);
    for (let i = 0; i < 200; i++) {
      clock += 1000;
      expect(enough.keeps(Pace.LEAST)).toBe(true);
    }
  });
});
