// What a second pass over a part of a model takes from the first: the results of its expensive operators (products and
// attention), so that only what is cheap is computed again (selective activation checkpointing, Korthikanti et al. 2022,
// arXiv:2205.05198); or no more than the shapes of those whose values no gradient asks for. Operators that take part call
// `recallable`; everything else runs as usual.
// Not here: which parts are computed twice (the trainer decides).

import type { Tensor } from "../torch/index.js";
import { keep, scope, zeros } from "../torch/index.js";

/** Results of a first pass, in the order in which they came. */
export type Recalled = Tensor[][];

/** Which results are kept: those of all expensive operators, or only the shapes of those within `shapeOnly`. */
export type Keeping = "expensive" | "shapes";

interface Mode {
  readonly results: Recalled;
  readonly keeping: Keeping;
  readonly again: boolean;
  next: number;
  shapeOnly: boolean;
}

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

/** Runs `body`, the first pass, and keeps results of it in `results`: they outlive every scope until disposed. */
export function remembering<T>(results: Recalled, keeping: Keeping, body: () => T): T {
  return within({ results, keeping, next: 0, again: false, shapeOnly: false }, body);
}

/** Runs `body`, the same computation again, with what the first pass kept. */
export function recalling<T>(results: Recalled, keeping: Keeping, body: () => T): T {
  return within({ results, keeping, next: 0, again: true, shapeOnly: false }, body);
}

/** The pass under way, where it keeps or takes what is computed now. */
function passNow(): Mode | undefined {
  return current?.keeping === "shapes" && !current.shapeOnly ? undefined : current;
}

/** Whether a pass is under way that saves or reuses the results of expensive operators now. */
export function isRecallable(): boolean {
  return passNow() !== undefined;
}

/**
 * Runs `body`, whose expensive results only lead to what no gradient depends on: the last product of a block, which is
 * added to its input. The second pass gets placeholders of that shape, and nothing is kept.
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
export function recomputeAll<T>(body: () => T): T {
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
 * An expensive operator: `first` computes what is saved, `again` rebuilds the result from it, gradients included.
 * Outside of both kinds of pass, `plain` runs alone.
 */
export function recallable<T>(plain: () => T, first: () => Tensor[], again: (kept: Tensor[]) => T): T {
  const pass = passNow();
  if (pass === undefined) return plain();
  if (pass.again) {
    const kept = pass.results[pass.next++];
    if (kept === undefined)
      throw new RangeError("the second pass asks for more results than the first has kept");
    return again(kept);
  }
  const results = first();
  pass.results.push(results.map((result) => (pass.shapeOnly ? placeholder(result) : keep(result))));
  return again(results);
}
