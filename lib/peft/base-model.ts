// The base model inside an adapted one: computing as if the adapter were not there, and base weights by the names that
// they have in a checkpoint.

import type { Module } from "../nn/index.js";
import type { Tensor } from "../torch/index.js";
import { LoraLinear } from "./lora.js";
import { SavedModule } from "./saved-module.js";
import { TokenRows } from "./token-rows.js";

/** Runs `body` with every adapter disabled: layers compute with their base weights alone. Synchronous. */
export function withoutAdapter<T>(model: Module, body: () => T): T {
  const adapted: (LoraLinear | SavedModule | TokenRows)[] = [];
  for (const [, module] of model.namedModules())
    if (module instanceof LoraLinear || module instanceof SavedModule || module instanceof TokenRows)
      if (module.enabled) adapted.push(module);
  for (const module of adapted) module.enabled = false;
  try {
    return body();
  } finally {
    for (const module of adapted) module.enabled = true;
  }
}

const OF_THE_ADAPTER = /\.(?:lora_A|lora_B|modules_to_save)\.|\.(?:lora_magnitude_vector|rows)$/;

/** The base weights by their names in a checkpoint, whether adapters wrap them or not. A tied one comes once. */
export function baseWeights(model: Module): Map<string, Tensor> {
  const found = new Map<string, Tensor>();
  for (const [name, tensor] of model.namedParameters())
    if (!OF_THE_ADAPTER.test(name))
      found.set(name.replace(/\.(?:base_layer|original_module)\./, "."), tensor);
  return found;
}
