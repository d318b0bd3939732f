// A model gets its adapter, gives it up merged, and says which layers are adapted. A single layer is in lora.ts.

import { UserError } from "../errors.js";
import type { Layer, Module, Projection } from "../nn/index.js";
import type { Tensor } from "../torch/index.js";
import { type LoraConfig, LoraLinear, scalingOf } from "./lora.js";
import { SavedModule } from "./saved-module.js";
import { findSavedModules, findTargets, inLayers } from "./targets.js";
import { addTokenRows, TokenRows } from "./token-rows.js";

/**
 * Freezes a model and wraps its targets, in the model's order; draws come from torch's global CPU generator.
 * Throws UserError where a target matches nothing.
 */
export function addLora(model: Module, config: LoraConfig): void {
  const { rank, dropout: rate = 0, targets = "all", modulesToSave = [], savedDtype = "float32" } = config;
  if (!Number.isInteger(rank) || rank < 1)
    throw new UserError(`lora_rank: ${rank} is not a whole number above 0`);
  if (!(rate >= 0 && rate < 1)) throw new UserError(`lora_dropout: ${rate} is outside [0, 1)`);
  const saved = findSavedModules(model, modulesToSave);
  const wrapped = inLayers(findTargets(model, targets), config.layers).filter(
    (path) => !saved.includes(path),
  );
  model.requiresGrad_(false);
  for (const path of wrapped) {
    model.replace(
      path,
      new LoraLinear(model.find(path) as Projection, rank, scalingOf(config), rate, config),
    );
  }
  for (const path of saved) model.replace(path, new SavedModule(model.find(path) as Layer, savedDtype));
  if (config.tokenIndices !== undefined) addTokenRows(model, config.tokenIndices);
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
