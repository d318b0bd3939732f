// A run from its data to its files, once its processes have found each other: prepare, train, finish. It is loaded when a
// run begins, because it brings most of the package with it.

import { saveTokenizer } from "../../assembly/tokenizer-files.js";
import type { LoadedRecipe } from "../../config/index.js";
import type { TrainEvent, TrainResult } from "../../events.js";
import { checkWritable } from "../../files/output-file.js";
import { datasetFetcher } from "../../hub/index.js";
import { DomainEvaluation, readDomains } from "../before-after/domains.js";
import { forgetBeginning } from "../checkpoint/attempts.js";
import { checkOptimizer } from "../loop/recipe-optimizer.js";
import { Trainer } from "../loop/trainer.js";
import { claimOutput } from "../output/output-lock.js";
import { prepare } from "../setup/prepare.js";
import { hashOf, recipeFacts } from "../setup/same-everywhere.js";
import type { Strategy } from "../strategy/strategy.js";
import { finishRun, interruptedResult, saveCard } from "./finish.js";
import { AbortError, type RunOptions } from "./options.js";

/** The run as one of its processes; rank 0 alone prints and writes. */
export async function runJoined(
  loaded: LoadedRecipe,
  { onEvent, isAborted, signal, callbacks }: RunOptions,
  strategy: Strategy,
): Promise<TrainResult> {
  const isMain = strategy.rank === 0;
  const emit = (event: TrainEvent): void => {
    if (isMain) onEvent?.(event);
  };
  let release = (): void => {};
  try {
    checkOptimizer(loaded.recipe, strategy); // fail on an unknown one before any data is read
    await strategy.agree("recipe", recipeFacts(loaded.recipe)); // before anything waits for what another does not do
    if (isMain) {
      checkWritable(loaded.recipe.output_dir);
      release = claimOutput(loaded.recipe.output_dir);
    }
    const hub = datasetFetcher({ keys: loaded.recipe, onEvent: emit });
    const texts = await strategy.inTurn("domains", () => readDomains(loaded.recipe, { hub, signal }));
    await strategy.agree("domains", {
      "the texts to score": hashOf(texts.flatMap(({ name, texts: own }) => [name, ...own])),
    });
    const prepared = await prepare(loaded, emit, signal, strategy);
    const { recipe, tokenizer, weights } = prepared;
    const domains = await DomainEvaluation.begin(prepared, texts, { emit, isAborted, strategy });
    const beside = (dir: string): void => {
      saveTokenizer(tokenizer, dir);
      domains?.save(dir);
      if (recipe.finetuning_type === "lora") saveCard(recipe, trainer.history.entries, dir);
    };
    const saving = {
      save(dir: string): void {
        weights.save(dir);
        beside(dir);
      },
      saveDivided: { shards: weights.shards, beside },
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
      batchesAtOnce: prepared.batchesAtOnce,
      ...saving,
      resume: prepared.resume,
      strategy,
      callbacks,
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
          {
            saving,
            model: prepared.model,
            weights,
            evaluates: prepared.evaluation.map(({ name }) => name),
            domains,
            strategy,
          },
          emit,
        );
    if (isMain && strategy.size > 1) forgetBeginning(recipe.output_dir);
    emit({ type: "end", result });
    return result;
  } finally {
    release();
  }
}
