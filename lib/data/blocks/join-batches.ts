// Batches that are computed as one. Their rows stay as they were: only batches of one length are joined, so nothing is
// filled up that was not.
import type { Batch } from "./collate.js";

/** Whether two batches may be joined: rows of one length, that no other process has a part of. */
export function canJoin(a: Batch, b: Batch): boolean {
  return (
    a.length === b.length &&
    a.part === undefined &&
    b.part === undefined &&
    (a.documents === undefined) === (b.documents === undefined)
  );
}

/**
 * The rows of several batches, which {@link canJoin} allows, one batch after the other.
 *
 * @throws RangeError for no batches at all
 */
export function joinBatches(batches: readonly Batch[]): Batch {
  const [first] = batches;
  if (first === undefined) throw new RangeError("there is no batch to join");
  if (batches.length === 1) return first;
  const { length } = first;
  const join = (of: (batch: Batch) => Int32Array): Int32Array =>
    Int32Array.from(batches.flatMap((batch) => Array.from(of(batch))));
  const ones = (batch: Batch) => batch.attentionMask ?? new Int32Array(batch.inputIds.length).fill(1);
  const isPadded = batches.some(({ attentionMask }) => attentionMask !== undefined);
  return {
    inputIds: join(({ inputIds }) => inputIds),
    labels: join(({ labels }) => labels),
    attentionMask: isPadded ? join(ones) : undefined,
    ...(first.documents !== undefined && { documents: joinedDocuments(batches) }),
    batch: batches.reduce((sum, { batch }) => sum + batch, 0),
    length,
  };
}

/** Where documents begin, counted through all batches; the end of one is where the next begins. */
function joinedDocuments(batches: readonly Batch[]): Int32Array {
  const starts: number[] = [];
  let before = 0;
  for (const { documents, inputIds } of batches) {
    for (const at of documents?.subarray(0, -1) ?? []) starts.push(before + at);
    before += inputIds.length;
  }
  return Int32Array.from([...starts, before]);
}
