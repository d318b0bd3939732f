// How much of the data, from the easiest on, a learner may see at a point of the run.
//
// Platanios et al., "Competence-based Curriculum Learning for Neural Machine Translation", NAACL 2019:
// c(t) = min(1, (t (1 - c0^p) / T + c0^p)^(1/p)), p = 1 linear, p = 2 the square root.

/** The curve by its name: p. */
export const PACINGS = { linear: 1, sqrt: 2 } as const;

/** How fast a curriculum opens its data (Platanios et al. 2019, arXiv:1903.09848). */
export interface Pacing {
  /** By which c(t) grows: linearly, or fast at first. */
  readonly curve: keyof typeof PACINGS;
  /** c0: the share of the data at the start, in (0, 1]. */
  readonly start: number;
  /** T: the step from which on all of the data is open. */
  readonly duration: number;
}

/** c(t), the share of the data that is open at step `step` (from 0). */
export function competence(step: number, { curve, start, duration }: Pacing): number {
  if (step >= duration) return 1;
  const p = PACINGS[curve];
  return Math.min(1, ((step * (1 - start ** p)) / duration + start ** p) ** (1 / p));
}
