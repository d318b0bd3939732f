// From the last block's output to the loss: final norm, head, cross entropy of the next token. The full logits
// [tokens, vocabulary] never exist.

import type { Batch } from "../data/index.js";
import type { CausalModel } from "../models/causal-model.js";
import {
  crossEntropy,
  type DType,
  isGradEnabled,
  linearCrossEntropy,
  linearCrossEntropyInto,
  type Tensor,
  tensor,
} from "../torch/index.js";
import { chunkBytes } from "./chunk-bytes.js";
import { gradientOf } from "./table-gradient.js";

/** Labels [batch * seq], each position's being the next token's; -100 where there is none. */
export function nextTokenLabels(
  { labels, batch, length, part }: Pick<Batch, "labels" | "batch" | "length" | "part">,
  device: string,
): Tensor {
  if (part !== undefined) return tensor(part.targets, { dtype: "int64", device });
  const shifted = new BigInt64Array(labels.length).fill(-100n);
  for (let row = 0; row < batch; row++) {
    for (let at = row * length; at < (row + 1) * length - 1; at++)
      shifted[at] = BigInt(labels[at + 1] as number);
  }
  return tensor(shifted, { device });
}

/**
 * Sum of -log p(next token) over labelled positions, times `scale`: a 0-dimensional float32 tensor.
 * hidden [batch, seq, d] is the last block's output; `compute` is the dtype of the head's product under autocast.
 */
export function headLoss(
  model: CausalModel,
  hidden: Tensor,
  targets: Tensor,
  scale: number,
  compute: DType | undefined,
): Tensor {
  const rows = model.norm(hidden).flatten(0, 1); // [batch * seq, d]
  const weight = model.headWeight;
  if (weight === undefined) return chunkedHeadLoss(model, rows, targets, scale);
  const dtype = compute ?? weight.dtype;
  const isWide = weight.dtype === "float32" || weight.dtype === "float64";
  if (isGradEnabled() && weight.requiresGrad && weight.isLeaf && isWide) {
    const into = gradientOf(weight);
    const budget = chunkBytes(rows.device, true);
    return linearCrossEntropyInto(rows.to(dtype), weight, targets, scale, -100, budget, into);
  }
  return linearCrossEntropy(
    rows.to(dtype),
    weight.to(dtype),
    targets,
    scale,
    -100,
    chunkBytes(rows.device, false),
  );
}

/** A head with an adapter on it: its logits a chunk of rows at a time, kept by autograd in their own dtype. */
function chunkedHeadLoss(model: CausalModel, rows: Tensor, targets: Tensor, scale: number): Tensor {
  const count = rows.size(0);
  let total: Tensor | undefined;
  const step = 256;
  for (let start = 0; start < count; start += step) {
    const length = Math.min(step, count - start);
    const logits = model.head(rows.narrow(0, start, length));
    const wide = logits.dtype === "float64" ? logits : logits.float();
    const loss = crossEntropy(wide, targets.narrow(0, start, length), undefined, 2, -100).mul(scale);
    total = total === undefined ? loss : total.add(loss);
  }
  return total as Tensor;
}
