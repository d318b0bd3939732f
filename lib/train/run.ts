// A whole run in the caller's thread: prepare, train, finish. train.ts calls it on a worker; a program that wants
// the model afterwards may call it directly.

import { optimizerOf } from "../assembly/optimizer.js";
import { saveTokenizer } from "../assembly/tokenizer-files.js";
import type { LoadedRecipe, Recipe } from "../config/index.js";
import { UserError } from "../errors.js";
import type { TrainEvent, TrainResult } from "../events.js";
import { checkWritable } from "../files/output-file.js";
import { datasetFetcher } from "../hub/index.js";
import { holdLease, OutOfMemoryError, releaseLease, setDeterministic } from "../torch/index.js";
import { DomainEvaluation, readDomains } from "./before-after/domains.js";
import { forgetBeginning } from "./checkpoint/attempts.js";
import { finishRun, interruptedResult, saveCard } from "./finish.js";
import { Trainer } from "./loop/trainer.js";
import { claimOutput } from "./output/output-lock.js";
import { prepare } from "./setup/prepare.js";
import { type Joined, joinRun } from "./strategy/join.js";
import type { Strategy } from "./strategy/strategy.js";

/** An abort before the first step: nothing was written. */
export class AbortError extends Error {
  /** The class's name. */
  override readonly name = "AbortError";
}

/** Options of {@link runRecipe}. */
export interface RunOptions {
  /** Follows the run. */
  onEvent?: (event: TrainEvent) => void;
  /** Asked between a model's blocks; true ends the run after saving the last finished step. */
  isAborted?: () => boolean;
  /** Ends data preparation early. */
  signal?: AbortSignal;
}

/**
 * Runs a recipe from its data to its output files.
 * @throws UserError for bad input, AbortError where it was aborted before the first step
 */
export async function runRecipe(loaded: LoadedRecipe, options: RunOptions = {}): Promise<TrainResult> {
  holdLease();
  let joined: Joined | undefined;
  try {
    joined = await joinRun(loaded.recipe);
    const result = await runJoined(loaded, options, joined.strategy);
    await joined.close();
    return result;
  } catch (error) {
    const known = error instanceof OutOfMemoryError ? outOfMemory(error, loaded.recipe) : error;
    throw joined === undefined ? known : await joined.fail(known);
  } finally {
    setDeterministic(false);
    releaseLease();
  }
}

/** The run as one of its processes; rank 0 alone prints and writes. */
async function runJoined(
  loaded: LoadedRecipe,
  { onEvent, isAborted, signal }: RunOptions,
  strategy: Strategy,
): Promise<TrainResult> {
  const isMain = strategy.rank === 0;
  const emit = (event: TrainEvent): void => {
    if (isMain) onEvent?.(event);
  };
  let release = (): void => {};
  try {
    optimizerOf(loaded.recipe); // fail on an unknown one before any data is read
    if (isMain) {
      checkWritable(loaded.recipe.output_dir);
      release = claimOutput(loaded.recipe.output_dir);
    }
    const hub = datasetFetcher({ keys: loaded.recipe, onEvent: emit });
    const texts = isMain ? await readDomains(loaded.recipe, { hub, signal }) : [];
    const prepared = await prepare(loaded, emit, signal, strategy);
    const { recipe, tokenizer, weights } = prepared;
    const domains = await DomainEvaluation.begin(prepared, texts, { emit, isAborted });
    const save = (dir: string): void => {
      weights.save(dir);
      saveTokenizer(tokenizer, dir);
      domains?.save(dir);
      if (recipe.finetuning_type === "lora") saveCard(recipe, trainer.history.entries, dir);
    };
    if (isAborted?.() === true) throw new AbortError("aborted before the first step");
    const trainer: Trainer = new Trainer({
      recipe,
      model: prepared.model,
      blocks: prepared.blocks,
      evaluation: prepared.evaluation,
      stream: prepared.stream,
      sampler: prepared.sampler,
      methods: prepared.methods,
      padId: tokenizer.padId,
      device: prepared.device,
      checkpointing: prepared.checkpointing,
      save,
      resume: prepared.resume,
      strategy,
      onEvent: emit,
      isAborted,
    });
    const outcome = await trainer.run();
    if (outcome.interrupted && outcome.checkpoint === undefined)
      throw new AbortError("aborted before the first step");
    const { sourceSummary } = trainer.progress;
    if (sourceSummary !== undefined) emit({ type: "message", level: "info", text: sourceSummary });
    const result = outcome.interrupted
      ? interruptedResult(trainer, recipe, outcome)
      : await finishRun(
          trainer,
          recipe,
          outcome,
          { save, weights, evaluates: prepared.evaluation.map(({ name }) => name), domains, strategy },
          emit,
        );
    if (isMain && strategy.size > 1) forgetBeginning(recipe.output_dir);
    emit({ type: "end", result });
    return result;
  } finally {
    release();
  }
}

/** libtorch's first sentence, then the keys that would save memory. */
function outOfMemory(error: OutOfMemoryError, recipe: Recipe): UserError {
  const [said = ""] = error.message.split(/(?<=[^.]\.)\s|\n/);
  const remedies = [
    recipe.per_device_train_batch_size > 1
      ? `lower per_device_train_batch_size (${recipe.per_device_train_batch_size}) and raise gradient_accumulation_steps`
      : `lower cutoff_len (${recipe.cutoff_len})`,
    ...(recipe.gradient_checkpointing === false ? ["set gradient_checkpointing: selective or true"] : []),
    ...(recipe.finetuning_type === "lora" ? [] : ["train with finetuning_type: lora"]),
    "take a smaller model",
  ];
  return new UserError(
    `out of memory (${said.replace(/\s*\((?:aten|qwen_pt)::[^)]*\)|\.$/g, "")}): ${remedies.join(", or ")}`,
    {
      cause: error,
    },
  );
}
