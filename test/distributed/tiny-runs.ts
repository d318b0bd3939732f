// Recipes over a tiny model in float32 and float64, whose steps have four blocks however many processes share them, and
// what their runs leave, compared. Not a test.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { type RecipeInput, resolveRecipe } from "../../lib/config/index.js";
import {
  initializeWeights,
  openCheckpoint,
  parseConfig,
  Qwen3ForCausalLM,
  saveModel,
} from "../../lib/models/families/qwen3/index.js";
import { loadSafetensors, manualSeed, type Tensor } from "../../lib/torch/index.js";
import { runRecipe } from "../../lib/train/index.js";
import { tinyModel } from "../api/room.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Every weight trains. */
export const FULL = { finetuning_type: "full", learning_rate: 1e-3 } as const;
/** A fifth of the text is held out and scored twice in a run. */
export const EVALUATED = {
  val_size: 0.2,
  eval_strategy: "steps",
  eval_steps: 10,
  per_device_eval_batch_size: 2,
} as const;

interface Logged {
  loss: number;
  grad_norm: number;
  epoch: number;
  step: number;
  eval_loss?: number;
  ewc_loss?: number;
}

/** A folder with the models, and the runs in it. */
export class TinyRuns {
  readonly dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-ranks-"));
  /** The model in float64. */
  readonly wide = { model_name_or_path: path.join(this.dir, "wide") } as const;
  /** The model in bfloat16, and a recipe that computes in it. */
  readonly narrow = { model_name_or_path: path.join(this.dir, "narrow"), bf16: true } as const;

  constructor() {
    tinyModel(path.join(this.dir, "model"));
    const { model_name_or_path: wide } = this.wide;
    manualSeed(1);
    const config = JSON.parse(readFileSync(path.join(this.dir, "model/config.json"), "utf8"));
    const model = new Qwen3ForCausalLM(parseConfig({ ...config, torch_dtype: "float64", dtype: "float64" }));
    initializeWeights(model);
    model.to({ dtype: "float64" });
    const { model_name_or_path: narrow } = this.narrow;
    for (const folder of [wide, narrow]) tinyModel(folder); // for its tokenizer
    saveModel(model, wide);
    saveModel(model, narrow, { dtype: "bfloat16" });
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** A recipe of 20 steps, for two processes. */
  recipe(name: string, more: RecipeInput = {}): RecipeInput {
    return {
      model_name_or_path: path.join(this.dir, "model"),
      finetuning_type: "lora",
      lora_rank: 4,
      dataset: "prose",
      dataset_dir: path.join(root, "examples/data"),
      max_samples: 20,
      cutoff_len: 24,
      output_dir: path.join(this.dir, name),
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

  /** Runs a recipe in this process, which has the batches of two. */
  alone(name: string, more: RecipeInput = {}): Promise<unknown> {
    return runRecipe(resolveRecipe(this.recipe(name, { ...more, per_device_train_batch_size: 2 })));
  }

  path(...names: string[]): string {
    return path.join(this.dir, ...names);
  }

  log(name: string): Logged[] {
    return JSON.parse(readFileSync(this.path(name, "trainer_state.json"), "utf8")).log_history;
  }

  steps(name: string): Logged[] {
    return this.log(name).filter(({ loss }) => loss !== undefined);
  }

  evaluations(name: string): number[] {
    return this.log(name).flatMap(({ eval_loss }) => eval_loss ?? []);
  }

  /** The tensors of an adapter, or of a `model` in one file or several. */
  weights(name: string, what: "adapter" | "model" = "adapter"): ReadonlyMap<string, Tensor> {
    if (what === "adapter") return loadSafetensors(this.path(name, "adapter_model.safetensors"));
    return new Map([...openCheckpoint(this.path(name))].map(([key, { tensor }]) => [key, tensor]));
  }

  /** The largest relative difference between a figure of two runs, over their steps. */
  apart(a: string, b: string, key: "loss" | "grad_norm"): number {
    const [one, other] = [this.steps(a), this.steps(b)];
    expect(one).toHaveLength(20);
    return Math.max(...one.map((entry, at) => Math.abs(entry[key] / other[at]![key] - 1)));
  }

  /** The largest relative difference between the tensors of two runs. */
  weightsApart(a: string, b: string, what?: "adapter" | "model"): number {
    const [one, other] = [this.weights(a, what), this.weights(b, what)];
    expect([...one.keys()].sort()).toEqual([...other.keys()].sort());
    const norms = [...one].map(([name, tensor]) => {
      const wide = tensor.double();
      return wide.sub(other.get(name)!.double()).norm().item() / Math.max(1e-30, wide.norm().item());
    });
    return Math.max(...norms);
  }
}
