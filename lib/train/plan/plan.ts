// The arithmetic of a run: how many steps, when to log, to save and to evaluate, when the warm-up ends. transformers' rules.
import type { Recipe } from "../../config/index.js";
import { batchesPerEpoch } from "../../data/index.js";
import type { Schedule, ScheduleName, ScheduleSettings } from "../../optim/index.js";
import { roundsOf } from "../strategy/batch-shares.js";

/** What the recipe's numbers mean for a corpus of a number of blocks. */
export interface Plan {
  /** Blocks an epoch sees. */
  examples: number;
  /** Batches that a process trains on in an epoch. */
  batchesPerEpoch: number;
  /** Optimizer steps of an epoch; the last may have fewer batches. */
  stepsPerEpoch: number;
  /** Optimizer steps of the run. */
  totalSteps: number;
  /** As the recipe says; may be fractional. With max_steps: as many as those steps begin. */
  epochs: number;
  /** Optimizer steps between log entries. */
  logEvery: number;
  /** Optimizer steps between checkpoints. */
  saveEvery: number;
  /** Optimizer steps between evaluations. */
  evalEvery: number;
  /** The learning rate's schedule. */
  schedule: Schedule;
  /** Blocks that the whole run sees, as the metrics count them. */
  samples: number;
}

/** A share of all steps below 1, a number of steps from 1 on. */
function stepsOf(value: number, total: number): number {
  return value < 1 ? Math.ceil(total * value) : Math.trunc(value);
}

/**
 * @param blocks the number of blocks of the corpus
 * @param ranks processes that share an epoch's batches
 */
export function planRun(recipe: Recipe, blocks: number, ranks = 1): Plan {
  const { per_device_train_batch_size: batch, gradient_accumulation_steps: accumulation, max_steps } = recipe;
  const batches = batchesOfRank(recipe, blocks, ranks);
  const stepsPerEpoch = Math.max(1, Math.ceil(batches / accumulation));
  const totalSteps = max_steps > 0 ? max_steps : Math.ceil(recipe.num_train_epochs * stepsPerEpoch);
  return {
    examples: blocks,
    batchesPerEpoch: batches,
    stepsPerEpoch,
    totalSteps,
    epochs: max_steps > 0 ? Math.ceil(max_steps / stepsPerEpoch) : recipe.num_train_epochs,
    logEvery: Math.max(1, stepsOf(recipe.logging_steps, totalSteps)),
    saveEvery: Math.max(1, stepsOf(recipe.save_steps, totalSteps)),
    evalEvery: Math.max(1, stepsOf(recipe.eval_steps ?? 500, totalSteps)),
    schedule: {
      name: recipe.lr_scheduler_type as ScheduleName,
      warmupSteps: stepsOf(recipe.warmup_steps, totalSteps),
      totalSteps,
      baseRate: recipe.learning_rate,
      settings: (recipe.lr_scheduler_kwargs ?? {}) as ScheduleSettings,
    },
    samples: max_steps > 0 ? max_steps * batch * accumulation * ranks : blocks * recipe.num_train_epochs,
  };
}

function batchesOfRank(recipe: Recipe, blocks: number, ranks: number): number {
  const { per_device_train_batch_size: batch, dataloader_drop_last: dropLast } = recipe;
  if (ranks > 1) return Math.max(1, roundsOf(blocks, batch, dropLast, ranks));
  return dropLast ? Math.max(1, Math.floor(blocks / batch)) : batchesPerEpoch(blocks, batch);
}

/** Batches in an epoch's step: the last one takes what is left. */
export function batchesOfStep(plan: Plan, accumulation: number, stepInEpoch: number): number {
  return Math.min(accumulation, plan.batchesPerEpoch - stepInEpoch * accumulation);
}
