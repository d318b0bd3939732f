// A window's micro-batches as fewer, larger ones: the loss of each token is divided by the window's labels whatever batch
// it is in, so the gradients are the same but for the order of sums. What is drawn at random (dropout, NEFTune's noise) is
// drawn for other rows.
import { canJoin, joinBatches } from "../../data/index.js";
import type { SourcedBatch } from "./source-batches.js";

/** Neighbours joined, at most `most` of them into one; batches of different lengths or sources stay apart. */
export function mergeBatches(batches: readonly SourcedBatch[], most: number): SourcedBatch[] {
  if (most <= 1) return [...batches];
  const groups: SourcedBatch[][] = [];
  for (const batch of batches) {
    const group = groups.at(-1);
    const [first] = group ?? [];
    const fits =
      group !== undefined &&
      first !== undefined &&
      group.length < most &&
      first.source === batch.source &&
      canJoin(first, batch);
    if (fits) group.push(batch);
    else groups.push([batch]);
  }
  return groups.map((group) => {
    const { source } = group[0] as SourcedBatch;
    return { ...joinBatches(group), ...(source !== undefined && { source }) };
  });
}
