// A model gets its adapter, gives it up merged, and says which layers are adapted. A single layer is in lora.ts.

import { UserError } from "../errors.js";
import type { Layer, Module, Projection } from "../nn/index.js";
import type { DType, Tensor } from "../torch/index.js";
import type { AdapterConfig } from "./adapter-config.js";
import { type LoraConfig, LoraLinear, scalingOf } from "./lora.js";
import { SavedModule } from "./saved-module.js";
import { findSavedModules, findTargets, inLayers, OPTION_WORDS, type TargetWords } from "./targets.js";
import { addTokenRows, TokenRows } from "./token-rows.js";

/** What a model was adapted by; the adapter is saved with it. */
const configs = new WeakMap<Module, LoraConfig | AdapterConfig>();

/** What a model's adapter was made by; undefined where it has none. */
export function adapterConfigOf(model: Module): LoraConfig | AdapterConfig | undefined {
  return configs.get(model);
}

/**
 * Freezes a model and wraps its targets, in the model's order; draws come from torch's global CPU generator.
 *
 * @param words what messages call the options: a recipe has other names for them
 * @throws UserError where a target matches nothing, and for a model that has an adapter
 */
export function addLora(model: Module, config: LoraConfig, words: TargetWords = OPTION_WORDS): void {
  const { rank, dropout = 0 } = config;
  if (!Number.isInteger(rank) || rank < 1)
    throw new UserError(`rank: ${rank} is not a whole number above 0; write for instance { rank: 8 }`);
  if (!(dropout >= 0 && dropout < 1))
    throw new UserError(`dropout: ${dropout} is outside [0, 1); write for instance { dropout: 0.05 }`);
  wrap(model, config, words, config.savedDtype ?? "float32");
}

/**
 * Wraps what a configuration names.
 *
 * @param savedDtype of modules trained whole; undefined leaves them as they are
 */
export function wrap(
  model: Module,
  config: LoraConfig | AdapterConfig,
  words: TargetWords,
  savedDtype: DType | undefined,
): void {
  if (adapters(model).size > 0)
    throw new UserError(
      "the model has an adapter already: merge it first (mergeAdapter), train that one, or load the model again",
    );
  const { rank, dropout = 0, targets = "all", modulesToSave = [] } = config;
  const saved = findSavedModules(model, modulesToSave, words);
  const wrapped = inLayers(findTargets(model, targets, words), config.layers, words).filter(
    (path) => !saved.includes(path),
  );
  model.requiresGrad_(false);
  for (const path of wrapped) {
    const base = model.find(path) as Projection;
    model.replace(path, new LoraLinear(base, rank, scalingOf(config), dropout, config));
  }
  for (const path of saved) model.replace(path, new SavedModule(model.find(path) as Layer, savedDtype));
  if (config.tokenIndices !== undefined) addTokenRows(model, config.tokenIndices);
  configs.set(model, config);
}

/**
 * Puts plain layers back: each update added to its base weight, each trained copy in its original's place.
 * A model whose tied head or embedding was trained is no longer tied.
 */
export function mergeAdapter(model: Module): void {
  const tables = new Map<Tensor, Tensor>();
  const rows = new Set<Tensor>();
  for (const [path, module] of [...model.namedModules()]) {
    if (module instanceof LoraLinear) model.replace(path, module.merge());
    else if (module instanceof SavedModule) model.replace(path, module.merge());
    else if (module instanceof TokenRows) {
      model.replace(path, module.merge(tables));
      rows.add(module.rows);
    }
  }
  for (const tensor of [...tables.keys(), ...rows]) tensor.dispose();
  configs.delete(model);
}

/** Everything an adapter can replace a layer with. */
export type Adapted = LoraLinear | SavedModule | TokenRows;
/** The adapted layers by path; of a tied head, whose rows are the embedding's, nothing is said. */
export function adapters(model: Module): Map<string, Adapted> {
  const found = new Map<string, Adapted>();
  const rows = new Set<Tensor>();
  for (const [path, module] of model.namedModules()) {
    if (module instanceof LoraLinear || module instanceof SavedModule) found.set(path, module);
    else if (module instanceof TokenRows && !rows.has(module.rows)) {
      rows.add(module.rows);
      found.set(path, module);
    }
  }
  return found;
}
