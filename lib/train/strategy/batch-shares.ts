// Which blocks of an epoch's order are whose, as accelerate's BatchSamplerShard has it (split_batches false, even_batches
// true): rank r of W takes the batches r, r + W, ..., and what is missing to a whole round is filled from the start.

/** A process among its like. */
export interface RankOf {
  readonly rank: number;
  readonly size: number;
}

/**
 * The blocks of one rank, batch after batch. Every rank has as many, and all batches are full.
 * @param dropLast leaves out the last blocks that are no whole batch for every rank, in place of filling up
 */
export function shareOfRank(
  order: Int32Array,
  batchSize: number,
  dropLast: boolean,
  { rank, size }: RankOf,
): Int32Array {
  const round = batchSize * size;
  const rounds = roundsOf(order.length, batchSize, dropLast, size);
  const mine = new Int32Array(rounds * batchSize);
  // accelerate repeats its first round of batches where they are fewer than a round
  const filler = Math.min(order.length, round);
  for (let at = 0; at < mine.length; at++) {
    const place = Math.floor(at / batchSize) * round + rank * batchSize + (at % batchSize);
    const extra = (place - order.length) % Math.max(1, filler);
    mine[at] = (place < order.length ? order[place] : order[extra]) as number;
  }
  return mine;
}

/** Batches of every rank in an epoch of `blocks`. */
export function roundsOf(blocks: number, batchSize: number, dropLast: boolean, size: number): number {
  const round = batchSize * size;
  return dropLast ? Math.floor(blocks / round) : Math.ceil(blocks / round);
}
