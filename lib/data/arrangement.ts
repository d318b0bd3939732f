// What a policy (lib/methods) sees of the documents before they are packed, and what it answers: which of them, how often,
// in which order.

import type { DatasetEntry } from "./datasets/dataset-info.js";

/** The training documents of one dataset. */
export interface ArrangeableSource {
  /** The dataset, as dataset_info.json describes it. */
  readonly entry: DatasetEntry;
  /** Whether `replay_dataset` names it: what the model knows already. */
  readonly replay: boolean;
  /** Their number; val_size has taken its share. */
  readonly documents: number;
  /** A document's row in the dataset's files, from 0; has no meaning with `num_samples`. */
  row(document: number): number;
  /** A document's tokens. */
  tokens(document: number): number;
}

/**
 * For each source the positions of its documents, repeats included, or undefined for all as they stand; and lines that a
 * user should see.
 */
export type Arrange = (
  sources: readonly ArrangeableSource[],
) => Promise<{ readonly chosen: readonly (Int32Array | undefined)[]; readonly notes: readonly string[] }>;
