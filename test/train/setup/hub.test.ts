// A recipe of hub names, from the first download to a run without a network: the compiled program, a hub on this
// machine, and what the run writes of names and tokens.
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeHub } from "../../hub/server.js";

const MAIN = fileURLToPath(new URL("../../../dist/cli/main.js", import.meta.url));
const FIXTURES = fileURLToPath(new URL("../../fixtures/train/", import.meta.url));

let hub: FakeHub;
let dir = "";

function filesOf(folder: string): Record<string, Buffer> {
  const names = readdirSync(folder).map((name): [string, Buffer] => [
    name,
    readFileSync(path.join(folder, name)),
  ]);
  return Object.fromEntries(names);
}

beforeEach(async () => {
  hub = await FakeHub.start();
  dir = mkdtempSync(path.join(os.tmpdir(), "qwen-pt-hub-train-"));
  hub.add("models/org/tiny", filesOf(path.join(FIXTURES, "model")), ["model.safetensors"]);
  hub.add("datasets/org/poems", { "train.jsonl": readFileSync(path.join(FIXTURES, "data/one.jsonl")) });
  for (const repo of hub.repos.values()) repo.access = { token: "hf_only_this", gated: true };
});

afterEach(async () => {
  await hub.stop();
  rmSync(dir, { recursive: true, force: true });
});

function run(args: string[], env: NodeJS.ProcessEnv = {}): Promise<{ code: number | null; text: string }> {
  return new Promise((resolve) => {
    const base = { PATH: process.env.PATH, OMP_NUM_THREADS: "1", HF_HOME: path.join(dir, "hf") };
    const child = spawn(process.execPath, [MAIN, ...args], {
      cwd: dir,
      env: { ...base, HOME: dir, HF_ENDPOINT: hub.endpoint, ...env },
    });
    let text = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (part) => (text += part));
    child.on("close", (code) => resolve({ code, text }));
  });
}

const RECIPE = {
  model_name_or_path: "org/tiny",
  stage: "pt",
  do_train: true,
  finetuning_type: "lora",
  lora_rank: 4,
  lora_target: "all",
  dataset: "poems",
  dataset_dir: ".",
  cutoff_len: 48,
  output_dir: "out",
  max_steps: 2,
  save_steps: 1,
  max_samples: 16,
  use_cpu: true,
};

describe("a recipe of hub names", () => {
  it("trains, keeps the names and no token, and trains again without a network", async () => {
    const info = { poems: { hf_hub_url: "org/poems", columns: { prompt: "text" } } };
    writeFileSync(path.join(dir, "dataset_info.json"), JSON.stringify(info));
    writeFileSync(path.join(dir, "recipe.json"), JSON.stringify({ ...RECIPE, hf_hub_token: "hf_only_this" }));
    const first = await run(["train", "recipe.json"]);
    expect(first.text).toContain("of org/tiny from http");
    expect(first.text).toContain("of org/poems from http");
    expect(first.text).toMatch(/finished after 2 steps: out\n/);
    expect(first.code).toBe(0);
    const read = (name: string) => readFileSync(path.join(dir, "out", name), "utf8");
    expect(JSON.parse(read("adapter_config.json")).base_model_name_or_path).toBe("org/tiny");
    expect(JSON.parse(read("training_args.json"))).toMatchObject({
      model_name_or_path: "org/tiny",
      hf_hub_token: "<HF_HUB_TOKEN>",
      ms_hub_token: null,
    });
    expect(read("README.md")).toContain("base_model: org/tiny");
    const written = readdirSync(dir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name !== "recipe.json")
      .filter((entry) => readFileSync(path.join(entry.parentPath, entry.name), "latin1").includes("hf_only"));
    expect(written.map(({ name }) => name)).toEqual([]);
    expect(first.text).not.toContain("hf_only");

    await hub.stop();
    const second = await run(["train", "recipe.json", "output_dir=again", "dataset=poems"]);
    expect(second.text).toMatch(
      /warning: org\/tiny: http\S+ cannot be reached .*continuing with the cached files/,
    );
    expect(second.code).toBe(0);
    const offline = { HF_HUB_OFFLINE: "1" };
    const third = await run(["chat", "--model", "org/tiny", "--prompt", "a", "max_new_tokens=2"], offline);
    expect(third.code).toBe(0);
    const evaluation = ["--data", "poems", "--dataset-dir", ".", "--documents", "2", "--length", "32"];
    const fourth = await run(["eval", "--model", "org/tiny", ...evaluation], offline);
    expect(fourth.text).toMatch(/^poems +2 +\d+ /m);
    expect(fourth.code).toBe(0);
  });

  it("says that a repository is gated, in a line, and writes nothing", async () => {
    writeFileSync(
      path.join(dir, "recipe.json"),
      JSON.stringify({ ...RECIPE, dataset: "org/poems", dataset_dir: "ONLINE" }),
    );
    const { code, text } = await run(["train", "recipe.json"]);
    expect(text).toMatch(
      /^error: org\/tiny: gated \(401\): accept its licence at http:\S+\/org\/tiny and set HF_TOKEN .*\n$/,
    );
    expect(code).toBe(1);
    expect(readdirSync(dir)).not.toContain("out");
  });
});
