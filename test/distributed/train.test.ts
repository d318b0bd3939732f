// Training by several processes against one process with as many times the batch: the same blocks, losses, gradients and
// weights, step by step; and going on from a checkpoint with as many processes, or others.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RecipeInput, resolveRecipe } from "../../lib/config/index.js";
import {
  initializeWeights,
  parseConfig,
  Qwen3ForCausalLM,
  saveModel,
} from "../../lib/models/families/qwen3/index.js";
import { loadSafetensors, manualSeed, type Tensor } from "../../lib/torch/index.js";
import { runRecipe } from "../../lib/train/index.js";
import { tinyModel } from "../api/room.js";
import { trainRanks } from "./ranks.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

let dir = "";
beforeAll(() => {
  dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-ranks-"));
  tinyModel(path.join(dir, "model"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** A recipe of 20 steps in which every step has four blocks. */
function recipeOf(name: string, more: RecipeInput = {}): RecipeInput {
  return {
    model_name_or_path: path.join(dir, "model"),
    finetuning_type: "lora",
    lora_rank: 4,
    dataset: "prose",
    dataset_dir: path.join(root, "examples/data"),
    max_samples: 20,
    cutoff_len: 24,
    output_dir: path.join(dir, name),
    per_device_train_batch_size: 1,
    gradient_accumulation_steps: 2,
    learning_rate: 0.01,
    max_steps: 20,
    logging_steps: 1,
    save_steps: 10,
    use_cpu: true,
    ddp_timeout: 180000000,
    ...more,
  };
}

const inOne = (recipe: RecipeInput) => runRecipe(resolveRecipe(recipe));

interface Logged {
  loss: number;
  grad_norm: number;
  epoch: number;
  step: number;
  eval_loss?: number;
}
function log(name: string): Logged[] {
  return JSON.parse(readFileSync(path.join(dir, name, "trainer_state.json"), "utf8")).log_history;
}
const steps = (name: string) => log(name).filter(({ loss }) => loss !== undefined);
const weights = (name: string, file = "adapter_model.safetensors"): ReadonlyMap<string, Tensor> =>
  loadSafetensors(path.join(dir, name, file));

/** The largest relative difference between two runs: of a figure over the steps, of the weights. */
function apart(a: string, b: string, key: "loss" | "grad_norm"): number {
  const [one, other] = [steps(a), steps(b)];
  expect(one).toHaveLength(20);
  return Math.max(...one.map((entry, at) => Math.abs(entry[key] / other[at]![key] - 1)));
}
function weightsApart(a: string, b: string, file?: string): number {
  const [one, other] = [weights(a, file), weights(b, file)];
  expect([...one.keys()]).toEqual([...other.keys()]);
  const norms = [...one].map(([name, tensor]) => {
    const wide = tensor.double();
    return wide.sub(other.get(name)!.double()).norm().item() / Math.max(1e-30, wide.norm().item());
  });
  return Math.max(...norms);
}

describe.skipIf(process.platform !== "linux")("two processes", () => {
  it("give what one with twice the batch gives: fp32 to 1e-5, fp64 to 1e-9, each step", async () => {
    const wide = path.join(dir, "wide");
    manualSeed(1);
    const config = JSON.parse(readFileSync(path.join(dir, "model/config.json"), "utf8"));
    const model = new Qwen3ForCausalLM(parseConfig({ ...config, torch_dtype: "float64", dtype: "float64" }));
    initializeWeights(model);
    model.to({ dtype: "float64" });
    tinyModel(wide); // for its tokenizer
    saveModel(model, wide);
    const evaluated = {
      val_size: 0.2,
      eval_strategy: "steps",
      eval_steps: 10,
      per_device_eval_batch_size: 2,
    } as const;
    const double = { model_name_or_path: wide };
    await trainRanks(2, [
      recipeOf("two", evaluated),
      recipeOf("two-wide", double),
      recipeOf("two-full", { finetuning_type: "full", learning_rate: 1e-3 }),
    ]);
    const twice = { per_device_train_batch_size: 2 };
    await inOne(recipeOf("one", { ...evaluated, ...twice }));
    await inOne(recipeOf("one-wide", { ...double, ...twice }));
    await inOne(recipeOf("one-full", { finetuning_type: "full", learning_rate: 1e-3, ...twice }));
    expect(weights("two-wide").values().next().value?.dtype).toBe("float64");
    expect(apart("two-wide", "one-wide", "grad_norm")).toBeLessThan(1e-9);
    expect(weightsApart("two-wide", "one-wide")).toBeLessThan(1e-9);
    for (const [two, one] of [
      ["two", "one"],
      ["two-full", "one-full"],
    ] as const) {
      expect(apart(two, one, "loss")).toBeLessThan(1e-5);
      expect(apart(two, one, "grad_norm")).toBeLessThan(1e-4);
    }
    expect(weightsApart("two-full", "one-full", "model.safetensors")).toBeLessThan(1e-4);
    expect(steps("two").map(({ epoch }) => epoch)).toEqual(steps("one").map(({ epoch }) => epoch));
    const evaluations = (name: string) => log(name).flatMap(({ eval_loss }) => eval_loss ?? []);
    expect(evaluations("two")).toHaveLength(2);
    for (const [at, loss] of evaluations("two").entries())
      expect(Math.abs(loss / evaluations("one")[at]! - 1)).toBeLessThan(1e-5);
  });

  it("go on from a checkpoint bit for bit, and as one or three processes", async () => {
    const dropping = { lora_dropout: 0.1 };
    const half = { ...dropping, max_steps: 10, lr_scheduler_type: "constant" } as const;
    const whole = { ...dropping, lr_scheduler_type: "constant" } as const;
    await trainRanks(2, [recipeOf("straight", whole), recipeOf("resumed", half), recipeOf("resumed", whole)]);
    expect(readdirSync(path.join(dir, "resumed/checkpoint-10"))).toContain("rng_state_1.safetensors");
    expect(weightsApart("straight", "resumed")).toBe(0);
    expect(steps("resumed").map(({ loss }) => loss)).toEqual(steps("straight").map(({ loss }) => loss));
    const from = { ...whole, resume_from_checkpoint: path.join(dir, "straight/checkpoint-10") };
    await inOne(recipeOf("as-one", { ...from, per_device_train_batch_size: 2 }));
    await trainRanks(3, [recipeOf("as-three", from)]);
    expect(steps("as-one")).toHaveLength(20);
    expect(steps("as-three")).toHaveLength(20);
    expect(weightsApart("as-one", "straight")).toBeLessThan(0.5);
  });
});
