// ModelScope: its API and the folders of its Python client, against a real HTTP server.
import { existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import path from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { datasetFetcher } from "../../lib/hub/datasets.js";
import { failure, place } from "./room.js";
import { modelRepo, type Repo, shardedRepo } from "./server.js";

const here = place();
let cache = "";
let repo: Repo;

beforeEach(() => {
  cache = path.join(here.home, "modelscope");
  here.env.USE_MODELSCOPE_HUB = "1";
  here.env.MODELSCOPE_ENDPOINT = here.hub.endpoint;
  here.env.MODELSCOPE_CACHE = cache;
  here.env.HF_ENDPOINT = "http://127.0.0.1:9";
  repo = modelRepo(here.hub, "org/tiny-0.5B");
});

describe("a model of ModelScope", () => {
  it("comes into its client's folder, the needed files alone; main is master there", async () => {
    const folder = await here.fetch("org/tiny-0.5B");
    expect(folder).toBe(path.join(cache, "models", "org--tiny-0.5B", "snapshots", "master"));
    const files = readdirSync(folder).filter((name) => !name.startsWith("."));
    expect(files.sort()).toEqual([
      "config.json",
      "generation_config.json",
      "merges.txt",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
      "vocab.json",
    ]);
    expect(readFileSync(path.join(folder, "model.safetensors"))).toHaveLength(300_000);
    expect(here.hub.asked.every(({ url }) => url.includes("Revision=master"))).toBe(true);
    here.hub.asked.length = 0;
    expect(await here.fetch("org/tiny-0.5B")).toBe(folder);
    expect(here.hub.asked).toHaveLength(1);
  });

  it("comes in shards by the index", async () => {
    shardedRepo(here.hub);
    expect(readdirSync(await here.fetch("org/shards"))).toContain("model-00002-of-00002.safetensors");
  });

  it.each([
    ["models/org/tiny-0___5B", "of the client before 1.38"],
    ["hub/models/org/tiny-0___5B", "of its default cache"],
    ["hub/org/tiny-0___5B", "of an older one"],
    ["org/tiny-0.5B", "of the oldest"],
  ])("is taken from the folder %s, %s", async (name) => {
    const folder = path.join(cache, name);
    mkdirSync(folder, { recursive: true });
    for (const [file, data] of repo.files) {
      if (!file.includes("/")) writeFileSync(path.join(folder, file), data);
    }
    expect(await here.fetch("org/tiny-0.5B")).toBe(folder);
    expect(here.hub.downloads()).toEqual([]);
  });

  it("is fetched again where a file of the same size has other content", async () => {
    const folder = await here.fetch("org/tiny-0.5B");
    repo.files.set("config.json", Buffer.from('{"model_type": "qwen4"}'));
    here.hub.asked.length = 0;
    await here.fetch("org/tiny-0.5B");
    expect(readFileSync(path.join(folder, "config.json"), "utf8")).toContain("qwen4");
    expect(here.hub.downloads()).toHaveLength(1);
    // and where somebody changed it here
    writeFileSync(path.join(folder, "config.json"), '{"model_type": "qwen5"}');
    utimesSync(path.join(folder, "config.json"), 1, 1);
    await here.fetch("org/tiny-0.5B");
    expect(readFileSync(path.join(folder, "config.json"), "utf8")).toContain("qwen4");
  });

  it("is checked by its hash", async () => {
    here.hub.faults.push((q, s) => {
      if (!q.url?.includes("FilePath=model.safetensors")) return false;
      here.hub.send(Buffer.alloc(300_000, "x"), q, s);
      return true;
    });
    const { message } = await failure(here.fetch("org/tiny-0.5B"));
    expect(message).toMatch(
      /^org\/tiny-0\.5B: model\.safetensors: what arrives is not what the hub promises/,
    );
    const folder = path.join(cache, "models", "org--tiny-0.5B", "snapshots", "master");
    expect(existsSync(path.join(folder, "model.safetensors"))).toBe(false);
  });

  it("needs no network the second time", async () => {
    const folder = await here.fetch("org/tiny-0.5B");
    await here.hub.stop();
    expect(await here.fetch("org/tiny-0.5B")).toBe(folder);
    expect(here.texts()).toMatch(/continuing with the cached files/);
    here.env.HF_HUB_OFFLINE = "1";
    expect(await here.fetch("org/tiny-0.5B")).toBe(folder);
  });

  it("is private without the token, which goes to ModelScope alone", async () => {
    repo.access = { token: "ms-secret", gated: false };
    const { message } = await failure(here.fetch("org/tiny-0.5B"));
    expect(message).toMatch(/\(403\); correct the name, or for a private one set MODELSCOPE_API_TOKEN/);
    here.env.MODELSCOPE_API_TOKEN = "ms-secret";
    expect(existsSync(await here.fetch("org/tiny-0.5B"))).toBe(true);
    expect(here.hub.asked.at(-1)?.headers.cookie).toBe("m_session_id=ms-secret");
    const keys = { ms_hub_token: "ms-secret", cache_dir: path.join(here.home, "other") };
    delete here.env.MODELSCOPE_API_TOKEN;
    const folder = await here.fetch("org/tiny-0.5B", { keys });
    expect(folder.startsWith(path.join(here.home, "other", "models"))).toBe(true);
  });

  it("that is not there, or not in that revision, ends in a line", async () => {
    const missing = await failure(here.fetch("org/nothing"));
    expect(missing.message).toMatch(/^org\/nothing: there is no such folder here and no model of that name/);
    const revision = await failure(here.fetch("org/tiny-0.5B", { keys: { model_revision: "v9" } }));
    expect(revision.message).toMatch(/there is no revision v9 at http\S+\/models\/org\/tiny-0\.5B/);
  });
});

describe("a dataset of ModelScope", () => {
  it("comes in pages of a list, and from Hugging Face's name only where it says so", async () => {
    const files = Object.fromEntries(
      Array.from({ length: 450 }, (_, i) => [
        `data/${String(i).padStart(3, "0")}.jsonl`,
        `{"text": "${i}"}\n`,
      ]),
    );
    here.hub.add("datasets/org/poems", files);
    const fetcher = datasetFetcher({ env: here.env });
    expect(fetcher.modelScope).toBe(true);
    const source = { hub: "modelscope", repo: "org/poems", subset: undefined, folder: undefined } as const;
    const found = await fetcher.files({ ...source, split: "train" }, "poems");
    expect(found).toHaveLength(450);
    const start = path.join(cache, "datasets", "org--poems", "snapshots", "master", "data");
    expect(found[449]).toBe(path.join(start, "449.jsonl"));
    expect(here.hub.asked.filter(({ url }) => url.includes("/repo/tree"))).toHaveLength(3);
  });
});
