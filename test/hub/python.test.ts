// The cache is shared with Python's huggingface_hub: each reads what the other has fetched, without asking the server,
// and both at once fetch each file once.
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { ensureReference } from "../../scripts/checks/reference.mjs";
import { place } from "./room.js";
import { type Asked, modelRepo, sha256, shardedRepo } from "./server.js";

const here = place();
const python = await ensureReference();

/** Runs Python with the test's environment; resolves to what it printed, as JSON. */
function run(code: string, env: NodeJS.ProcessEnv = {}): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const child = spawn(python, ["-c", `import json, warnings\nwarnings.simplefilter("error")\n${code}`], {
      env: { ...here.env, HF_HUB_DISABLE_XET: "1", HF_HUB_DISABLE_PROGRESS_BARS: "1", ...env },
    });
    let out = "";
    let err = "";
    child.stdout.on("data", (text) => (out += text));
    child.stderr.on("data", (text) => (err += text));
    child.on("close", (code) => (code === 0 ? resolve(JSON.parse(out)) : reject(new Error(err))));
  });
}

const OFFLINE = { HF_HUB_OFFLINE: "1", HF_ENDPOINT: "http://127.0.0.1:9" };
const NEEDED = ["config.json", "model.safetensors", "tokenizer.json"];

describe("Python's huggingface_hub", () => {
  it("reads our cache offline: snapshots, single files, and what a scan makes of it", async () => {
    const repo = modelRepo(here.hub);
    const folder = await here.fetch("org/tiny");
    const found = await run(
      `
from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download, try_to_load_from_cache
import hashlib
folder = snapshot_download("org/tiny", local_files_only=True)
weights = hf_hub_download("org/tiny", "model.safetensors")
scan = scan_cache_dir()
repo, = scan.repos
revision, = repo.revisions
print(json.dumps({
    "folder": folder,
    "hash": hashlib.sha256(open(weights, "rb").read()).hexdigest(),
    "config": try_to_load_from_cache("org/tiny", "config.json"),
    "warnings": [str(w) for w in scan.warnings],
    "repo": [repo.repo_id, repo.repo_type, repo.nb_files],
    "revision": [revision.commit_hash, sorted(revision.refs), len(revision.files)],
}))`,
      OFFLINE,
    );
    expect(found).toEqual({
      folder,
      hash: sha256(repo.files.get("model.safetensors")!),
      config: path.join(folder, "config.json"),
      warnings: [],
      repo: ["org/tiny", "model", 7],
      revision: [repo.commit, ["main"], 7],
    });
  });

  it("does not fetch again what we fetched", async () => {
    modelRepo(here.hub);
    const folder = await here.fetch("org/tiny");
    here.hub.asked.length = 0;
    const found = await run(`
from huggingface_hub import snapshot_download
print(json.dumps(snapshot_download("org/tiny", allow_patterns=${JSON.stringify(NEEDED)})))`);
    expect(found).toBe(folder);
    expect(here.hub.downloads().filter(({ method }) => method === "GET")).toEqual([]);
  });

  it("leaves a cache that we read offline, and add to online", async () => {
    modelRepo(here.hub);
    shardedRepo(here.hub);
    const folder = await run(`
from huggingface_hub import snapshot_download
snapshot_download("org/shards", allow_patterns=["*.json", "model-*"])
print(json.dumps(snapshot_download("org/tiny", allow_patterns=${JSON.stringify(NEEDED)})))`);
    here.hub.asked.length = 0;
    here.env.HF_HUB_OFFLINE = "1";
    const shards = await here.fetch("org/shards");
    expect(readdirSync(shards)).toHaveLength(5);
    expect(here.hub.asked).toEqual([]);
    here.env.HF_HUB_OFFLINE = "0";
    expect(await here.fetch("org/tiny")).toBe(folder);
    const fetched = here.hub.downloads().map(({ url }) => url.split("/").at(-1));
    // merges.txt is empty: there is nothing to fetch
    expect(fetched.sort()).toEqual(["generation_config.json", "tokenizer_config.json", "vocab.json"]);
    expect(readdirSync(String(folder))).toContain("merges.txt");
    expect(readFileSync(path.join(String(folder), "model.safetensors"))).toHaveLength(300_000);
  });

  it("and we, at the same time, fetch each file once", async () => {
    const repo = modelRepo(here.hub);
    // the bytes wait until Python is there: it asks for a file's headers first
    const isHead = ({ method, url }: Asked) => method === "HEAD" && url.endsWith("/model.safetensors");
    here.hub.faults.push(async (_, __, { at }) => {
      if (at !== "cdn") return false;
      while (!here.hub.asked.some(isHead)) await new Promise((done) => setTimeout(done, 50));
      await new Promise((done) => setTimeout(done, 500));
      return false;
    });
    const both = await Promise.all([
      run(`
from huggingface_hub import snapshot_download
print(json.dumps(snapshot_download("org/tiny", allow_patterns=${JSON.stringify(NEEDED)})))`),
      here.fetch("org/tiny"),
    ]);
    expect(both[0]).toBe(both[1]);
    const large = sha256(repo.files.get("model.safetensors")!);
    expect(here.hub.asked.filter(({ method, url }) => method === "GET" && url.includes(large))).toHaveLength(
      1,
    );
  });
});
