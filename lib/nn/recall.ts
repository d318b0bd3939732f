// What a second pass over a part of a model takes from the first: the results of its dear operators, matrix products and
// attention, so that only what is cheap is computed again (selective activation checkpointing, Korthikanti et al. 2022,
// arXiv:2205.05198). Operators that take part call `recallable`; everything else is computed as ever.
// Not here: which parts are passed over twice (the trainer decides).

import type { Tensor } from "../torch/index.js";
import { keep, scope, zeros } from "../torch/index.js";

/** Results of a first pass, in the order in which they came. */
export type Recalled = Tensor[][];

type Mode = { readonly results: Recalled; next: number; readonly again: boolean; shapeOnly: boolean };

let current: Mode | undefined;

function within<T>(mode: Mode, body: () => T): T {
  const outer = current;
  current = mode;
  try {
    return body();
  } finally {
    current = outer;
  }
}

/** Runs `body`, the first pass, and keeps its dear results in `results`: they outlive every scope until disposed. */
export function remembering<T>(results: Recalled, body: () => T): T {
  return within({ results, next: 0, again: false, shapeOnly: false }, body);
}

/** Runs `body`, the same computation again, with the dear results of the first pass. */
export function recalling<T>(results: Recalled, body: () => T): T {
  return within({ results, next: 0, again: true, shapeOnly: false }, body);
}

/** Whether a pass is under way whose dear results are kept or taken. */
export function isRecallable(): boolean {
  return current !== undefined;
}

/**
 * Runs `body`, whose dear results only lead to what no gradient depends on: the last product of a block, which is added
 * to its input. The second pass gets numbers without meaning in their shape, and nothing is kept.
 */
export function shapeOnly<T>(body: () => T): T {
  if (current === undefined) return body();
  const mode = current;
  mode.shapeOnly = true;
  try {
    return body();
  } finally {
    mode.shapeOnly = false;
  }
}

/** Runs `body` as if no pass were under way: all of it is computed again. */
export function withoutRecall<T>(body: () => T): T {
  const outer = current;
  current = undefined;
  try {
    return body();
  } finally {
    current = outer;
  }
}

/** One number in the place of all. */
function placeholder(of: Tensor): Tensor {
  const { dtype, device } = of;
  return keep(
    scope(() =>
      zeros(
        of.shape.map(() => 1),
        { dtype, device },
      ).expand([...of.shape]),
    ),
  );
}

/**
 * A dear operator: `first` computes what is kept, `again` makes of that what the operator gives, gradients included.
 * Outside of both kinds of pass, `plain` runs alone.
 */
export function recallable<T>(plain: () => T, first: () => Tensor[], again: (kept: Tensor[]) => T): T {
  if (current === undefined) return plain();
  if (current.again) {
    const kept = current.results[current.next++];
    if (kept === undefined)
      throw new RangeError("the second pass asks for more results than the first has kept");
    return again(kept);
  }
  const results = first();
  current.results.push(results.map((result) => (current?.shapeOnly ? placeholder(result) : keep(result))));
  return again(results);
}
