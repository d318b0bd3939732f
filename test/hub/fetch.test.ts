// Fetching a model from a hub into huggingface_hub's cache, against a real HTTP server.
import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { fetchAdapter } from "../../lib/hub/models.js";
import { failure, place } from "./room.js";
import { gitSha1, modelRepo, refuse, sha256, shardedRepo } from "./server.js";

const here = place();
const NEEDED = [
  "config.json",
  "generation_config.json",
  "merges.txt",
  "model.safetensors",
  "tokenizer.json",
  "tokenizer_config.json",
  "vocab.json",
];

describe("a model's files", () => {
  it("are those that training needs, and no others", async () => {
    modelRepo(here.hub);
    const folder = await here.fetch("org/tiny");
    expect(readdirSync(folder).sort()).toEqual(NEEDED);
    expect(readFileSync(path.join(folder, "model.safetensors")).equals(Buffer.alloc(300_000, "w"))).toBe(
      true,
    );
    expect(here.hub.downloads().some(({ url }) => /README|\.bin|onnx|original/.test(url))).toBe(false);
  });

  it("come in shards by the index", async () => {
    shardedRepo(here.hub);
    const folder = await here.fetch("org/shards");
    expect(readdirSync(folder).filter((name) => name.endsWith(".safetensors"))).toEqual([
      "model-00001-of-00002.safetensors",
      "model-00002-of-00002.safetensors",
    ]);
  });

  it("lack the weights where they are drawn at random", async () => {
    modelRepo(here.hub);
    const folder = await here.fetch("org/tiny", { weights: false });
    expect(readdirSync(folder)).not.toContain("model.safetensors");
  });

  it("are not asked for where a folder of that name is here", async () => {
    expect(await here.fetch("lib/hub")).toBe("lib/hub");
    expect(await here.fetch("./models/none")).toBe("./models/none");
    expect(await here.fetch("/org/tiny")).toBe("/org/tiny");
    expect(here.hub.asked).toEqual([]);
  });

  it("come from a mirror whose pages name the hub itself", async () => {
    modelRepo(here.hub);
    here.hub.pages = "https://elsewhere.example";
    expect(readdirSync(await here.fetch("org/tiny")).sort()).toEqual(NEEDED);
  });

  it("come from a mirror without a list of files, by their headers", async () => {
    modelRepo(here.hub);
    here.hub.noTree = true;
    expect(readdirSync(await here.fetch("org/tiny")).sort()).toEqual(NEEDED);
  });
});

describe("an adapter", () => {
  const adapter = (id: string) =>
    fetchAdapter(id, { env: here.env, backoff: () => 10, onEvent: (event) => here.events.push(event) });

  it("is its two files", async () => {
    here.hub.add(
      "models/org/lora",
      {
        "adapter_config.json": "{}",
        "adapter_model.safetensors": "x",
        "optimizer.pt": "y",
        "README.md": "z",
      },
      ["adapter_model.safetensors"],
    );
    expect(readdirSync(await adapter("org/lora"))).toEqual([
      "adapter_config.json",
      "adapter_model.safetensors",
    ]);
  });

  it("that is none, or a pickle, ends in a line", async () => {
    here.hub.add("models/org/lora", { "adapter_config.json": "{}", "adapter_model.bin": "x" });
    expect((await failure(adapter("org/lora"))).message).toMatch(/^org\/lora: .*is a pickle and is not read/);
    modelRepo(here.hub);
    expect((await failure(adapter("org/tiny"))).message).toMatch(/has no adapter_config\.json/);
  });
});

describe("the cache", () => {
  it("has huggingface_hub's layout", async () => {
    const repo = modelRepo(here.hub);
    const folder = await here.fetch("org/tiny");
    const root = path.join(here.home, "hub", "models--org--tiny");
    expect(folder).toBe(path.join(root, "snapshots", repo.commit));
    expect(readFileSync(path.join(root, "refs", "main"), "utf8")).toBe(repo.commit);
    const weights = path.join(folder, "model.safetensors");
    expect(lstatSync(weights).isSymbolicLink()).toBe(true);
    const hash = sha256(repo.files.get("model.safetensors")!);
    expect(readlinkSync(weights)).toBe(`../../blobs/${hash}`);
    const small = gitSha1(repo.files.get("config.json")!);
    expect(readdirSync(path.join(root, "blobs"))).toContain(small);
    expect(readdirSync(path.join(root, "blobs")).some((name) => name.includes("incomplete"))).toBe(false);
    expect(readdirSync(path.join(here.home, "hub", ".locks", "models--org--tiny"))).toContain(`${hash}.lock`);
  });

  it("holds copies where links are impossible", async () => {
    modelRepo(here.hub);
    here.env.HF_HUB_DISABLE_SYMLINKS = "1";
    const folder = await here.fetch("org/tiny");
    expect(lstatSync(path.join(folder, "model.safetensors")).isFile()).toBe(true);
    here.hub.asked.length = 0;
    await here.fetch("org/tiny");
    expect(here.hub.downloads()).toEqual([]);
  });

  it.each([
    ["HF_HUB_CACHE", { HF_HUB_CACHE: "cache/a" }],
    ["HUGGINGFACE_HUB_CACHE", { HUGGINGFACE_HUB_CACHE: "cache/a" }],
    ["a variable in it", { HF_HUB_CACHE: "$HOME/cache/a" }],
    ["XDG_CACHE_HOME", { HF_HOME: "", XDG_CACHE_HOME: "cache/a" }],
  ])("is where %s says", async (_, variables: Record<string, string>) => {
    modelRepo(here.hub);
    for (const [name, value] of Object.entries(variables)) {
      here.env[name] = value.startsWith("cache") ? path.join(here.home, value) : value;
    }
    const folder = await here.fetch("org/tiny");
    expect(folder.startsWith(path.join(here.home, "cache/a"))).toBe(true);
  });

  it("is the recipe's cache_dir before all", async () => {
    modelRepo(here.hub);
    const cache = path.join(here.home, "mine");
    const folder = await here.fetch("org/tiny", { keys: { cache_dir: cache } });
    expect(folder.startsWith(path.join(cache, "models--org--tiny"))).toBe(true);
  });

  it("costs one request when everything is there, and none for a commit", async () => {
    const repo = modelRepo(here.hub);
    const first = await here.fetch("org/tiny");
    here.hub.asked.length = 0;
    expect(await here.fetch("org/tiny")).toBe(first);
    expect(here.hub.asked).toHaveLength(1);
    // nor without the list of files, which Python's client does not leave
    rmSync(path.join(first, "../../.qwen-pt"), { recursive: true });
    expect(await here.fetch("org/tiny", { keys: { model_revision: repo.commit } })).toBe(first);
    expect(here.hub.asked).toHaveLength(1);
  });

  it("follows a branch that moved on, and fetches what changed alone", async () => {
    const repo = modelRepo(here.hub);
    await here.fetch("org/tiny");
    repo.commit = "b".repeat(40);
    repo.files.set("config.json", Buffer.from('{"model_type": "qwen3", "x": 1}'));
    here.hub.asked.length = 0;
    const folder = await here.fetch("org/tiny");
    expect(readFileSync(path.join(folder, "config.json"), "utf8")).toContain('"x"');
    expect(here.hub.downloads().map(({ url }) => url.split("/").at(-1))).toEqual(["config.json"]);
  });
});

describe("without a network", () => {
  it("a second run goes on with the cache, and says so", async () => {
    modelRepo(here.hub);
    const first = await here.fetch("org/tiny");
    await here.hub.stop();
    expect(await here.fetch("org/tiny")).toBe(first);
    expect(here.texts()).toMatch(/cannot be reached \(ECONNREFUSED.*continuing with the cached files/);
  });

  it.each([500, 429, 403])("also where the hub answers %i", async (status) => {
    modelRepo(here.hub);
    const first = await here.fetch("org/tiny");
    here.hub.faults.push((_, s) => {
      refuse(s, status, "", "no");
      return true;
    });
    expect(await here.fetch("org/tiny")).toBe(first);
    expect(here.hub.asked.filter(({ url }) => url.includes("/revision/"))).toHaveLength(2);
  });

  it("HF_HUB_OFFLINE asks nobody", async () => {
    modelRepo(here.hub);
    const first = await here.fetch("org/tiny");
    here.hub.asked.length = 0;
    here.env.HF_HUB_OFFLINE = "1";
    expect(await here.fetch("org/tiny")).toBe(first);
    const error = await failure(here.fetch("org/other"));
    expect(error.message).toMatch(/^org\/other: not in the cache \(.*models--org--other\).*HF_HUB_OFFLINE/);
    expect(here.hub.asked).toEqual([]);
  });

  it("a cache that lacks a file is not taken for whole", async () => {
    shardedRepo(here.hub);
    const folder = await here.fetch("org/shards", { weights: false });
    here.env.HF_HUB_OFFLINE = "1";
    expect((await failure(here.fetch("org/shards"))).message).toMatch(/or not whole/);
    expect(await here.fetch("org/shards", { weights: false })).toBe(folder);
    here.env.HF_HUB_OFFLINE = "0";
    await here.fetch("org/shards");
    here.env.HF_HUB_OFFLINE = "1";
    rmSync(path.join(folder, "model-00002-of-00002.safetensors"));
    expect((await failure(here.fetch("org/shards"))).message).toMatch(/or not whole/);
  });

  it("gives up in a line where there is no cache", async () => {
    await here.hub.stop();
    const { message, name } = await failure(here.fetch("org/tiny"));
    expect(name).toBe("UserError");
    expect(message).toBe(
      `org/tiny: ${here.hub.endpoint} cannot be reached (ECONNREFUSED); check the network or HTTPS_PROXY, or use a mirror (HF_ENDPOINT=https://hf-mirror.com), ModelScope (USE_MODELSCOPE_HUB=1) or a local folder`,
    );
  });
});

describe("what a hub refuses, in a line", () => {
  it("a repository that is not there", async () => {
    const { message } = await failure(here.fetch("org/nothing"));
    expect(message).toMatch(
      /^org\/nothing: there is no such folder here and no model of that name .*\(401\)/,
    );
  });

  it("a revision that is not there", async () => {
    modelRepo(here.hub);
    const { message } = await failure(here.fetch("org/tiny", { keys: { model_revision: "v9" } }));
    expect(message).toBe(
      `org/tiny: there is no revision v9 at ${here.hub.endpoint}/org/tiny; correct model_revision (main is the usual one)`,
    );
  });

  it("a gated repository, with and without a token", async () => {
    modelRepo(here.hub).access = { token: "hf_right", gated: true };
    const page = `${here.hub.endpoint}/org/tiny`;
    const without = await failure(here.fetch("org/tiny"));
    expect(without.message).toContain(`gated (401): accept its licence at ${page} and set HF_TOKEN`);
    here.env.HF_TOKEN = "hf_wrong";
    const wrong = await failure(here.fetch("org/tiny"));
    expect(wrong.message).toContain(`gated (403)`);
    expect(wrong.message).toContain(`accept its licence at ${page}`);
    expect(wrong.message).not.toContain("hf_wrong");
    here.env.HF_TOKEN = "hf_right";
    expect(existsSync(await here.fetch("org/tiny"))).toBe(true);
  });

  it("a token that is not accepted", async () => {
    here.hub.faults.push((_, s) => {
      refuse(s, 401, "", "Invalid credentials in Authorization header");
      return true;
    });
    here.env.HF_TOKEN = "hf_old_token";
    const { message } = await failure(here.fetch("org/tiny"));
    expect(message).toMatch(/does not accept the token \(401\); correct HF_TOKEN/);
    expect(message).not.toContain("hf_old_token");
  });

  it("a file that vanished", async () => {
    const repo = modelRepo(here.hub);
    here.hub.faults.push((q) => {
      if (q.url?.endsWith("/config.json")) repo.files.delete("config.json");
      return false;
    });
    const { message } = await failure(here.fetch("org/tiny"));
    expect(message).toMatch(/^org\/tiny: config\.json: the file is not in revision main/);
  });

  it.each([
    [{ "model.gguf": "x" }, /GGUF.*original model/],
    [{ "adapter_config.json": "{}" }, /is an adapter, not a model/],
    [{ "README.md": "x" }, /no config\.json/],
    [{ "config.json": "{}", "pytorch_model.bin": "x" }, /no model\.safetensors/],
    [{ "config.json": "{}", "model.safetensors.index.json": "{" }, /malformed JSON/],
    [
      {
        "config.json": "{}",
        "model.safetensors.index.json": '{"weight_map": {"a": "../../x.safetensors"}}',
      },
      /weight_map\.a: a file's name is needed, not "\.\.\/\.\.\/x\.safetensors"; the repository is damaged/,
    ],
  ])("no model: %j", async (files, expected) => {
    here.hub.add("models/org/odd", files as Record<string, string>);
    expect((await failure(here.fetch("org/odd"))).message).toMatch(expected);
  });

  it("an address that is no hub's", async () => {
    here.hub.faults.push((_, s) => {
      s.end("<html>sign in to the hotel's network</html>");
      return true;
    });
    expect((await failure(here.fetch("org/tiny"))).message).toMatch(/no hub's answer; correct HF_ENDPOINT/);
    here.env.HF_ENDPOINT = "hf-mirror.com";
    expect((await failure(here.fetch("org/tiny"))).message).toMatch(/^HF_ENDPOINT: .* is no address/);
  });

  it("a cache that cannot be written to", async () => {
    modelRepo(here.hub);
    writeFileSync(path.join(here.home, "hub"), "a file in the way");
    expect((await failure(here.fetch("org/tiny"))).message).toMatch(/cannot be written \(ENOTDIR|EEXIST\)/);
  });

  it("another hub that nobody reads here", async () => {
    here.env.USE_OPENMIND_HUB = "1";
    expect((await failure(here.fetch("org/tiny"))).message).toMatch(/USE_OPENMIND_HUB/);
  });
});
