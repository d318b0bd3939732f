// How much of the logits exists at a time: the loss computes in chunks of it (loss.ts), the estimate counts them.

/** Bytes of a chunk of logits under a frozen head. */
export const CHUNK_BYTES = 80 << 20;
/** The same where the head is trained: more, for its gradient is rounded once a chunk. */
export const TRAINED_CHUNK_BYTES = 160 << 20;
