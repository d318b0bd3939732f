// From a recipe and its blocks to the order of the run, where the recipe asks for one of its own (replay, mixtures,
// curricula), and what is said of it before training. The policy is in lib/methods.
import { packsBySource, type Recipe } from "../config/index.js";
import type { BlockSource, SourceSampler, TokenBlocks } from "../data/index.js";
import { type DrawnSource, epochLength, RunOrder } from "../methods/index.js";
import { type Plan, planRun } from "./plan.js";

export interface SampledData {
  blocks: TokenBlocks;
  sources?: readonly BlockSource[];
}

/** The run's sampler and lines about it; undefined where blocks are taken as LLaMA-Factory takes them. */
export function runSampler(
  recipe: Recipe,
  { blocks, sources }: SampledData,
): { sampler: SourceSampler; notes: string[] } | undefined {
  if (!packsBySource(recipe) || sources === undefined) return undefined;
  const size = sizes(blocks, recipe);
  const replayRatio = recipe.replay_dataset === null ? undefined : recipe.replay_ratio;
  const length = wholeBatches(epochLength(sources, size, replayRatio), recipe);
  const sampler = new RunOrder({
    sources,
    size,
    length,
    replayRatio,
    shuffle: !recipe.disable_shuffling,
    seed: recipe.data_seed ?? recipe.seed,
  });
  const total = blocksOfRun(planRun(recipe, length), recipe);
  return { sampler, notes: [`of ${counted(total, "block")}: ${describe(sampler.drawn(total))}`] };
}

/** Blocks before the end of the run's last step. */
function blocksOfRun(plan: Plan, recipe: Recipe): number {
  const { per_device_train_batch_size: batch, gradient_accumulation_steps: accumulation } = recipe;
  const epochs = Math.floor(plan.totalSteps / plan.stepsPerEpoch);
  const rest = (plan.totalSteps % plan.stepsPerEpoch) * batch * accumulation;
  return epochs * plan.examples + Math.min(rest, plan.examples);
}

/** With dataloader_drop_last an epoch has no short batch, so that no draw is lost. */
function wholeBatches(length: number, recipe: Recipe): number {
  const { per_device_train_batch_size: batch, dataloader_drop_last: dropLast } = recipe;
  return dropLast && length > batch ? length - (length % batch) : length;
}

function sizes(blocks: TokenBlocks, recipe: Recipe): (block: number) => number {
  if (recipe.packing) return () => recipe.cutoff_len;
  const lengths = Int32Array.from({ length: blocks.length }, (_, block) => blocks.get(block).length);
  return (block) => lengths[block]!;
}

function describe(drawn: readonly DrawnSource[]): string {
  const tokens = drawn.reduce((sum, source) => sum + source.tokens, 0);
  return drawn
    .map(
      (source) =>
        `${source.name} ${((100 * source.tokens) / tokens).toFixed(1)} % of the tokens (${counted(source.blocks, "block")}, ` +
        `${source.epochs.toFixed(2)} epochs of its own)`,
    )
    .join(", ");
}

function counted(n: number, noun: string): string {
  return `${n.toLocaleString("en-US")} ${noun}${n === 1 ? "" : "s"}`;
}
