// The families by config.json's `model_type`: a new one is a folder beside this file and a line here. Whoever has a
// folder or a configuration and no type asks here.

import { UserError } from "../../errors.js";
import type { Device, DType } from "../../torch/index.js";
import type { FamilyModel, ModelConfig, ModelFamily } from "../family.js";
import { readConfigFile } from "../files/config-file.js";
import { type LoadOptions, loadWeights } from "../weights.js";
import { qwen3 } from "./qwen3/family.js";

const FAMILIES = new Map<string, ModelFamily>([["qwen3", qwen3]]);

/**
 * Makes a family known by its `model_type`: in this thread, so for `runRecipe`, `Trainer` and `openModel`, but not for
 * `train()`, whose thread is another.
 * @throws RangeError where there is one of that type
 */
export function registerFamily<C extends ModelConfig>(modelType: string, family: ModelFamily<C>): void {
  if (FAMILIES.has(modelType)) throw new RangeError(`there is a family "${modelType}" already`);
  FAMILIES.set(modelType, family);
}

const typeOf = (raw: unknown): unknown => (raw as { model_type?: unknown } | null)?.model_type;

/** The family of a configuration that was read. */
export function familyOf(config: ModelConfig): ModelFamily {
  return familyNamed(typeOf(config.raw), "config.json");
}

function familyNamed(type: unknown, source: string): ModelFamily {
  const found = FAMILIES.get(String(type));
  if (found !== undefined) return found;
  const all = [...FAMILIES.values()].map(({ models }) => models).join("; ");
  throw new UserError(
    `${source}: model_type: ${JSON.stringify(type) ?? "nothing"} is not supported; supported are ${all}`,
  );
}

/**
 * Reads the object of a config.json by its family; `source` is what errors call it.
 * @throws UserError where there is no such family, or the family refuses it
 */
export function parseModelConfig(raw: unknown, source = "config.json"): ModelConfig {
  return familyNamed(typeOf(raw), source).parseConfig(raw, source);
}

/**
 * Reads `config.json` of a model's folder by its family.
 * @throws UserError, one line with the file and the key, where it is missing or not supported
 */
export function readModelConfig(dir: string): ModelConfig {
  const { raw, file } = readConfigFile(dir);
  return parseModelConfig(raw, file);
}

/** A model of a configuration without weights: on `meta`, unless a device is given. */
export function buildEmptyModel(
  config: ModelConfig,
  options: { dtype?: DType; device?: Device } = {},
): FamilyModel {
  return familyOf(config).build(config, options);
}

/**
 * A model with the weights of a folder, frozen: see `loadWeights`. `config` replaces what its config.json says
 * (a scaled rotary embedding).
 * `M` is the class that its family builds, for whoever knows it.
 * @example const model = loadModel("Qwen/Qwen3-0.6B");
 */
export function loadModel<M extends FamilyModel = FamilyModel>(
  dir: string,
  config: ModelConfig = readModelConfig(dir),
  options: LoadOptions = {},
): M {
  const model = buildEmptyModel(config);
  loadWeights(model, dir, options);
  return model as M;
}
