// Models and adapters by name: a folder stays what it is, a hub's name becomes the folder of its files in the cache.
import type { FetchOptions } from "./fetch.js";
import { meansRepository } from "./names.js";
import type { Selection } from "./select.js";
import { chosenHub, type HubKeys, hubSettings } from "./settings.js";

export interface ModelOptions extends Omit<FetchOptions, "settings" | "selection" | "revision"> {
  /** Keys of a recipe: revision, tokens, cache_dir. */
  readonly keys?: HubKeys;
  /** Default: the process's environment. */
  readonly env?: NodeJS.ProcessEnv;
  /** False leaves the weights out: config and tokenizer are enough to train from scratch. */
  readonly weights?: boolean;
}

/**
 * The folder of a model: `nameOrPath` itself where it is no hub's name or exists on the disk, else the folder of the
 * cache, fetched first where it is not there yet.
 *
 * @example const folder = await fetchModel("Qwen/Qwen3-0.6B");
 * @throws UserError one line with the repository, the hub's address and the remedy
 */
export async function fetchModel(nameOrPath: string, options: ModelOptions = {}): Promise<string> {
  const { weights = true } = options;
  return fetchNamed(nameOrPath, options, ({ modelFiles }) => modelFiles(nameOrPath, { weights }));
}

/** The same for a PEFT adapter. */
export async function fetchAdapter(nameOrPath: string, options: ModelOptions = {}): Promise<string> {
  return fetchNamed(nameOrPath, options, ({ adapterFiles }) => adapterFiles(nameOrPath));
}

async function fetchNamed(
  nameOrPath: string,
  options: ModelOptions,
  selection: (by: typeof import("./select.js")) => Selection,
): Promise<string> {
  if (!meansRepository(nameOrPath)) return nameOrPath;
  // most models are folders: what talks to a hub is loaded for those that are not
  const [{ fetchRepository }, select] = await Promise.all([import("./fetch.js"), import("./select.js")]);
  const { keys = {}, env = process.env, ...rest } = options;
  const settings = hubSettings(chosenHub(env), keys, env);
  const { folder } = await fetchRepository(
    { kind: "model", id: nameOrPath },
    { ...rest, settings, revision: keys.model_revision ?? "main", selection: selection(select) },
  );
  return folder;
}
