// What the environment says about the hubs, as their Python clients read it.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isRepositoryId, meansRepository } from "../../lib/hub/names.js";
import { chosenHub, hubSettings } from "../../lib/hub/settings.js";

let home = "";
beforeEach(() => {
  home = mkdtempSync(path.join(os.tmpdir(), "qwen-pt-settings-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const hf = (env: NodeJS.ProcessEnv, keys = {}) => hubSettings("huggingface", keys, { HOME: home, ...env });
const ms = (env: NodeJS.ProcessEnv, keys = {}) => hubSettings("modelscope", keys, { HOME: home, ...env });

describe("the token of Hugging Face", () => {
  beforeEach(() => {
    mkdirSync(path.join(home, ".cache/huggingface"), { recursive: true });
    writeFileSync(path.join(home, ".cache/huggingface/token"), "from-file\n");
    writeFileSync(path.join(home, "elsewhere"), "from-elsewhere");
  });

  it.each([
    [{}, {}, "from-file"],
    [{ HF_TOKEN: " from-variable\n" }, {}, "from-variable"],
    [{ HUGGING_FACE_HUB_TOKEN: "old-variable" }, {}, "old-variable"],
    [{ HF_TOKEN: "from-variable" }, { hf_hub_token: "from-recipe" }, "from-recipe"],
    [{ HF_TOKEN_PATH: "$HOME/elsewhere" }, {}, "from-elsewhere"],
    [{ HF_HOME: "/nowhere" }, {}, undefined],
    [{ HF_HUB_DISABLE_IMPLICIT_TOKEN: "1", HF_TOKEN: "from-variable" }, {}, undefined],
    [{ HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" }, { hf_hub_token: "from-recipe" }, "from-recipe"],
  ])("of %j and %j is %s", (env, keys, expected) => {
    expect(hf(env as NodeJS.ProcessEnv, keys).token).toBe(expected);
  });
});

describe("addresses, caches and switches", () => {
  it("have the defaults of the Python clients", () => {
    expect(hf({})).toMatchObject({
      endpoint: "https://huggingface.co",
      cacheDir: path.join(home, ".cache/huggingface/hub"),
      token: undefined,
      offline: undefined,
      answerTimeout: 10,
      downloadTimeout: 10,
    });
    expect(ms({})).toMatchObject({
      endpoint: "https://modelscope.cn",
      cacheDir: path.join(home, ".cache/modelscope"),
      token: undefined,
    });
  });

  it("follow the variables", () => {
    expect(hf({ HF_ENDPOINT: "https://hf-mirror.com/" }).endpoint).toBe("https://hf-mirror.com");
    expect(hf({ HF_HOME: "~/models" }).cacheDir).toBe(path.join(home, "models/hub"));
    expect(ms({ MODELSCOPE_DOMAIN: "www.modelscope.ai" }).endpoint).toBe("https://www.modelscope.ai");
    expect(ms({ MODELSCOPE_CACHE: "~/ms" }).cacheDir).toBe(path.join(home, "ms"));
    expect(ms({ MODELSCOPE_API_TOKEN: "a" }, { ms_hub_token: "b" }).token).toBe("b");
    expect(hf({ HF_HUB_OFFLINE: "yes" }).offline).toBe("HF_HUB_OFFLINE");
    expect(hf({ TRANSFORMERS_OFFLINE: "1" }).offline).toBe("TRANSFORMERS_OFFLINE");
    expect(hf({ HF_HUB_OFFLINE: "0" }).offline).toBeUndefined();
    expect(hf({ https_proxy: "proxy:3128", HTTPS_PROXY: "other:1" }).proxies.https).toBe("http://proxy:3128");
  });

  it.each([
    [{ HF_ENDPOINT: "ftp://x" }, /^HF_ENDPOINT: "ftp:\/\/x" is no address/],
    [{ HF_HUB_DOWNLOAD_TIMEOUT: "soon" }, /^HF_HUB_DOWNLOAD_TIMEOUT: "soon" is not a number of seconds/],
  ])("refuse %j in a line", (env, expected) => {
    expect(() => hf(env as NodeJS.ProcessEnv)).toThrow(expected);
  });

  it("choose the hub as LLaMA-Factory does", () => {
    expect(chosenHub({})).toBe("huggingface");
    for (const value of ["1", "true", "Y"])
      expect(chosenHub({ USE_MODELSCOPE_HUB: value })).toBe("modelscope");
    expect(chosenHub({ USE_MODELSCOPE_HUB: "0" })).toBe("huggingface");
    expect(() => chosenHub({ USE_OPENMIND_HUB: "1" })).toThrow(/^USE_OPENMIND_HUB: .*not read here/);
  });
});

describe("a repository's name", () => {
  it.each(["Qwen/Qwen3-0.6B", "a/b", "org_1/na.me-2", "AI-ModelScope/x_"])("%s is one", (name) => {
    expect(isRepositoryId(name)).toBe(true);
  });

  it.each([
    "",
    "Qwen3",
    "./Qwen/Qwen3",
    "../a/b",
    "/a/b",
    "a/b/c",
    "a\\b",
    "C:/b",
    "a/b/",
    "a/..",
    "a/.b",
    "a--b/c",
    "~/b",
  ])("%s is a path", (name) => {
    expect(isRepositoryId(name)).toBe(false);
  });

  it("that is a folder here is the folder", () => {
    expect(meansRepository("lib/hub")).toBe(false);
    expect(meansRepository("lib/no-such")).toBe(true);
  });
});
