// Data parallelism: every process has the whole model and its share of the batches; the gradients of a window are summed
// once, as its last backward pass completes them, because its loss is divided by the labels of all processes.

import { partOfRows } from "../../data/index.js";
import { GradientBuckets, type World } from "../../distributed/index.js";
import type { CausalModel } from "../../models/causal-model.js";
import { fromBytes, type Tensor } from "../../torch/index.js";
import { shareOfRank } from "./batch-shares.js";
import type { ContextGroup } from "./context-group.js";
import { byPart } from "./model-parts.js";
import { oneProcess, type Strategy } from "./strategy.js";

/**
 * The strategy of a world of several processes.
 * @param context the processes that share rows with this one
 */
export function dataParallel(world: World, context?: ContextGroup): Strategy {
  const among = context?.among ?? world;
  const broadcast = async (parameters: readonly Tensor[]): Promise<void> => {
    for (const parameter of parameters) await world.broadcast(parameter.detach());
  };
  let buckets: { parameters: readonly Tensor[]; sums: GradientBuckets } | undefined;
  const bucketsOf = (parameters: readonly Tensor[], groups: () => readonly (readonly Tensor[])[]) => {
    if (buckets?.parameters !== parameters)
      buckets = { parameters, sums: new GradientBuckets(groups(), world) };
    return buckets.sums;
  };
  return {
    rank: world.rank,
    size: world.size,
    batchRanks: among.size,
    batchRank: among.rank,
    attempt: world.attempt,
    share: (order, batchSize, dropLast) =>
      among.size === 1 ? order : shareOfRank(order, batchSize, dropLast, among),
    part: (batch, padId) => (context === undefined ? batch : partOfRows(batch, context, padId, context.ring)),
    sum: (values) => world.sum(values),
    add: async (values) => void (await world.allReduce(values)),
    gather: (values) => gatherLists(world, values),
    whenComplete(model, parameters) {
      const sums = bucketsOf(parameters, () => byCompletion(model, parameters));
      const last = model.layers.length;
      return (part) => {
        if (part !== "embedding") sums.begin(part === "head" ? 0 : last - part);
      };
    },
    reduceGradients: (parameters) => bucketsOf(parameters, () => [parameters]).finish(),
    isDivided: false,
    isTogether: context !== undefined,
    divide: oneProcess.divide,
    extents: undefined,
    units: undefined,
    division: undefined,
    broadcast,
    whole: oneProcess.whole,
    async renew(parameters, work) {
      if (world.rank === 0) work();
      await broadcast(parameters());
    },
    clip: oneProcess.clip, // every process has the whole gradient
    inTurn: (label, work) => world.firstOnRank0(label, work),
    agree: (label, facts) => world.agree(label, facts),
    askToStop: () => world.askToStop(),
    get stopAsked() {
      return world.stopAsked;
    },
  };
}

/**
 * Trained parameters in the order in which a backward pass completes their gradients: the head's, the blocks' from the last
 * to the first, and then what is left, a table that the head may share with the embedding among it.
 */
function byCompletion(model: CausalModel, parameters: readonly Tensor[]): Tensor[][] {
  const rest = new Set(parameters);
  const { blocks, head } = byPart(model);
  const known = [head, ...blocks.toReversed()].map((part) =>
    part.map(([, parameter]) => parameter).filter((parameter) => rest.delete(parameter)),
  );
  return [...known, [...rest]];
}

/** Lists of all ranks: their lengths first, then all of them in rows as long as the longest. */
async function gatherLists(world: World, values: readonly number[]): Promise<number[][]> {
  const mine = Array.from({ length: world.size }, (_, rank) => (rank === world.rank ? values.length : 0));
  const lengths = await world.sum(mine);
  const width = Math.max(...lengths);
  if (width === 0) return lengths.map(() => []);
  const row = new Float64Array(width);
  row.set(values);
  const input = fromBytes(row.buffer, [width], "float64");
  const rows = await world.allGather(input);
  const all = rows.tolist() as number[][];
  input.dispose();
  rows.dispose();
  return all.map((list, rank) => list.slice(0, lengths[rank]));
}
