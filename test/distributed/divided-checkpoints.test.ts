// What processes that keep a part of the model each write together: an ordinary model, which Python and `export` read; and
// whole or not at all, where one of them dies as it is written.
import { execFile } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { resolveRecipe } from "../../lib/config/index.js";
import { exportModel } from "../../lib/inference/export.js";
import { loadModel, readModelConfig } from "../../lib/models/index.js";
import { loadSafetensors, noGrad, tensor } from "../../lib/torch/index.js";
import { verifyCheckpoint } from "../../lib/train/checkpoint/folder.js";
import * as fixture from "../fixtures/model/read.js";
import { dist, runRanks, trainRanks } from "./ranks.js";
import { FULL, TinyRuns } from "./tiny-runs.js";

const FREEZE = { finetuning_type: "freeze", freeze_trainable_layers: 1 } as const;
const SHORT = { max_steps: 4, save_steps: 2 } as const;

describe.skipIf(process.platform !== "linux")("a model that two processes write", () => {
  let runs: TinyRuns;
  const trained = { full: { ...FULL, fsdp: "full_shard" }, freeze: { ...FREEZE, fsdp: "shard_grad_op" } };
  const names = Object.keys(trained) as (keyof typeof trained)[];
  beforeAll(async () => {
    runs = new TinyRuns();
    await trainRanks(
      2,
      names.map((name) => runs.recipe(name, { ...trained[name], ...SHORT })),
    );
  }, 120_000);
  afterAll(() => runs.remove());

  it.each(names)("%s: has a file for each unit and their index, and nothing else is left", (name) => {
    for (const folder of [runs.path(name), runs.path(name, "checkpoint-4")]) {
      const files = readdirSync(folder).filter((file) => /^model|^\./.test(file));
      expect(files).toEqual([
        ...[1, 2, 3, 4].map((at) => `model-0000${at}-of-00004.safetensors`), // embedding, two blocks, norm
        "model.safetensors.index.json",
      ]);
    }
    const dir = runs.path(name, "checkpoint-4");
    verifyCheckpoint(dir);
    const { files } = JSON.parse(readFileSync(`${dir}/manifest.json`, "utf8"));
    expect(Object.keys(files).sort()).toEqual(
      readdirSync(dir)
        .filter((file) => file !== "manifest.json")
        .sort(),
    );
    expect(runs.weightsApart(name, `${name}/checkpoint-4`, "model")).toBe(0);
  });

  it("is an ordinary one to transformers, and to export", async () => {
    const prompt = [5, 17, 3, 44, 8];
    const jobs = names.map((name) => ({
      ...{ model: runs.path(name), adapter: null, prompt, greedy: false },
      out: runs.path(`${name}.safetensors`),
    }));
    writeFileSync(runs.path("jobs.json"), JSON.stringify(jobs));
    await promisify(execFile)(
      process.env["QWEN_PT_REFERENCE_PYTHON"] as string,
      [fixture.path("load.py"), runs.path("jobs.json")],
      { env: { ...process.env, OMP_NUM_THREADS: "1", HF_HUB_OFFLINE: "1" } },
    );
    for (const name of names) {
      const exported = runs.path(`${name}-exported`);
      const recipe = { model_name_or_path: runs.path(name), export_dir: exported, template: "empty" };
      await exportModel(resolveRecipe(recipe, { for: "export" }).recipe);
      expect(runs.weightsApart(name, `${name}-exported`, "model")).toBe(0);
      expect(readdirSync(exported)).toContain("model.safetensors");
      const model = loadModel(exported, readModelConfig(exported));
      const logits = noGrad(() => model.eval().forward({ inputIds: tensor([prompt], { dtype: "int64" }) }));
      const theirs = loadSafetensors(runs.path(`${name}.safetensors`)).get("logits")!;
      expect(logits.sub(theirs).norm().item() / theirs.norm().item()).toBeLessThan(1e-5);
    }
  });

  it.each(["SIGKILL", "an error"])(
    "leaves the checkpoint before it where a rank ends by %s as it is written",
    async (how) => {
      const name = `ended by ${how}`;
      const recipe = runs.recipe(name, { ...FULL, fsdp: "full_shard", heartbeat_timeout: 2, ...SHORT });
      const script = `
      const { readdirSync, rmSync } = await import("node:fs");
      const { World } = await import("${dist}/distributed/world.js");
      const { resolveRecipe } = await import("${dist}/config/index.js");
      const { runRecipe } = await import("${dist}/train/index.js");
      const { begin } = World.prototype;
      const dir = ${JSON.stringify(runs.path(name))};
      if (rank === 1) World.prototype.begin = function (...given) {
        const writing = readdirSync(dir).find((name) => /^.checkpoint-4/.test(name));
        const shards = writing && readdirSync(dir + "/" + writing).find((name) => /^.model/.test(name));
        if (shards !== undefined && "${how}" === "SIGKILL") process.kill(process.pid, "${how}");
        if (shards !== undefined) rmSync(dir + "/" + writing + "/" + shards, { recursive: true });
        return begin.apply(this, given);
      };
      try { await runRecipe(resolveRecipe(${JSON.stringify(recipe)})); }
      catch (error) { if (rank === 0 || error.name !== "PeerError") console.error("error: " + error.message); process.exit(1); }`;
      const [first, second] = await runRanks(script);
      expect(first!.code).toBe(1);
      if (how === "SIGKILL") expect(first!.err).toMatch(/rank 1 (is gone|has given no sign of life)/);
      else {
        expect(second!.code).toBe(1);
        expect(first!.err + second!.err).toMatch(/^error: (rank 1: )?.*model-0000\d-of-00004.safetensors/);
      }
      expect(readdirSync(runs.path(name)).filter((file) => /checkpoint|\.tmp$/.test(file))).toEqual([
        "checkpoint-2",
      ]);
      verifyCheckpoint(runs.path(name, "checkpoint-2"));
      await trainRanks(3, [runs.recipe(name, { ...FULL, fsdp: "full_shard", ...SHORT })]);
      expect(runs.steps(name)).toHaveLength(4);
    },
    60_000,
  );
});
