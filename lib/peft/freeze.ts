// Which parameters train without an adapter: LLaMA-Factory's `freeze` and `full`.

import { UserError } from "../errors.js";
import type { Module } from "../nn/index.js";
import type { DType } from "../torch/index.js";
import { noGrad, scope } from "../torch/index.js";

/** What {@link freeze} leaves trainable; recipes' `freeze_*` keys. */
export interface FreezeConfig {
  /** n > 0: the last n layers; n < 0: the first -n; 0: none. Default 2. */
  trainableLayers?: number;
  /** Layers by their numbers, in place of `trainableLayers`. */
  layerIds?: readonly number[];
  /** Parts of a layer, by name, or `all`. Default `all`. */
  trainableModules?: readonly string[];
  /** Modules outside the layers, by name. */
  extraModules?: readonly string[];
  /** Globs on whole parameter names: `*` is any text, `?` one character. */
  patterns?: readonly string[];
  /** Parameters by their whole names, such as those of which a part is trained. */
  names?: Iterable<string>;
}

/**
 * Freezes a model but for the chosen layers and modules. As in LLaMA-Factory a chosen name trains every parameter
 * whose path contains it: `norm` as an extra module also means the norms inside every layer.
 * What is trained is stored in `dtype`, or left as it is; without `ownMemory` it stays where it is, for whoever copies it
 * from there.
 * Throws UserError, with the choices, for a name that does not exist.
 */
export function freeze(model: Module, config: FreezeConfig, dtype?: DType, ownMemory = true): void {
  const { trainableLayers = 2, trainableModules = ["all"], extraModules = [] } = config;
  const names = [...model.namedParameters()].map(([name]) => name);
  const count = 1 + Math.max(-1, ...names.map((name) => Number(/\.(\d+)\./.exec(name)?.[1] ?? -1)));
  const layers = config.layerIds ?? layersFrom(trainableLayers, count);
  const beyond = layers.find((layer) => layer >= count);
  if (beyond !== undefined)
    throw new UserError(
      `freeze_trainable_layer_ids: there is no layer ${beyond}; the model has ${count}, from 0 to ${count - 1}`,
    );
  // "model.layers.0.mlp.up_proj.weight" -> "mlp"
  const inside = new Set(
    names.filter((name) => name.includes(".0.")).map((name) => name.split(".0.").pop()?.split(".")[0] ?? ""),
  );
  const outside = new Set(
    names.filter((name) => !/\.\d+\./.test(name)).map((name) => name.split(".").at(-2) ?? ""),
  );
  const wanted: string[] = [];
  for (const part of trainableModules) {
    if (part !== "all") mustExist("freeze_trainable_modules", part, inside);
    for (const layer of layers) wanted.push(`.${layer}.${part === "all" ? "" : part}`);
  }
  for (const part of extraModules) {
    mustExist("freeze_extra_modules", part, outside);
    wanted.push(part);
  }
  const matched = matching(config.patterns ?? [], names);
  const parts = new Set(config.names ?? []);
  for (const name of parts) {
    if (matched.has(name) || wanted.some((part) => name.includes(part)))
      throw new UserError(
        `freeze_trainable_heads: ${name} is trained whole by another freeze_* key; leave that layer out of one of the two`,
      );
    matched.add(name);
  }
  const chosen = (name: string): boolean => matched.has(name) || wanted.some((part) => name.includes(part));
  makeTrainable(model, chosen, dtype, ownMemory);
}

/** n > 0: the last n of the layers; n < 0: the first -n. */
function layersFrom(n: number, count: number): number[] {
  const first = n > 0 ? Math.max(0, count - n) : 0;
  const last = n > 0 ? count : Math.min(-n, count);
  return Array.from({ length: last - first }, (_, i) => first + i);
}

/** The names that globs match; each has to match one. */
function matching(patterns: readonly string[], names: readonly string[]): Set<string> {
  const found = new Set<string>();
  for (const pattern of patterns) {
    const source = pattern
      .replace(/[\\^$.|+()[\]{}]/g, "\\$&")
      .replaceAll("*", ".*")
      .replaceAll("?", ".");
    const expression = new RegExp(`^${source}$`);
    const matched = names.filter((name) => expression.test(name));
    if (matched.length === 0)
      throw new UserError(
        `freeze_trainable_patterns: "${pattern}" matches no parameter; names are such as ${names[0]} and ${names.at(-1)}`,
      );
    for (const name of matched) found.add(name);
  }
  return found;
}

/** Trains every parameter, in `dtype` or as each is. */
export function full(model: Module, dtype?: DType, ownMemory = true): void {
  makeTrainable(model, () => true, dtype, ownMemory);
}

/**
 * Gives the chosen parameters their own memory (what was loaded is a view of a file), in `dtype` or as they are,
 * and asks for their gradients; freezes the rest.
 */
function makeTrainable(
  model: Module,
  chosen: (name: string) => boolean,
  dtype: DType | undefined,
  ownMemory: boolean,
): void {
  model.mapParameters((parameter, name) => {
    if (!chosen(name) || !ownMemory) return parameter.requiresGrad_(chosen(name));
    const target = dtype ?? parameter.dtype;
    const own = scope(() =>
      noGrad(() => (target === parameter.dtype ? parameter.clone() : parameter.to(target)).detach()),
    );
    return own.requiresGrad_();
  });
}

function mustExist(key: string, name: string, choices: ReadonlySet<string>): void {
  if (choices.has(name)) return;
  throw new UserError(
    `${key}: "${name}" is not found; choose from ${[...choices].join(", ")}${key.includes("extra") ? "" : ", all"}`,
  );
}
