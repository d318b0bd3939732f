// Which parameters train without an adapter: LLaMA-Factory's `freeze` and `full`.

import { UserError } from "../errors.js";
import type { Module } from "../nn/index.js";
import type { DType } from "../torch/index.js";
import { noGrad, scope } from "../torch/index.js";

export interface FreezeConfig {
  /** n > 0: the last n layers; n < 0: the first -n. Default 2. */
  trainableLayers?: number;
  /** Parts of a layer, by name, or `all`. Default `all`. */
  trainableModules?: readonly string[];
  /** Modules outside the layers, by name. */
  extraModules?: readonly string[];
}

/**
 * Freezes a model but for the chosen layers and modules. As in LLaMA-Factory a chosen name trains every parameter
 * whose path contains it: `norm` as an extra module also means the norms inside every layer.
 * What is trained is stored in `dtype`, or left as it is.
 * Throws UserError, with the choices, for a name that does not exist.
 */
export function freeze(model: Module, config: FreezeConfig, dtype?: DType): void {
  const { trainableLayers = 2, trainableModules = ["all"], extraModules = [] } = config;
  const names = [...model.namedParameters()].map(([name]) => name);
  const count = 1 + Math.max(-1, ...names.map((name) => Number(/\.(\d+)\./.exec(name)?.[1] ?? -1)));
  const first = trainableLayers > 0 ? Math.max(0, count - trainableLayers) : 0;
  const last = trainableLayers > 0 ? count : Math.min(-trainableLayers, count);
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
    for (let layer = first; layer < last; layer++) wanted.push(`.${layer}.${part === "all" ? "" : part}`);
  }
  for (const part of extraModules) {
    mustExist("freeze_extra_modules", part, outside);
    wanted.push(part);
  }
  makeTrainable(model, dtype, (name) => wanted.some((part) => name.includes(part)));
}

/** Trains every parameter, in `dtype` or as each is. */
export function full(model: Module, dtype?: DType): void {
  makeTrainable(model, dtype, () => true);
}

/**
 * Gives the chosen parameters memory of their own (what was loaded is a view of a file), in `dtype` or as they are,
 * and asks for their gradients; freezes the rest.
 */
function makeTrainable(model: Module, dtype: DType | undefined, chosen: (name: string) => boolean): void {
  model.mapParameters((parameter, name) => {
    if (!chosen(name)) return parameter.requiresGrad_(false);
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
