// The keys of a recipe that the data path reads, and nothing else. Any complete recipe is assignable to it.

/** What prepareTrainingData reads of a recipe; names and meanings are those of LLaMA-Factory's YAML. */
export interface DataRecipe {
  /** Names from dataset_info.json, in the order in which their documents follow one another. */
  readonly dataset?: string | readonly string[] | null | undefined;
  /** The folder that holds dataset_info.json. */
  readonly dataset_dir?: string | null | undefined;
  /** Tokens of a packed block, or the most that an unpacked document keeps. */
  readonly cutoff_len: number;
  /** Documents joined and cut into equal blocks (true), or one block a document (false). */
  readonly packing: boolean;
  /** At most this many rows of each dataset. */
  readonly max_samples?: number | null | undefined;
  /** Documents packed together; the tail of every such batch is dropped. */
  readonly preprocessing_batch_size?: number | null | undefined;
  /** Contiguous shares of the corpus, each packed on its own. Shapes the blocks; it starts no process here. */
  readonly preprocessing_num_workers?: number | null | undefined;
  readonly mix_strategy?: string | null | undefined;
  /** Decides the end-of-document token; see template.ts. */
  readonly template?: string | null | undefined;
  /** Seeds the choice of `num_samples` rows. */
  readonly seed?: number | undefined;
}

/** The datasets a recipe names, each once, in order. */
export function datasetNames(recipe: DataRecipe): string[] {
  const given = recipe.dataset ?? [];
  const list = typeof given === "string" ? given.split(",") : given;
  return [...new Set(list.map((name) => name.trim()).filter((name) => name !== ""))];
}
