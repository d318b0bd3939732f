// From a recipe and its blocks to the order of the run, where the recipe asks for its own (replay, mixtures,
// curricula), and what is reported about it before training. The policy is in lib/methods.
import { packsBySource, type Recipe } from "../../config/index.js";
import type { BlockSource, TokenBlocks } from "../../data/index.js";
import { UserError } from "../../errors.js";
import {
  type Curriculum,
  competence,
  type DrawnSource,
  epochLength,
  type MixStage,
  type Pacing,
  quantiles,
  RunOrder,
  sharesOf,
  temperedShares,
} from "../../methods/index.js";
import { type Plan, planRun } from "../plan/plan.js";

/** Blocks to put in order, and the sources that they are of. */
export interface SampledData {
  blocks: TokenBlocks;
  sources?: readonly BlockSource[];
}

/** What the order of a run is made for. */
interface Setting {
  recipe: Recipe;
  sources: readonly BlockSource[];
  /** Tokens of a block. */
  size(block: number): number;
  plan: Plan;
  /** Blocks of one optimizer step, of all processes. */
  perStep: number;
}

/**
 * The run's sampler and lines about it; undefined where blocks are taken as LLaMA-Factory takes them.
 * @param ranks processes that share the order
 */
export function runSampler(
  recipe: Recipe,
  { blocks, sources }: SampledData,
  ranks = 1,
): { sampler: RunOrder; notes: string[] } | undefined {
  if (!packsBySource(recipe) || sources === undefined) return undefined;
  const size = sizes(blocks, recipe);
  const replayRatio = recipe.replay_dataset === null ? undefined : recipe.replay_ratio;
  const length = wholeBatches(epochLength(sources, size, replayRatio), recipe, ranks);
  const perStep = recipe.per_device_train_batch_size * recipe.gradient_accumulation_steps * ranks;
  const setting: Setting = { recipe, sources, size, plan: planRun(recipe, length, ranks), perStep };
  const sampler = new RunOrder({
    sources,
    size,
    length,
    replayRatio,
    mixture: mixtureOf(setting),
    curriculum: curriculumOf(setting),
    shuffle: !recipe.disable_shuffling,
    seed: recipe.data_seed ?? recipe.seed,
  });
  const total = blocksBefore(setting, setting.plan.totalSteps);
  return {
    sampler,
    notes: [
      ...stageLines(setting),
      ...pacingLines(setting),
      `of ${counted(total, "block")}: ${describe(sampler.drawn(total))}`,
    ],
  };
}

/** The mixture of new data, by stage; undefined where all of it is drawn as one. */
function mixtureOf(setting: Setting): MixStage[] | undefined {
  const { recipe, sources, size } = setting;
  if (recipe.curriculum !== null) {
    return recipe.curriculum.map(({ mix }, index) => ({
      first: blocksBefore(setting, stageSteps(setting, index).first),
      shares: sharesOf(sources, mix),
    }));
  }
  if (recipe.mix_by !== "tokens") return undefined;
  const { mix_weights: weights, mix_temperature: temperature, dataset } = recipe;
  if (weights === null) {
    const tokensOf = ({ first, blocks }: BlockSource) => {
      let sum = 0;
      for (let block = first; block < first + blocks; block++) sum += size(block);
      return sum;
    };
    return [{ first: 0, shares: temperedShares(sources, tokensOf, temperature ?? 1) }];
  }
  const named = Array.isArray(weights)
    ? Object.fromEntries(dataset.map((name, i) => [name, weights[i] as number]))
    : (weights as Record<string, number>);
  return [{ first: 0, shares: sharesOf(sources, named) }];
}

/** The share of the blocks that is open as the run goes on; by loss, the scores come later (loss-curriculum.ts). */
function curriculumOf({ recipe, sources, plan, perStep }: Setting): Curriculum | undefined {
  if (recipe.curriculum_by === null) return undefined;
  const pacing: Pacing = {
    curve: recipe.curriculum_pacing,
    start: recipe.curriculum_start,
    duration: recipe.curriculum_duration * plan.totalSteps,
  };
  const stepOf = (position: number) =>
    Math.floor(position / plan.examples) * plan.stepsPerEpoch +
    Math.floor((position % plan.examples) / perStep);
  return { scores: quantiles(sources), open: (position) => competence(stepOf(position), pacing) };
}

/** What is reported about a curriculum by a score. */
function pacingLines({ recipe, plan }: Setting): string[] {
  const { curriculum_by: by, curriculum_start: start, curriculum_duration: share } = recipe;
  if (by === null) return [];
  const last = Math.ceil(share * plan.totalSteps);
  return [
    `curriculum by ${by}: the easiest ${percent(start)} of each dataset at step 1, all of it from step ${last + 1} on`,
  ];
}

/**
 * The steps (from 0) of a stage: from `first` up to `end`.
 * @throws UserError for a stage too short for one
 */
function stageSteps({ recipe, plan }: Setting, index: number): { first: number; end: number } {
  const stages = recipe.curriculum ?? [];
  const at = (stage: number) => Math.round((stages[stage]?.until ?? 0) * plan.totalSteps);
  const [first, end] = [at(index - 1), at(index)];
  if (end === first)
    throw new UserError(
      `curriculum: stage ${index + 1} has none of the run's ${plan.totalSteps} steps; train longer, or join stages`,
    );
  return { first, end };
}

function stageLines(setting: Setting): string[] {
  return (setting.recipe.curriculum ?? []).map(({ mix }, index) => {
    const { first, end } = stageSteps(setting, index);
    const sum = Object.values(mix).reduce((total, weight) => total + weight, 0);
    const shares = Object.entries(mix).map(([name, weight]) => `${name} ${percent(weight / sum)}`);
    return `curriculum: steps ${first + 1} to ${end}: ${shares.join(", ")}`;
  });
}

/** Blocks of the run before a step (from 0). */
function blocksBefore({ plan, perStep }: Setting, step: number): number {
  const rest = (step % plan.stepsPerEpoch) * perStep;
  return Math.floor(step / plan.stepsPerEpoch) * plan.examples + Math.min(rest, plan.examples);
}

/** With dataloader_drop_last an epoch has no short batch, so that no draw is lost. */
function wholeBatches(length: number, recipe: Recipe, ranks: number): number {
  const { per_device_train_batch_size: size, dataloader_drop_last: dropLast } = recipe;
  const batch = size * ranks;
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
        `${source.name} ${percent(source.tokens / tokens)} of the tokens (${counted(source.blocks, "block")}, ` +
        `${source.epochs.toFixed(2)} epochs over it)`,
    )
    .join(", ");
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function counted(n: number, noun: string): string {
  return `${n.toLocaleString("en-US")} ${noun}${n === 1 ? "" : "s"}`;
}
