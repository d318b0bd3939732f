// NEFTune (Jain et al. 2023, arXiv:2310.05914): uniform noise on the embeddings while training.
import { noGrad, type Tensor, zeros } from "../torch/index.js";

/**
 * hidden [batch, seq, d] plus noise from U(-m, m), m = alpha / sqrt(seq * d), drawn from the device's global generator
 * in hidden's dtype, as transformers draws it. `rowLength`: seq, where hidden is of a part of every row.
 */
export function withNoise(hidden: Tensor, alpha: number, rowLength = hidden.size(1)): Tensor {
  const width = hidden.size(2);
  // float32 there, too
  const bound = Math.fround(Math.fround(alpha) / Math.fround(Math.sqrt(rowLength * width)));
  const { dtype, device } = hidden;
  const noise = noGrad(() => zeros([...hidden.shape], { dtype, device }).uniform_(-bound, bound));
  return hidden.add(noise);
}
