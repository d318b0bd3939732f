// What the keys that mix datasets and hold documents out mean together. Asked by the rules of a recipe, which know its
// file and lines, and by the data path, which may be called without a recipe.

/** The keys concerned, resolved. */
export interface MixingKeys {
  readonly dataset: readonly string[];
  readonly eval_dataset: readonly string[];
  readonly mix_strategy: string;
  readonly interleave_probs: readonly number[] | undefined;
  readonly val_size: number;
}

/** A key and what is wrong with it, with the remedy. */
export interface Fault {
  readonly key: keyof MixingKeys;
  readonly what: string;
}

/** Shares of val_size up to this ask for no split, as in LLaMA-Factory. */
export const LEAST_SHARE = 1e-6;

/** The first contradiction, if any. */
export function mixingFault(keys: MixingKeys): Fault | undefined {
  if (keys.val_size > LEAST_SHARE && keys.eval_dataset.length > 0) {
    return { key: "val_size", what: "it excludes eval_dataset; keep one of the two" };
  }
  const { interleave_probs: probabilities, mix_strategy: strategy } = keys;
  if (probabilities === undefined) return undefined;
  const what =
    strategy === "concat"
      ? "it has no meaning with mix_strategy: concat; choose interleave_under or interleave_over"
      : (countFault(keys, probabilities) ?? sumFault(strategy, probabilities));
  return what === undefined ? undefined : { key: "interleave_probs", what };
}

function countFault(keys: MixingKeys, probabilities: readonly number[]): string | undefined {
  for (const key of ["dataset", "eval_dataset"] as const) {
    const count = keys[key].length;
    if (count === 0 || count === probabilities.length) continue;
    return `${probabilities.length} for the ${count} of ${key}; give one probability for each dataset`;
  }
  return undefined;
}

function sumFault(strategy: string, probabilities: readonly number[]): string | undefined {
  if (probabilities.some((one) => !(one >= 0 && one <= 1))) return "each must lie between 0 and 1";
  const sum = probabilities.reduce((total, one) => total + one, 0);
  // numpy's own tolerance
  if (Math.abs(sum - 1) > Math.sqrt(Number.EPSILON)) {
    return `they sum to ${Number(sum.toFixed(6))}; make them sum to 1`;
  }
  if (strategy !== "interleave_under" && probabilities.includes(0)) {
    return `a dataset with probability 0 is never used up, which ${strategy} waits for; leave it out`;
  }
  return undefined;
}
