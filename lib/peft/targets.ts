// Which modules a list of names means, by PEFT's and LLaMA-Factory's rules.

import { UserError } from "../errors.js";
import type { Module } from "../nn/index.js";
import { Projection } from "../nn/index.js";

/** What an output head is called. It is no target of `all`. */
const HEAD = "lm_head";

/** What messages call the lists of names, and whether every name has to be there. */
export interface TargetWords {
  /** Of the layers to wrap. */
  readonly targets: string;
  /** Of the numbers of layers. */
  readonly layers: string;
  /** Of the modules trained whole. */
  readonly saved: string;
  /** One name of a list has to fit, as PEFT asks: lists are copied from one family of models to another. */
  readonly isLenient?: boolean;
}

/** The options of this package's own functions. */
export const OPTION_WORDS: TargetWords = { targets: "targets", layers: "layers", saved: "modulesToSave" };
/** The keys of a recipe. */
export const RECIPE_WORDS: TargetWords = {
  targets: "lora_target",
  layers: "lora_layers",
  saved: "additional_target",
};

/** The keys of an adapter_config.json. */
export function fileWords(file: string): TargetWords {
  const key = (name: string) => `${file}: ${name}`;
  return {
    targets: key("target_modules"),
    layers: key("layers_to_transform"),
    saved: key("modules_to_save"),
    isLenient: true,
  };
}

/**
 * Paths of the linear layers that LoRA is to wrap, in the model's order. A name matches a path that is the name
 * or ends in `.name`. Throws UserError listing what exists where a name matches nothing, or no linear layer.
 */
export function findTargets(
  model: Module,
  targets: "all" | readonly string[] | RegExp,
  words: TargetWords = OPTION_WORDS,
): string[] {
  const linears = linearPaths(model);
  if (targets === "all" || (Array.isArray(targets) && targets.length === 1 && targets[0] === "all")) {
    return linears.filter((path) => !path.includes(HEAD));
  }
  if (targets instanceof RegExp) {
    const found = linears.filter((path) => targets.test(path));
    if (found.length === 0)
      throw new UserError(
        `${words.targets}: ${targets} matches no linear layer; there are ${leaves(linears)}`,
      );
    return found;
  }
  const names = targets as readonly string[];
  const missing = names.filter((name) => !linears.some((path) => matches(path, name)));
  if (words.isLenient ? missing.length === names.length : missing.length > 0) {
    const remedy = words.isLenient
      ? `the model has ${leaves(linears)}: is it the adapter of another base model?`
      : `choose from ${leaves(linears)}, or all`;
    throw new UserError(`${words.targets}: no linear layer is called ${missing.join(", ")}; ${remedy}`);
  }
  return linears.filter((path) => names.some((name) => matches(path, name)));
}

/**
 * Those of the paths that lie in one of the layers, by the first number in a path, as PEFT's layers_to_transform.
 * @throws UserError where a layer has none of them
 */
export function inLayers(
  paths: readonly string[],
  layers: readonly number[] | undefined,
  words: TargetWords = OPTION_WORDS,
): string[] {
  if (layers === undefined) return [...paths];
  const layerOf = (path: string) => Number(/\.(\d+)\./.exec(path)?.[1] ?? Number.NaN);
  const there = [...new Set(paths.map(layerOf))].filter(Number.isInteger);
  const missing = layers.find((layer) => !there.includes(layer));
  if (missing !== undefined && !(words.isLenient && layers.some((layer) => there.includes(layer))))
    throw new UserError(
      `${words.layers}: layer ${missing} has no target; there are ${there.length > 0 ? there.join(", ") : "none in layers"}`,
    );
  return paths.filter((path) => layers.includes(layerOf(path)));
}

/**
 * Paths of the modules to train whole. As in PEFT the end of the path decides, not the end after a dot:
 * `norm` also means `q_norm` and `input_layernorm`.
 */
export function findSavedModules(
  model: Module,
  names: readonly string[],
  words: TargetWords = OPTION_WORDS,
): string[] {
  const paths = [...model.namedModules()].map(([path]) => path).filter((path) => path !== "");
  const missing = names.filter((name) => !paths.some((path) => path.endsWith(name)));
  if (missing.length > 0 && !words.isLenient) {
    throw new UserError(
      `${words.saved}: no module is called ${missing.join(", ")}; choose from ${leaves(paths)}`,
    );
  }
  const found = paths.filter((path) => names.some((name) => path.endsWith(name)));
  // a module inside one that is already copied is copied with it
  return found.filter((path) => !found.some((outer) => outer !== path && path.startsWith(`${outer}.`)));
}

function linearPaths(model: Module): string[] {
  return [...model.namedModules()].filter(([, module]) => module instanceof Projection).map(([path]) => path);
}

function matches(path: string, name: string): boolean {
  return path === name || path.endsWith(`.${name}`);
}

/** The last parts of paths, each once: what a user would write. */
function leaves(paths: readonly string[]): string {
  const names = paths.map((path) => path.split(".").pop() as string).filter((name) => !/^\d+$/.test(name));
  return [...new Set(names)].join(", ");
}
