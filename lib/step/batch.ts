// A batch as the model reads it: its ids on the device, and what every block gets beside the hidden states.
import type { Batch } from "../data/index.js";
import type { CausalModel, Positions } from "../models/causal-model.js";
import { type Device, type Tensor, tensor } from "../torch/index.js";

/** The token ids of a batch as an int64 tensor [batch, seq] on the device. */
export function idsOf(batch: Batch, device: Device): Tensor {
  return tensor(batch.inputIds, { shape: [batch.batch, batch.length], dtype: "int64", device });
}

/**
 * What every block gets beside the hidden states [batch, seq, d].
 * @throws TypeError for documents packed apart, or a part of rows, where the model takes none
 */
export function positionsOf(
  model: CausalModel,
  { documents, batch, length, part }: Batch,
  hidden: Tensor,
): Positions {
  if (part !== undefined) {
    if (model.shared === undefined) throw new TypeError("this model shares no rows among processes");
    const meetings = part.meetings.map((rows) =>
      tensor(rows, { shape: [rows.length / 4, 4], dtype: "int32" }),
    );
    return model.shared(part.positions, part.rowLength, { ring: part.ring, meetings }, hidden);
  }
  if (documents === undefined) return model.rope(length, hidden);
  if (model.packed === undefined) throw new TypeError("this model takes no documents packed apart");
  return model.packed(documents, batch, length, hidden);
}
