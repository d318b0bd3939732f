// The end of a run: metrics, the model or adapter in output_dir, and the files around it.
import { existsSync } from "node:fs";
import path from "node:path";
import type { Weights } from "../../assembly/adapters.js";
import type { Recipe } from "../../config/index.js";
import type { DomainReport } from "../../evaluate/domain-report.js";
import { perplexities, type SetMetrics } from "../../evaluate/held-out-loss.js";
import type { TrainEvent, TrainResult } from "../../events.js";
import { writeWhole } from "../../files/output-file.js";
import type { CausalModel } from "../../models/causal-model.js";
import { addonRecord, buildInfo, type DType, type Tensor } from "../../torch/index.js";
import { packageVersion } from "../../version.js";
import type { DomainEvaluation } from "../before-after/domains.js";
import { writeForgettingReport } from "../before-after/forgetting-report.js";
import { rotateCheckpoints } from "../checkpoint/folder.js";
import { type Saving, saveTrained } from "../checkpoint/save-trained.js";
import { type LogEntry, saveTrainerState } from "../checkpoint/trainer-state.js";
import { type Checkpoints, STATE_FILE, saveArguments } from "../loop/checkpoints.js";
import type { Outcome } from "../loop/outcome.js";
import type { Progress } from "../loop/progress.js";
import type { Trainer } from "../loop/trainer.js";
import { modelCard } from "../output/card.js";
import { canDraw, NO_CHARTS } from "../output/chart.js";
import { plotMetrics } from "../output/plot.js";
import { saveResults, trainMetrics } from "../output/results.js";
import type { Strategy } from "../strategy/strategy.js";

/** What a run that reached no last step has to say. */
export function interruptedResult(trainer: Trainer, recipe: Recipe, outcome: Outcome): TrainResult {
  return result(trainer.progress, recipe, outcome, {});
}

function result(
  progress: Progress,
  recipe: Recipe,
  outcome: Outcome,
  metrics: Record<string, number>,
): TrainResult {
  return {
    outputDir: recipe.output_dir,
    steps: progress.step,
    epoch: progress.epoch,
    trainLoss: progress.meanLoss,
    runtimeSeconds: progress.runtimeSeconds,
    interrupted: outcome.interrupted,
    ...(outcome.checkpoint === undefined ? {} : { checkpoint: outcome.checkpoint }),
    skippedSteps: progress.skippedSteps,
    dataWaitShare: progress.dataWaitShare,
    metrics,
  };
}

/** What a run is finished with. */
export interface Finishing {
  /** Writes adapter or model and tokenizer into a folder. */
  saving: Saving;
  model: CausalModel;
  weights: Weights;
  /** Names of the evaluation sets. */
  evaluates: readonly (string | undefined)[];
  /** What is scored once more. */
  domains: DomainEvaluation | undefined;
  /** Rank 0 writes; the others take part in the evaluation. */
  strategy: Strategy;
}

/**
 * Writes everything that a finished run leaves in output_dir, and reports each file.
 */
export async function finishRun(
  trainer: Trainer,
  recipe: Recipe,
  outcome: Outcome,
  finishing: Finishing,
  emit: (event: TrainEvent) => void,
): Promise<TrainResult> {
  const { weights, domains, strategy } = finishing;
  const { progress, history, checkpoints, plan } = trainer;
  if (strategy.rank > 0) return finishBeside(trainer, recipe, outcome, finishing);
  const dir = recipe.output_dir;
  const metrics = trainMetrics({
    runtimeSeconds: progress.runtimeSeconds,
    samples: plan.samples,
    steps: plan.totalSteps,
    totalFlos: progress.totalFlos,
    trainLoss: progress.meanLoss,
    epoch: progress.epoch,
    ...(recipe.include_num_input_tokens_seen === "no" ? {} : { tokensSeen: progress.tokensSeen }),
  });
  progress.log(metrics);
  await shareBest(trainer, recipe, finishing, () => loadBestModel(checkpoints, recipe, weights, emit));
  const file = (name: string, what: string): void => emit({ type: "file", path: path.join(dir, name), what });
  await writeTrained(trainer, recipe, metrics, finishing, emit);
  // before an evaluation that casts the weights
  const scored = await domains?.finish(dir);
  if (scored !== undefined) await reportForgetting(recipe, scored, dir, emit);
  const evaluation = recipe.do_eval ? await evaluateLast(trainer, recipe) : undefined;
  if (evaluation !== undefined) file("eval_results.json", "results");
  for (const { files, lines } of await trainer.finishMethods()) {
    for (const { path: place, what } of files) emit({ type: "file", path: place, what });
    for (const text of lines) emit({ type: "message", level: "info", text });
  }
  saveCard(recipe, history.entries, dir);
  file("README.md", "model card");
  return {
    ...result(progress, recipe, outcome, metrics),
    ...(evaluation !== undefined && { evaluation }),
    ...(scored !== undefined && { domains: scored }),
  };
}

/** What was trained, and what the run has to say of itself. */
async function writeTrained(
  { checkpoints, history }: Trainer,
  recipe: Recipe,
  metrics: Record<string, number>,
  { saving, weights, evaluates, strategy }: Finishing,
  emit: (event: TrainEvent) => void,
): Promise<void> {
  const folders: string[] = [];
  const withRest = (folder: string): void => {
    saving.save(folder);
    folders.push(...(weights.finish?.(folder) ?? []));
  };
  const dir = recipe.output_dir;
  const file = (name: string, what: string): void => emit({ type: "file", path: path.join(dir, name), what });
  await saveTrained({ ...saving, save: withRest }, strategy, dir);
  for (const folder of folders) {
    saveCard(recipe, history.entries, folder);
    emit({ type: "file", path: folder, what: "adapter" });
  }
  for (const name of ["adapter_model.safetensors", "model.safetensors", "model.safetensors.index.json"]) {
    if (existsSync(path.join(dir, name))) file(name, name.startsWith("adapter") ? "adapter" : "model");
  }
  saveArguments(recipe, dir);
  saveResults(dir, "train", metrics);
  file("train_results.json", "results");
  saveTrainerState(checkpoints.state(), path.join(dir, STATE_FILE));
  file(STATE_FILE, "state and log history");
  if (recipe.plot_loss) await plot(history.entries, dir, evaluates, emit);
}

/** What a rank that writes nothing does meanwhile: its share of the scoring and of the evaluation. */
async function finishBeside(
  trainer: Trainer,
  recipe: Recipe,
  outcome: Outcome,
  finishing: Finishing,
): Promise<TrainResult> {
  const { strategy, saving, domains } = finishing;
  await shareBest(trainer, recipe, finishing);
  await saveTrained(saving, strategy, recipe.output_dir);
  await domains?.finish(recipe.output_dir);
  if (recipe.do_eval) await trainer.evaluate(evaluationDtype(recipe));
  return result(trainer.progress, recipe, outcome, {});
}

/** The best checkpoint's weights on every rank, where the recipe asks for them: rank 0 takes them. */
async function shareBest(
  { optimizer }: Trainer,
  recipe: Recipe,
  { model, strategy, weights }: Finishing,
  take: () => void = () => {},
): Promise<void> {
  if (!recipe.load_best_model_at_end) return take();
  const names = optimizer.groups.flatMap((group) => group.names);
  const trained = (): Tensor[] => {
    const now = model.stateDict(); // a model's file puts other tensors in place of the trained ones
    return names.map((name) => now.get(name) as Tensor);
  };
  await strategy.renew(trained, take, weights.shards === undefined ? "changes" : "replaces");
}

/** Writes what was forgotten and what was gained, where the recipe asks for it. */
async function reportForgetting(
  recipe: Recipe,
  scored: DomainReport,
  dir: string,
  emit: (event: TrainEvent) => void,
): Promise<void> {
  const { files, lines } = await writeForgettingReport(recipe, scored, dir);
  for (const text of lines) emit({ type: "message", level: "info", text });
  for (const file of files) emit({ type: "file", path: file, what: "forgetting report" });
}

/** load_best_model_at_end: the best checkpoint's weights; with save_total_limit: 1 no other checkpoint stays. */
function loadBestModel(
  checkpoints: Checkpoints,
  recipe: Recipe,
  weights: Weights,
  emit: (event: TrainEvent) => void,
): void {
  const { best } = checkpoints;
  if (best === undefined) return;
  if (recipe.load_best_model_at_end) {
    const { best_metric, best_global_step } = checkpoints.state();
    const text = `the weights of step ${best_global_step} are the best (${recipe.metric_for_best_model} ${best_metric}): loaded from ${best}`;
    emit({ type: "message", level: "info", text });
    weights.load(best);
  }
  if (recipe.save_total_limit === 1) rotateCheckpoints(recipe.output_dir, 1, best);
}

/** The evaluation after training: eval_results.json with perplexities; undefined where it was aborted. */
async function evaluateLast(trainer: Trainer, recipe: Recipe): Promise<Record<string, number> | undefined> {
  const found = await trainer.evaluate(evaluationDtype(recipe));
  if (found === undefined) return undefined;
  trainer.history.close();
  const logged: SetMetrics = Object.assign({}, ...found.map((entry) => trainer.progress.log(entry)));
  const metrics = { ...logged, ...perplexities(logged) };
  saveResults(recipe.output_dir, "eval", metrics);
  return metrics;
}

function evaluationDtype(recipe: Recipe): DType | undefined {
  return recipe.bf16_full_eval ? "bfloat16" : recipe.fp16_full_eval ? "float16" : undefined;
}

/** Writes README.md: every adapter folder has one, a checkpoint's too, and the output folder. */
export function saveCard(recipe: Recipe, history: readonly LogEntry[], dir: string): void {
  const versions = [
    ["qwen-pt", packageVersion()],
    ["libtorch", addonRecord().version ?? buildInfo().builtWith],
  ] as const;
  writeWhole(path.join(dir, "README.md"), modelCard({ recipe, history, versions }));
}

async function plot(
  history: readonly LogEntry[],
  dir: string,
  evaluates: readonly (string | undefined)[],
  emit: (event: TrainEvent) => void,
): Promise<void> {
  if (!(await canDraw())) {
    emit({ type: "message", level: "warning", text: NO_CHARTS });
    return;
  }
  const losses = evaluates.map((name) => (name === undefined ? "eval_loss" : `eval_${name}_loss`));
  const evaluated = losses.filter((key) => history.some((entry) => key in entry));
  const drawn = await plotMetrics(dir, history, ["loss", ...evaluated]);
  for (const picture of drawn.files) emit({ type: "file", path: picture, what: "figure" });
  for (const key of drawn.missing) {
    emit({
      type: "message",
      level: "warning",
      text: `no ${key} was logged, so none is drawn: lower logging_steps`,
    });
  }
}
