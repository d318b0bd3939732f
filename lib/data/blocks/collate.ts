// Puts blocks into one batch: padding on the right, labels beside the ids. Plain arrays; tensors are the caller's.

import type { TokenBlocks } from "./packing.js";

/** The label that the loss leaves out. */
export const IGNORED_LABEL = -100;

/** One batch, row by row. */
export interface Batch {
  /** [batch, length] */
  readonly inputIds: Int32Array;
  /** [batch, length]; not shifted */
  readonly labels: Int32Array;
  /** [batch, length], 1 for a token and 0 for padding; undefined where nothing was padded */
  readonly attentionMask: Int32Array | undefined;
  /**
   * Where each document begins among the batch * length tokens, then their number; padding counts as documents.
   * Undefined where every row is one.
   */
  readonly documents?: Int32Array;
  /** Rows. */
  readonly batch: number;
  /** Tokens of a row, padding included. */
  readonly length: number;
  /** Where other processes have the rest of every row. */
  readonly part?: RowPart;
}

/** What a part of every row knows of the whole: row-part.ts makes it. Of each list a row is as long as the batch's. */
export interface RowPart {
  /** Which of the parts this is, from 0. */
  readonly place: number;
  /** Each token's next one in the row; -100 where the loss leaves it out. */
  readonly targets: Int32Array;
  /** Each token's place in its document. */
  readonly positions: Int32Array;
  /** Tokens of a whole row, with what fills it up. */
  readonly rowLength: number;
  /** Tokens of the part that are in the batch, and do not only fill it up. */
  readonly tokens: number;
  /** The processes that have the parts, by a number that they gave it. */
  readonly ring: number;
  /**
   * By how many parts another is before this one: rows of which queries of this one see which keys of that one (the first
   * query and how many, the first key and how many, each among all tokens of a part).
   */
  readonly meetings: readonly Int32Array[];
}

/** Tokens of a batch; of a part, those that do not only fill up its rows. */
export function tokensOf({ part, inputIds }: Batch): number {
  return part?.tokens ?? inputIds.length;
}

/**
 * Joins blocks into a batch as long as its longest. Every pad id gets the label -100, also where it is a real token,
 * as in LLaMA-Factory: where pad and eos are one token, document ends carry no loss.
 *
 * `starts`, where documents begin inside each block, keeps them apart: the token before a document's first one does not
 * predict it, so a first token has no label.
 *
 * @throws RangeError for no blocks at all
 */
export function collate(blocks: readonly Int32Array[], padId: number, starts?: readonly Int32Array[]): Batch {
  if (blocks.length === 0) throw new RangeError("a batch needs at least one block");
  const batch = blocks.length;
  const length = Math.max(...blocks.map((block) => block.length));
  const padded = blocks.some((block) => block.length < length);
  const inputIds = new Int32Array(batch * length).fill(padId);
  const attentionMask = padded ? new Int32Array(batch * length) : undefined;
  for (const [row, block] of blocks.entries()) {
    inputIds.set(block, row * length);
    attentionMask?.fill(1, row * length, row * length + block.length);
  }
  const labels = inputIds.map((id) => (id === padId ? IGNORED_LABEL : id));
  const plain: Batch = { inputIds, labels, attentionMask, batch, length };
  if (starts === undefined) return plain;
  const documents: number[] = [];
  for (const [row, inside] of starts.entries()) {
    for (const at of inside) {
      documents.push(row * length + at);
      labels[row * length + at] = IGNORED_LABEL;
    }
    const end = (blocks[row] as Int32Array).length;
    if (end < length) documents.push(row * length + end);
  }
  return { ...plain, documents: Int32Array.from([...documents, batch * length]) };
}

/** As `batchOf`, without holding the thread where ids are in a file. */
export async function loadBatch(
  blocks: TokenBlocks,
  indices: ArrayLike<number>,
  padId: number,
): Promise<Batch> {
  const chosen = Array.from(indices);
  const ids = await Promise.all(chosen.map((index) => blocks.load?.(index) ?? blocks.get(index)));
  return collate(ids, padId, blocks.starts && chosen.map((index) => blocks.starts!(index)));
}

/** The batch of some of the blocks. */
export function batchOf(blocks: TokenBlocks, indices: ArrayLike<number>, padId: number): Batch {
  const chosen = Array.from(indices);
  const starts = blocks.starts && chosen.map((index) => blocks.starts!(index));
  return collate(
    chosen.map((index) => blocks.get(index)),
    padId,
    starts,
  );
}
