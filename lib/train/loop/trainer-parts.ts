// What a trainer is made of, for a recipe: plan, optimizer, batches, step, files. The loop that drives them is trainer.ts.

import { LossScale, type Precision, precisionOf } from "../../assembly/precision.js";
import type { Recipe } from "../../config/index.js";
import { AllMethods } from "../../methods/index.js";
import { countParameters } from "../../models/causal-model.js";
import type { GroupRates, Optimizer } from "../../optim/index.js";
import { type ActivationStore, DiskStore } from "../../step/activations/activation-store.js";
import { HostStore } from "../../step/activations/host-store.js";
import { type Device, isHost } from "../../torch/index.js";
import { blockOrder } from "../batches/block-order.js";
import { SourceAccount } from "../batches/source-account.js";
import { TrainingWindows } from "../batches/windows.js";
import { BestMetric } from "../plan/best.js";
import { type Plan, planRun } from "../plan/plan.js";
import { oneProcess, type Strategy } from "../strategy/strategy.js";
import { Callbacks } from "./callbacks.js";
import { Checkpoints } from "./checkpoints.js";
import type { GraphedSteps } from "./graphed-steps.js";
import { graphsOf } from "./graphs.js";
import { History } from "./history.js";
import { OptimizerStep } from "./optimizer-step.js";
import { Progress } from "./progress.js";
import { ratesOf, recipeOptimizer } from "./recipe-optimizer.js";
import type { TrainerOptions } from "./trainer-options.js";

/** What a `Trainer` drives. */
export interface TrainerParts {
  readonly strategy: Strategy;
  readonly plan: Plan;
  readonly methods: AllMethods;
  readonly callbacks: Callbacks;
  readonly precision: Precision;
  readonly best: BestMetric;
  readonly optimizer: Optimizer;
  readonly rates: GroupRates;
  readonly windows: TrainingWindows;
  readonly history: History;
  readonly progress: Progress;
  readonly checkpoints: Checkpoints;
  readonly step: OptimizerStep;
  /** Where activations wait for the backward pass, where that is not memory. */
  readonly store: ActivationStore | undefined;
  readonly graphs: GraphedSteps | undefined;
}

/**
 * Makes what a `Trainer` drives.
 * @param isAborted whether the run is to stop, which a step asks between its batches
 */
export function trainerParts(options: TrainerOptions, isAborted: () => boolean): TrainerParts {
  const { recipe, model, blocks, sampler, device, onEvent, strategy = oneProcess } = options;
  const order = sampler ?? blockOrder(recipe, blocks.length);
  const plan = planRun(recipe, order.length, strategy.batchRanks);
  const methods = new AllMethods(options.methods ?? []);
  const callbacks = new Callbacks(options.callbacks ?? [], strategy);
  const precision = precisionOf(recipe);
  const best = new BestMetric(recipe);
  const store = storeOf(recipe, device);
  const optimizer = recipeOptimizer(recipe, model, strategy);
  if (strategy.division !== undefined) methods.divide(strategy.division);
  const rates = ratesOf(recipe, optimizer.groups, plan);
  const batchesAtOnce = batchesAtOnceOf(options);
  const windows = new TrainingWindows({ ...options, batchesAtOnce, plan, order, strategy });
  const lossScale = new LossScale(precision.scaled);
  const account = sampler && new SourceAccount(sampler.names, recipe.log_loss_by_source === true);
  const writes = strategy.rank === 0;
  const history = new History({ recipe, totalSteps: plan.totalSteps, device, writes, onEvent });
  const flosPerToken = 6 * countParameters(model).computing;
  const shared = { ...options, plan, strategy, lossScale, optimizer, rates, best, account, history };
  const progress = new Progress({ ...shared, flosPerToken });
  const checkpoints = new Checkpoints({
    ...shared,
    progress,
    saveMethods: (dir) => methods.save(dir),
    data: { blocks: blocks.length, tokens: blocks.tokens, blockLength: recipe.cutoff_len },
  });
  const checkpointing = options.checkpointing ?? recipe.gradient_checkpointing ?? true;
  const trained = optimizer.groups.flatMap(({ parameters }) => parameters);
  const computing = { ...shared, methods, precision, checkpointing, store, isAborted };
  const graphs = graphsOf(computing, trained);
  const step = new OptimizerStep({ ...computing, graphs });
  const files = { history, progress, checkpoints };
  return {
    strategy,
    plan,
    methods,
    callbacks,
    precision,
    best,
    optimizer,
    rates,
    windows,
    ...files,
    step,
    store,
    graphs,
  };
}

/** How many micro-batches are computed as one: what was measured, else what the recipe allows. */
function batchesAtOnceOf({ batchesAtOnce, recipe }: TrainerOptions): number {
  return batchesAtOnce ?? (recipe.merge_micro_batches ? recipe.gradient_accumulation_steps : 1);
}

/** Where activations wait; what the processor computes is in the host's memory already. */
function storeOf(
  { activation_offload: where, output_dir }: Recipe,
  device: Device,
): ActivationStore | undefined {
  if (where === "disk") return new DiskStore(output_dir);
  return where === "host" && !isHost(device) ? new HostStore() : undefined;
}
