// The keys of a recipe that the data path reads, and nothing else. Any complete recipe is assignable to it.

import type { LanguageTags } from "../config/index.js";
import { dataFault, LEAST_SHARE } from "../config/rules/data.js";
import { UserError } from "../errors.js";
import type { MixStrategy, Mixture } from "./random/mixing.js";

type Names = string | readonly string[] | null | undefined;

/** What prepareTrainingData reads of a recipe; names and meanings are those of LLaMA-Factory's YAML. */
export interface DataRecipe {
  /** Names from dataset_info.json, in the order in which their documents follow one another. */
  readonly dataset?: Names;
  /** The folder that holds dataset_info.json; "ONLINE" where names are repositories on a hub. */
  readonly dataset_dir?: string | null | undefined;
  /** Tokens of a packed block, or the most that an unpacked document keeps. */
  readonly cutoff_len: number;
  /** Documents joined and cut into equal blocks (true), or one block a document (false). */
  readonly packing: boolean;
  /** Packed documents see nothing of each other. */
  readonly neat_packing?: boolean | undefined;
  /** At most this many rows of each dataset. */
  readonly max_samples?: number | null | undefined;
  /** Documents packed together; the tail of every such batch is dropped. */
  readonly preprocessing_batch_size?: number | null | undefined;
  /** Contiguous shares of the corpus, each packed on its own. Shapes the blocks; it starts no process here. */
  readonly preprocessing_num_workers?: number | null | undefined;
  /** How several datasets are mixed: one after another, or interleaved. */
  readonly mix_strategy?: string | null | undefined;
  /** How likely each dataset is drawn when interleaving; in turn where left out. */
  readonly interleave_probs?: readonly (string | number)[] | null | undefined;
  /** Datasets to evaluate on. */
  readonly eval_dataset?: Names;
  /** Datasets of what the model knows already; read where prepareTrainingData keeps sources apart. */
  readonly replay_dataset?: Names;
  /** A share below 1, or a number of documents, held out for evaluation. */
  readonly val_size?: number | null | undefined;
  /** An evaluation set for each of `eval_dataset`, in place of one of them all. */
  readonly eval_on_each_dataset?: boolean | null | undefined;
  /** A folder of finished blocks: read where it holds some, else made. */
  readonly tokenized_path?: string | null | undefined;
  /** Tokenize again where the cache already has the tokens. */
  readonly overwrite_cache?: boolean | undefined;
  /** Read, tokenize and pack while training, instead of before. */
  readonly streaming?: boolean | null | undefined;
  /** Documents in the shuffle buffer of a stream. */
  readonly buffer_size?: number | null | undefined;
  /** Optimizer steps; a stream needs it. */
  readonly max_steps?: number | null | undefined;
  /** Blocks of a stream's batch. Default 8. */
  readonly per_device_train_batch_size?: number | undefined;
  /** Batches of an optimizer step of a stream. Default 1. */
  readonly gradient_accumulation_steps?: number | undefined;
  /** Whether the last batch of a stream's pass is left out where it is not full. Default false. */
  readonly dataloader_drop_last?: boolean | undefined;
  /** Only named where it would change LLaMA-Factory's stream. */
  readonly dataloader_num_workers?: number | undefined;
  /** What stands in front of each document: one tag for all datasets, or by the dataset's name. */
  readonly language_tag?: LanguageTags | null | undefined;
  /** Decides the end-of-document token; see template.ts. */
  readonly template?: string | null | undefined;
  /** Seeds the choice of `num_samples` rows, interleaving and the split. */
  readonly seed?: number | undefined;
}

/** A key that names datasets. */
export type DatasetKey = "dataset" | "eval_dataset" | "replay_dataset";

/** The datasets that a key names, each once, in order. */
export function datasetNames(recipe: DataRecipe, key: DatasetKey = "dataset"): string[] {
  const given = recipe[key] ?? [];
  const list = typeof given === "string" ? given.split(",") : given;
  return [...new Set(list.map((name) => name.trim()).filter((name) => name !== ""))];
}

/** The share or number of documents to hold out; undefined for none. */
export function heldOut(recipe: DataRecipe): number | undefined {
  const size = recipe.val_size ?? 0;
  return size > LEAST_SHARE ? size : undefined;
}

const STRATEGIES = ["concat", "interleave_under", "interleave_over", "interleave_once"];

/**
 * How a recipe mixes its datasets, once its data keys are found to fit together.
 *
 * @throws UserError for keys that contradict each other
 */
export function mixtureOf(recipe: DataRecipe): Mixture {
  const strategy = (recipe.mix_strategy ?? "concat") as MixStrategy;
  if (!STRATEGIES.includes(strategy)) {
    throw new UserError(`mix_strategy: expected one of ${STRATEGIES.join(", ")}, received ${strategy}`);
  }
  const probabilities = recipe.interleave_probs?.map(Number);
  const fault = dataFault({
    dataset: datasetNames(recipe),
    eval_dataset: datasetNames(recipe, "eval_dataset"),
    mix_strategy: strategy,
    interleave_probs: probabilities,
    val_size: recipe.val_size ?? 0,
    streaming: recipe.streaming ?? false,
    max_steps: recipe.max_steps ?? -1,
    max_samples: recipe.max_samples ?? undefined,
    tokenized_path: recipe.tokenized_path || undefined,
  });
  if (fault !== undefined) throw new UserError(`${fault.key}: ${fault.what}`);
  return { strategy, probabilities, seed: recipe.seed ?? 42 };
}
