// How much of the logits exists at a time: the loss computes in chunks of it (loss.ts), the estimate counts them.
import { isAccelerator } from "../torch/index.js";

/** Bytes of a chunk of logits under a frozen head. */
const CHUNK_BYTES = 80 << 20;
/** The same where the head is trained: more, for its gradient is rounded once a chunk. */
const TRAINED_CHUNK_BYTES = 160 << 20;
/** On an accelerator, where every chunk is a handful of launches over memory that is there. */
const DEVICE_CHUNK_BYTES = 512 << 20;

/** Bytes of a chunk of logits on a device, under a head that is trained or frozen. */
export function chunkBytes(device: string, isTrained: boolean): number {
  if (isAccelerator(device)) return DEVICE_CHUNK_BYTES;
  return isTrained ? TRAINED_CHUNK_BYTES : CHUNK_BYTES;
}
