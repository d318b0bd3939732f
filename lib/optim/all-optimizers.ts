// The optimizers by the word that a recipe's `optim` calls them: a new one is a file beside this one and a line here.

import { UserError } from "../errors.js";
import { adafactor } from "./adafactor/parts.js";
import { adamw } from "./adamw.js";
import { adamw8bit, pagedAdamw8bit, pagedAdamw32bit } from "./adamw-blockwise.js";
import type { OptimizerArgument, OptimizerKind } from "./optimizer.js";
import { sgd } from "./sgd.js";

const OPTIMIZERS = new Map<string, OptimizerKind>([
  ["adamw_torch_fused", adamw],
  ["adamw_torch", adamw],
  ["adamw_bnb_8bit", adamw8bit],
  ["paged_adamw_8bit", pagedAdamw8bit],
  ["paged_adamw_32bit", pagedAdamw32bit],
  ["adafactor", adafactor],
  ["sgd", sgd],
]);

/** The words that `optim` takes now. */
export function optimizerNames(): string[] {
  return [...OPTIMIZERS.keys()];
}

/**
 * Makes a kind of optimizer known by a word, which `optim` then takes: in this thread, so for `runRecipe` and `Trainer`,
 * but not for `train()`, whose thread is another.
 * @throws RangeError where the word is taken
 */
export function registerOptimizer(name: string, kind: OptimizerKind): void {
  if (OPTIMIZERS.has(name)) throw new RangeError(`there is an optimizer "${name}" already`);
  OPTIMIZERS.set(name, kind);
}

/**
 * The kind that a word stands for.
 * @throws UserError naming those there are
 */
export function optimizerKind(name: string): OptimizerKind {
  const kind = OPTIMIZERS.get(name);
  if (kind !== undefined) return kind;
  throw new UserError(`optim: ${name} is not available; choose one of ${optimizerNames().join(", ")}`);
}

/**
 * `optim_args`, such as "momentum=0.9,nesterov=true", laid over a kind's defaults.
 * @throws UserError naming the setting that there is not, or whose value does not fit
 */
export function optimizerArguments(name: string, text: string | null): Record<string, OptimizerArgument> {
  const known = optimizerKind(name).arguments ?? {};
  const found = { ...known };
  for (const part of (text ?? "").split(",").filter((one) => one.trim() !== "")) {
    const [key = "", value = ""] = part.split("=").map((word) => word.trim());
    const fallback = known[key];
    if (fallback === undefined) {
      const all = Object.keys(known);
      const instead =
        all.length === 0 ? "optim_args has none for it; remove it" : `it takes ${all.join(", ")}`;
      throw new UserError(`optim_args: ${key} is no setting of optim: ${name}; ${instead}`);
    }
    found[key] = typeof fallback === "boolean" ? truthOf(key, value) : numberOf(key, value);
  }
  return found;
}

function truthOf(key: string, value: string): boolean {
  if (/^(?:true|false)$/i.test(value)) return /^t/i.test(value);
  throw new UserError(`optim_args: ${key}: expected true or false, received "${value}"`);
}

function numberOf(key: string, value: string): number {
  if (value !== "" && Number.isFinite(Number(value))) return Number(value);
  throw new UserError(`optim_args: ${key}: expected a number, received "${value}"`);
}
