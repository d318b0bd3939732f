// What the keys that mix datasets, hold documents out and stream them mean together. Asked by the rules of a recipe,
// which know its file and lines, and by the data path, which may be called without a recipe.

/** The keys concerned, resolved. */
export interface DataKeys {
  readonly dataset: readonly string[];
  readonly eval_dataset: readonly string[];
  readonly mix_strategy: string;
  readonly interleave_probs: readonly number[] | undefined;
  readonly val_size: number;
  readonly streaming: boolean;
  readonly max_steps: number;
  readonly max_samples: number | undefined;
  readonly tokenized_path: string | undefined;
}

/** A key and what is wrong with it, with the remedy. */
export interface Fault {
  readonly key: keyof DataKeys;
  readonly what: string;
}

/** Shares of val_size up to this ask for no split, as in LLaMA-Factory. */
export const LEAST_SHARE = 1e-6;

/** The first contradiction, if any. */
export function dataFault(keys: DataKeys): Fault | undefined {
  return mixingFault(keys) ?? (keys.streaming ? streamingFault(keys) : undefined);
}

function streamingFault(keys: DataKeys): Fault | undefined {
  if (keys.max_steps < 1) {
    return { key: "streaming", what: "a stream has no known end; set max_steps too" };
  }
  if (keys.max_samples !== undefined) {
    return { key: "max_samples", what: "it excludes streaming; keep one of the two" };
  }
  if (keys.val_size > LEAST_SHARE && keys.val_size < 1) {
    return {
      key: "val_size",
      what: "a stream has no known length; give a number of documents, or remove streaming",
    };
  }
  if (keys.tokenized_path !== undefined) {
    return { key: "tokenized_path", what: "it excludes streaming, which keeps nothing; keep one of the two" };
  }
  return undefined;
}

function mixingFault(keys: DataKeys): Fault | undefined {
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

function countFault(keys: DataKeys, probabilities: readonly number[]): string | undefined {
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
