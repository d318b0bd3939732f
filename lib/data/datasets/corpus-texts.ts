// The documents of datasets as texts, before anything is tokenized: for what learns from a corpus, or estimates on it.

import { type DataRecipe, datasetNames } from "../data-recipe.js";
import { readDocuments } from "./documents.js";
import { type DatasetHub, localEntries } from "./sources.js";

/** Options of {@link corpusTexts}. */
export interface TextOptions {
  /** What fetches datasets of a hub; without it they are refused. */
  readonly hub?: DatasetHub;
  /** Ends the reading early. */
  readonly signal?: AbortSignal;
  /** Characters after which a dataset is left. Default: no limit. */
  readonly characters?: number;
}

/** One document. */
export interface CorpusText {
  /** The name of the dataset that it is of. */
  readonly dataset: string;
  /** Its text, language tag included. */
  readonly text: string;
  /** The language tag that the text begins with, or "". */
  readonly tag: string;
}

/**
 * The documents of datasets in file order, at most `max_samples` of each, empty ones left out. `num_samples` is not
 * read.
 *
 * @param names datasets of dataset_info.json; the recipe's training datasets where left out
 * @throws UserError where a dataset is not there or malformed
 */
export async function* corpusTexts(
  recipe: DataRecipe,
  names: readonly string[] = datasetNames(recipe),
  { hub, signal, characters = Number.POSITIVE_INFINITY }: TextOptions = {},
): AsyncGenerator<CorpusText> {
  const most = recipe.max_samples ?? Number.POSITIVE_INFINITY;
  for (const entry of await localEntries(recipe, names, hub, signal)) {
    let documents = 0;
    let read = 0;
    for await (const text of readDocuments(entry)) {
      if (documents++ >= most || read >= characters) break;
      signal?.throwIfAborted();
      read += text.length;
      if (text !== "") yield { dataset: entry.name, text, tag: entry.languageTag ?? "" };
    }
  }
}
