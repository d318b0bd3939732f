// The two doors to a recipe: a file with overrides, and an object from a program.
import { checkEntries } from "./check.js";
import type { Command } from "./key.js";
import { applyRules } from "./rules/apply.js";
import type { Recipe, RecipeInput } from "./schema.js";
import { interpolate } from "./syntax/interpolate.js";
import { applyOverrides, type Entry, entriesOf, readFile } from "./syntax/read.js";

/** A recipe ready to use. */
export interface LoadedRecipe {
  /** Every key, typed; what depends on another key is resolved (lora_alpha, cutoff_len, warmup_steps, use_cpu). */
  readonly recipe: Recipe;
  /** The keys that the file, the overrides or the program set; null does not set a key. */
  readonly given: ReadonlySet<string>;
  /** Lines to show once: keys without effect and other things a user should know. */
  readonly notes: readonly string[];
}

/** What a recipe is read for, and in which environment. */
export interface RecipeOptions {
  /** The command: it decides which keys are needed and which are refused. Default: train. */
  readonly for?: Command;
  /** Read by `${oc.env:...}`, ALLOW_EXTRA_ARGS and WORLD_SIZE. Default: the process's environment. */
  readonly env?: NodeJS.ProcessEnv;
  /** What messages call an object's recipe. Default: recipe. */
  readonly source?: string;
}

/**
 * Reads a recipe file (YAML as OmegaConf reads it, or JSON) and lays `key=value` overrides over it.
 *
 * @param file path of the file, relative to the working directory
 * @param overrides such as `["lora_rank=16", "learning_rate=1e-5"]`; the last one of a key wins
 * @returns the typed recipe, the keys that were set and notes to show
 * @throws UserError one line with file, line, key and remedy
 */
export function loadRecipe(
  file: string,
  overrides: readonly string[] = [],
  options: RecipeOptions = {},
): LoadedRecipe {
  const entries = readFile(file);
  applyOverrides(entries, overrides);
  return resolve(entries, file, true, options);
}

/**
 * Resolves a recipe that a program wrote. Values are those that YAML would give; `do_train` is taken as true.
 *
 * @throws UserError one line with key and remedy
 */
export function resolveRecipe(
  input: RecipeInput,
  options: RecipeOptions & { overrides?: readonly string[] } = {},
): LoadedRecipe {
  const source = options.source ?? "recipe";
  const entries = entriesOf(input, source);
  applyOverrides(entries, options.overrides ?? []);
  return resolve(entries, source, false, options);
}

function resolve(
  entries: ReadonlyMap<string, Entry>,
  source: string,
  fromFile: boolean,
  options: RecipeOptions,
): LoadedRecipe {
  const { for: command = "train", env = process.env } = options;
  const checked = checkEntries(interpolate(entries, env), command, env);
  const where = (key: string): string => entries.get(key)?.where ?? source;
  applyRules(checked, { command, env, source, fromFile, where });
  return checked;
}
