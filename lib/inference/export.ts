// `export`: the base model with its adapters merged, as a model folder that transformers loads.
import { rmSync } from "node:fs";
import { copyGenerationConfig, saveTokenizer } from "../assembly/tokenizer-files.js";
import type { Recipe } from "../config/index.js";
import { makeFolder } from "../files/make-folder.js";
import { checkWritable } from "../files/output-file.js";
import type { HubEvent } from "../hub/index.js";
import { saveModel } from "../models/index.js";
import { scope } from "../torch/index.js";
import { loadForInference } from "./open-model.js";

/**
 * Merges the recipe's adapters and writes config, weights in shards of `export_size` gigabytes and tokenizer to
 * `export_dir`. Weights keep the checkpoint's dtype unless `infer_dtype` names one.
 * @returns the folder
 * @throws UserError for anything wrong with what the recipe names; a folder that was made is gone then
 */
export async function exportModel(recipe: Recipe, onEvent?: (event: HubEvent) => void): Promise<string> {
  const { export_dir: dir, export_size: maxShardGigabytes, export_device: place } = recipe;
  checkWritable(dir, "export_dir");
  const { model, tokenizer } = await loadForInference(recipe, {
    merge: true,
    onEvent,
    ...(place !== "auto" && { device: place }),
  });
  const made = makeFolder(dir);
  try {
    scope(() => saveModel(model, dir, { maxShardGigabytes }));
    saveTokenizer(tokenizer, dir);
    copyGenerationConfig(tokenizer.dir, dir);
  } catch (error) {
    if (made !== undefined) rmSync(made, { recursive: true, force: true });
    throw error;
  }
  return dir;
}
