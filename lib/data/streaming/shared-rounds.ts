// Who gets which blocks of a stream, as accelerate dispatches them from rank 0: a round is a batch for every rank, in their
// order. What is left of a pass is a last round of smaller batches, all of one size, filled up from the pass's start.

import type { StreamShare } from "../blocks/stream.js";

/**
 * A rank's batch of a round.
 * @param round the blocks of all, at least one
 * @param first the blocks that the pass began with; as many as ranks are used at most
 */
export function shareOfRound<T>(round: readonly T[], first: readonly T[], { rank, size }: StreamShare): T[] {
  const each = Math.ceil(round.length / size);
  const start = Math.min(size, first.length);
  return Array.from({ length: each }, (_, at) => {
    const place = rank * each + at;
    return (place < round.length ? round[place] : first[(place - round.length) % start]) as T;
  });
}
