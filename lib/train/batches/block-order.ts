// The order of blocks where no method gives one: the recipe's shuffling, or none.
import type { Recipe } from "../../config/index.js";
import { RandomSampler, type Sampler, SequentialSampler } from "../../data/index.js";
import { createGenerator, randperm, scope } from "../../torch/index.js";

/** @param blocks the number of blocks of the corpus */
export function blockOrder(recipe: Recipe, blocks: number): Sampler {
  if (recipe.disable_shuffling) return new SequentialSampler(blocks);
  return new RandomSampler(blocks, recipe.data_seed ?? recipe.seed, permutation);
}

/** torch's permutation from a CPU generator freshly seeded. */
function permutation(n: number, seed: number): BigInt64Array {
  return scope(() => randperm(n, { generator: createGenerator(seed) }).toArray() as BigInt64Array);
}
