// Models and adapters by name: a folder stays what it is, a hub's name becomes the folder of its files in the cache.
import { type FetchOptions, fetchRepository } from "./fetch.js";
import { meansRepository } from "./names.js";
import { adapterFiles, modelFiles } from "./select.js";
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
  return fetchNamed(nameOrPath, options, () => modelFiles(nameOrPath, { weights }));
}

/** The same for a PEFT adapter. */
export async function fetchAdapter(nameOrPath: string, options: ModelOptions = {}): Promise<string> {
  return fetchNamed(nameOrPath, options, () => adapterFiles(nameOrPath));
}

async function fetchNamed(
  nameOrPath: string,
  options: ModelOptions,
  selection: () => FetchOptions["selection"],
): Promise<string> {
  if (!meansRepository(nameOrPath)) return nameOrPath;
  const { keys = {}, env = process.env, ...rest } = options;
  const settings = hubSettings(chosenHub(env), keys, env);
  const { folder } = await fetchRepository(
    { kind: "model", id: nameOrPath },
    { ...rest, settings, revision: keys.model_revision ?? "main", selection: selection() },
  );
  return folder;
}
