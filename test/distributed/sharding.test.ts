// Processes that keep a part of the model each, against one process with as many times the batch: the same steps, whatever
// is trained and recomputed; and checkpoints of parts, gone on from by as many processes or others.
import { existsSync, readdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RecipeInput } from "../../lib/config/index.js";
import { openCheckpoint } from "../../lib/models/index.js";
import { trainRanks } from "./ranks.js";
import { EVALUATED, FULL, TinyRuns } from "./tiny-runs.js";

describe.skipIf(process.platform !== "linux")("two processes with half of the model each", () => {
  let runs: TinyRuns;
  beforeAll(() => {
    runs = new TinyRuns();
  });
  afterAll(() => runs.remove());

  /** Recipes by the run of one process that they are to equal. */
  const cases: Record<string, { keys: RecipeInput; sharded: Record<string, RecipeInput> }> = {
    lora: {
      keys: {},
      sharded: {
        "full_shard auto_wrap": { fsdp: "full_shard auto_wrap" },
        prefetched: {
          fsdp: "full_shard",
          fsdp_config: { fsdp_backward_prefetch: "BACKWARD_PRE", forward_prefetch: true },
          gradient_checkpointing: false,
        },
      },
    },
    full: {
      keys: { ...FULL, ...EVALUATED },
      sharded: {
        "full_shard, selective": { fsdp: true, gradient_checkpointing: "selective" },
        shard_grad_op: { fsdp: "shard_grad_op" },
        "ZeRO 3": { deepspeed: { zero_optimization: { stage: 3, overlap_comm: true } } },
      },
    },
    freeze: {
      keys: { finetuning_type: "freeze", freeze_trainable_layers: 1, learning_rate: 1e-3 },
      sharded: { "full_shard, everything kept": { fsdp: ["full_shard"], gradient_checkpointing: false } },
    },
  };
  cases["lora by Adafactor"] = {
    keys: { optim: "adafactor" },
    sharded: { "full_shard, Adafactor": { fsdp: "full_shard" } },
  };
  cases["full by Adafactor"] = {
    keys: { ...FULL, optim: "adafactor", weight_decay: 0.1 },
    sharded: {
      "shard_grad_op, Adafactor": { fsdp: "shard_grad_op" },
      "ZeRO 2, Adafactor": { deepspeed: { zero_optimization: { stage: 2 } } },
    },
  };
  const names = Object.entries(cases).flatMap(([one, { sharded }]) =>
    Object.keys(sharded).map((name) => [one, name] as const),
  );

  /** An adapter is trained in the model's own float64; full and freeze train in float32 whatever the model is. */
  const isWide = (one: string) => one.startsWith("lora");

  beforeAll(async () => {
    const recipes = names.flatMap(([one, name]) => {
      const { keys, sharded } = cases[one]!;
      const both = { ...keys, ...sharded[name] };
      const wide = runs.recipe(`${name}, wide`, { ...both, ...runs.wide });
      return [runs.recipe(name, both), ...(isWide(one) ? [wide] : [])];
    });
    await trainRanks(2, recipes);
    for (const [one, { keys }] of Object.entries(cases)) {
      await runs.alone(one, keys);
      if (isWide(one)) await runs.alone(`${one}, wide`, { ...keys, ...runs.wide });
    }
  }, 300_000); // of two processes, on a machine that other tests share

  const fileOf = (one: string) => (isWide(one) ? undefined : "model");

  it.each(names)("%s, %s: fp32 to 1e-5, fp64 to 1e-9, each step", (one, name) => {
    expect(runs.apart(name, one, "loss")).toBeLessThan(1e-5);
    expect(runs.apart(name, one, "grad_norm")).toBeLessThan(1e-4);
    if (isWide(one)) {
      expect(runs.apart(`${name}, wide`, `${one}, wide`, "grad_norm")).toBeLessThan(1e-9);
      expect(runs.weightsApart(`${name}, wide`, `${one}, wide`)).toBeLessThan(1e-9);
    }
    expect(runs.weightsApart(name, one, fileOf(one))).toBeLessThan(1e-4);
    expect(runs.evaluations(name)).toHaveLength(one === "full" ? 2 : 0);
    for (const [at, loss] of runs.evaluations(name).entries())
      expect(Math.abs(loss / runs.evaluations(one)[at]! - 1)).toBeLessThan(1e-5);
  });

  it("take a model in 16 bits unit by unit, and train it in float32", async () => {
    const keys = { ...FULL, ...runs.narrow };
    await trainRanks(2, [runs.recipe("narrow, divided", { ...keys, fsdp: "full_shard" })]);
    await runs.alone("one, narrow", keys);
    expect(runs.apart("narrow, divided", "one, narrow", "loss")).toBeLessThan(1e-2); // products in 16 bits
    const [one, two] = ["one, narrow", "narrow, divided"].map((name) => runs.weights(name, "model"));
    for (const [name, weight] of two!) expect(weight.dtype).toBe(one!.get(name)!.dtype);
    expect(two!.get("model.norm.weight")!.dtype).toBe("float32");
  });

  it("hold weights by springs, and single heads, as one process does", async () => {
    const springs = (fisher: string) => ({
      ...{ ewc_lambda: 50, ewc_dataset: "prose", ewc_samples: 4, weight_decay: 0.1 },
      ewc_fisher: runs.path(`${fisher}.safetensors`), // one estimate for both
    });
    const held: Record<string, { keys: RecipeInput; bound: number; fsdp: string }> = {
      "springs of an adapter": {
        keys: { ...runs.wide, ...springs("wide") },
        bound: 1e-9,
        fsdp: "full_shard",
      },
      "springs of all": { keys: { ...FULL, ...springs("all") }, bound: 1e-4, fsdp: "shard_grad_op" },
      "a head": {
        keys: {
          ...{ finetuning_type: "freeze", freeze_trainable_layers: null, freeze_trainable_heads: "1:0" },
          ...{ learning_rate: 1e-2, weight_decay: 0.1 },
        },
        bound: 1e-4,
        fsdp: "full_shard",
      },
    };
    await trainRanks(
      2,
      Object.entries(held).map(([name, { keys, fsdp }]) =>
        runs.recipe(`${name}, divided`, { ...keys, fsdp }),
      ),
    );
    for (const [name, { keys, bound }] of Object.entries(held)) {
      await runs.alone(name, keys);
      const divided = `${name}, divided`;
      expect(runs.apart(divided, name, "loss"), name).toBeLessThan(1e-5); // logged in float32
      expect(runs.apart(divided, name, "grad_norm"), name).toBeLessThan(bound);
      const what = name === "springs of an adapter" ? "adapter" : "model";
      expect(runs.weightsApart(divided, name, what), name).toBeLessThan(bound);
      if (name === "a head") continue;
      for (const [at, step] of runs.steps(divided).slice(1).entries())
        expect(Math.abs(step.ewc_loss! / runs.steps(name)[at + 1]!.ewc_loss! - 1), name).toBeLessThan(
          100 * bound,
        );
    }
    const [before, after] = [runs.path("model"), runs.path("a head, divided")].map((dir) =>
      openCheckpoint(dir),
    );
    const query = "model.layers.1.self_attn.q_proj.weight";
    const [was, is] = [before!, after!].map((model) => model.get(query)!.tensor);
    const others = [was!, is!].map((weight) => weight.narrow(0, 8, 24)); // of 4 heads with 8 rows each
    expect(others[1]!.equal(others[0]!)).toBe(true);
    expect(is!.equal(was!)).toBe(false);
  });

  it.each(["adamw_torch", "adafactor"])(
    "write their parts side by side, and go on from them bit for bit, as one process or as three: %s",
    async (optim) => {
      const named = (name: string) => `${name}, ${optim}`;
      const half = { ...FULL, optim, fsdp: "full_shard", lr_scheduler_type: "constant" } as const;
      const from = { ...half, resume_from_checkpoint: runs.path(`${named("straight")}/checkpoint-10`) };
      const { fsdp: _, ...undivided } = from;
      await trainRanks(2, [
        runs.recipe(named("straight"), half),
        runs.recipe(named("resumed"), { ...half, max_steps: 10 }),
        runs.recipe(named("resumed"), half),
        runs.recipe(named("undivided"), undivided),
      ]);
      const files = readdirSync(runs.path(`${named("straight")}/checkpoint-10`));
      expect(files.filter((name) => name.startsWith("optimizer"))).toEqual([
        "optimizer-00001-of-00002.safetensors",
        "optimizer-00002-of-00002.safetensors",
      ]);
      expect(runs.weightsApart(named("straight"), named("resumed"), "model")).toBe(0);
      const losses = (name: string) => runs.steps(name).map(({ loss }) => loss);
      expect(losses(named("resumed"))).toEqual(losses(named("straight")));
      await runs.alone(named("as-one"), undivided);
      expect(existsSync(runs.path(`${named("as-one")}/checkpoint-20/optimizer.safetensors`))).toBe(true);
      const back = {
        ...half,
        max_steps: 22,
        resume_from_checkpoint: runs.path(`${named("as-one")}/checkpoint-20`),
      };
      await trainRanks(3, [runs.recipe(named("as-three"), from), runs.recipe(named("divided again"), back)]);
      for (const name of ["undivided", "as-one"].map(named)) {
        expect(runs.apart(name, named("straight"), "loss")).toBeLessThan(1e-5);
        expect(runs.weightsApart(name, named("straight"), "model")).toBeLessThan(1e-4);
      }
      expect(runs.steps(named("as-three"))).toHaveLength(20);
      expect(runs.steps(named("divided again"))).toHaveLength(22);
    },
  );
});
