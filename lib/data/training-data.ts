// What the data path gives: blocks to train and to evaluate on, and what was seen on the way. Types alone.

import type { Arrange } from "./arrangement.js";
import type { TokenBlocks } from "./blocks/packing.js";
import type { BlockSource } from "./blocks/sourced-blocks.js";
import type { BlockStream, StreamShare } from "./blocks/stream.js";
import type { DataSummary } from "./blocks/summary.js";
import type { DatasetHub } from "./datasets/sources.js";
import type { IntakeOptions } from "./intake/intake.js";

/** Options of {@link prepareTrainingData}. */
export interface PrepareOptions extends IntakeOptions {
  /** How datasets of a hub become local files; without it they are refused. */
  readonly hub?: DatasetHub;
  /** Called once where another process is tokenizing the same dataset, which is waited for. */
  readonly onWait?: (dataset: string) => void;
  /**
   * Packs each dataset by itself, those of replay_dataset too, so that every block belongs to one: `sources`. A function
   * says which documents of each are taken.
   */
  readonly bySource?: boolean | Arrange;
  /** Which of several processes a stream is for: each gets batches that the others do not. */
  readonly share?: StreamShare;
}

/** The data of a recipe. */
export interface TrainingData {
  /** The training blocks, in the corpus's order. */
  readonly blocks: TokenBlocks;
  /** With `bySource`: which blocks are of which dataset. */
  readonly sources?: readonly BlockSource[];
  /** With `streaming`: the steps to train on, in place of blocks, of which only the first can then be got. */
  readonly stream?: BlockStream;
  /** What was made of the corpus, in figures. */
  readonly summary: DataSummary;
  /**
   * What is evaluated on; empty where the recipe asks for none. One set without a name for `val_size` and for
   * `eval_dataset` (its datasets joined like the training ones), or, with `eval_on_each_dataset`, one for each dataset
   * of `eval_dataset`, in the recipe's order.
   */
  readonly evaluation: readonly EvaluationSet[];
  /** What a user should know about how the data was made, a line each. */
  readonly notes: readonly string[];
  /** Problems met and recovered from. */
  readonly warnings?: readonly string[];
}

/** Blocks to evaluate on; they are visited in order. */
export interface EvaluationSet {
  /** The dataset's, which stands in its metrics: `eval_NAME_loss`. Undefined for the only set: `eval_loss`. */
  readonly name: string | undefined;
  /** The blocks, in the order in which they are visited. */
  readonly blocks: TokenBlocks;
  /** Documents that they were made of. */
  readonly documents: number;
}
