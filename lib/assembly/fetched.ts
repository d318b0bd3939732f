// A recipe whose model and adapters are folders: what names a repository of a hub is fetched into the cache first.
import type { Recipe } from "../config/index.js";
import { fetchAdapter, fetchModel, type HubEvent, type ModelOptions } from "../hub/index.js";

/**
 * The recipe to read files by; what is written keeps the given one's names.
 * @throws UserError one line with the repository, the hub's address and the remedy
 */
export async function fetchModelFiles(
  recipe: Recipe,
  onEvent: (event: HubEvent) => void,
  signal?: AbortSignal,
): Promise<Recipe> {
  const options: ModelOptions = { keys: recipe, onEvent, signal, weights: !recipe.train_from_scratch };
  const model_name_or_path = await fetchModel(recipe.model_name_or_path, options);
  const adapters = recipe.adapter_name_or_path;
  if (adapters === null) return { ...recipe, model_name_or_path };
  const adapter_name_or_path = await fetchAdapters(adapters, options);
  return { ...recipe, model_name_or_path, adapter_name_or_path };
}

/** One after another: they are small, and messages of several would mix. */
export async function fetchAdapters(names: readonly string[], options: ModelOptions): Promise<string[]> {
  const folders: string[] = [];
  for (const name of names) folders.push(await fetchAdapter(name, options));
  return folders;
}
