// `export`: the base model with its adapters merged, as a model folder that transformers loads.
import { mkdirSync } from "node:fs";
import type { Recipe } from "../config/index.js";
import { saveModel } from "../qwen3/index.js";
import { scope } from "../torch/index.js";
import { loadForInference } from "./inference.js";
import { copyGenerationConfig, saveTokenizer } from "./tokenizer-files.js";

/**
 * Merges the recipe's adapters and writes config, weights in shards of `export_size` gigabytes and tokenizer to
 * `export_dir`. Weights keep the checkpoint's dtype unless `infer_dtype` names one.
 * @returns the folder
 * @throws UserError for anything wrong with what the recipe names
 */
export async function exportModel(recipe: Recipe): Promise<string> {
  const { export_dir: dir, export_size: maxShardGigabytes, export_device: device } = recipe;
  const { model, tokenizer } = await loadForInference(recipe, { merge: true, ...(device === "cpu" ? { device: "cpu" } : {}) });
  mkdirSync(dir, { recursive: true });
  scope(() => saveModel(model, dir, { maxShardGigabytes }));
  saveTokenizer(tokenizer, dir);
  copyGenerationConfig(recipe.model_name_or_path, dir);
  return dir;
}
