// Language tags: which of them stands in front of a dataset's documents. They are text; whether one is a single token is
// the tokenizer's affair.

import { framedTag, type LanguageTags, TAG_FORM } from "../../config/index.js";
import { UserError } from "../../errors.js";
import { type DataRecipe, datasetNames } from "../data-recipe.js";
import { type DatasetEntry, readDatasetInfo } from "./dataset-info.js";

/**
 * The language_tag of an entry of dataset_info.json, in its frame.
 *
 * @param where the entry, for messages
 * @throws UserError for what is no tag
 */
export function entryTag(where: string, value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  const tag = framedTag(value);
  if (tag !== undefined) return tag;
  throw new UserError(`${where}: language_tag must be ${TAG_FORM}, not ${JSON.stringify(value)}`);
}

/** An entry with the recipe's tag for it, where the recipe has one. */
export function withTag<E extends DatasetEntry>(entry: E, tags: LanguageTags | null | undefined): E {
  const tag = typeof tags === "string" ? tags : tags?.[entry.name];
  return tag === undefined ? entry : { ...entry, languageTag: tag };
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
