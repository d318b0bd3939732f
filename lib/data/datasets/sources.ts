// From the names of datasets to local files: entries of dataset_info.json, with those of a hub fetched by whatever the
// caller brings for it.

import type { LanguageTags } from "../../config/index.js";
import { UserError } from "../../errors.js";
import { type DataRecipe, datasetNames } from "../data-recipe.js";
import { checkedFiles } from "./dataset-files.js";
import { type DatasetEntry, type HubSource, readDatasetInfo } from "./dataset-info.js";
import { notFetched } from "./documents.js";

/** What fetches datasets; lib/hub has one. */
export interface DatasetHub {
  /** ModelScope comes before Hugging Face where an entry names both (USE_MODELSCOPE_HUB). */
  readonly modelScope: boolean;
  /**
   * Fetches the data files of a repository, or finds them in the cache: local paths, in the order in which `datasets`
   * reads them, with endings that tell their format (.jsonl, .json.gz, .parquet, ...).
   *
   * @param dataset the dataset's name in the recipe, for messages
   */
  files(source: HubSource, dataset: string, signal: AbortSignal | undefined): Promise<readonly string[]>;
}

/**
 * The entries behind names, each with its files.
 *
 * @throws UserError where readDatasetInfo does, and for a hub's dataset that cannot be fetched or has no files
 */
export async function localEntries(
  recipe: DataRecipe,
  names: readonly string[],
  hub: DatasetHub | undefined,
  signal: AbortSignal | undefined,
): Promise<DatasetEntry[]> {
  const known = readDatasetInfo(recipe.dataset_dir ?? "data", names, hub?.modelScope ?? false);
  const entries = known.map((entry) => withTag(entry, recipe.language_tag));
  const local: DatasetEntry[] = [];
  for (const entry of entries) {
    const { name, source } = entry;
    if (source === undefined) {
      local.push(entry);
      continue;
    }
    if (hub === undefined) throw notFetched(source);
    const files = checkedFiles(`dataset: ${name}`, await hub.files(source, name, signal));
    if (files.length === 0) {
      throw new UserError(
        `dataset: ${name}: ${source.repo} has no data files for split ${source.split}; correct subset, folder or split`,
      );
    }
    local.push({ ...entry, files });
  }
  return local;
}

/** The tags of a recipe's training and evaluation datasets, each once, in their order. */
export function languageTagsOf(
  recipe: DataRecipe,
  { hub }: { readonly hub?: { readonly modelScope: boolean } } = {},
): string[] {
  const names = [...datasetNames(recipe), ...datasetNames(recipe, "eval_dataset")];
  const entries = readDatasetInfo(recipe.dataset_dir ?? "data", names, hub?.modelScope ?? false);
  const tags = entries.map((entry) => withTag(entry, recipe.language_tag).languageTag);
  return [...new Set(tags.filter((tag) => tag !== undefined))];
}

/** An entry with the recipe's tag for it, where the recipe has one. */
export function withTag<E extends DatasetEntry>(entry: E, tags: LanguageTags | null | undefined): E {
  const tag = typeof tags === "string" ? tags : tags?.[entry.name];
  return tag === undefined ? entry : { ...entry, languageTag: tag };
}
