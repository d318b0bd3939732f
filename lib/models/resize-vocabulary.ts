// A larger vocabulary: the embedding's (and an untied head's) new rows, initialised as in LLaMA-Factory. Which
// tokens they stand for: see lib/data/tokenizer/added-tokens.ts.
import { Linear } from "../nn/index.js";
import { cat, empty, keep, noGrad, op, randn, scope, type Tensor, tensor } from "../torch/index.js";
import type { FamilyModel } from "./family.js";

const choleskyEx = op<(self: Tensor) => [Tensor, Tensor]>("aten::linalg_cholesky_ex");

/** How the new rows begin. */
export interface NewRowInit {
  /** Drawn around the old rows' mean, or the mean of a description's rows, with noise added or not. */
  method: "noise_init" | "desc_init" | "desc_init_w_noise";
  /** Token ids of the new tokens' descriptions, in order; without any, noise. */
  descriptions: readonly Int32Array[];
  /** Tokens of the tokenizer, the new ones included. */
  tokens: number;
}

/** Rows that an embedding needs for `tokens` tokens: as many as it has if they fit, otherwise a multiple of 64. */
export function rowsFor(tokens: number, rows: number): number {
  return tokens <= rows ? rows : Math.ceil(tokens / 64) * 64;
}

/**
 * Enlarges the embedding and an untied head to `rows`. Draws from torch's global CPU generator, in the order of
 * transformers (whose own start for new rows is drawn, and then mostly replaced) and LLaMA-Factory.
 */
export function enlarge(model: FamilyModel, rows: number, start: NewRowInit): void {
  const embed = model.inputEmbedding;
  const old = embed.weight;
  const count = rows - (old.shape[0] as number);
  if (count <= 0) return;
  const tied = model.config.tie_word_embeddings;
  const head = model.outputHead as Linear;
  const wide = enlarged(old, rows, () =>
    empty([rows, old.shape[1] as number], { dtype: old.dtype }).normal_(),
  );
  const wideHead = tied
    ? wide
    : enlarged(
        head.weight,
        rows,
        () => new Linear(head.inFeatures, rows, { dtype: head.weight.dtype }).weight,
      );
  const before = head.weight;
  embed.weight = wide;
  head.weight = wideHead;
  begin(wide, count, wide, start);
  if (!tied) begin(wideHead, count, wide, start);
  if (before !== old) before.dispose();
  old.dispose();
  (model as { config: typeof model.config }).config = { ...model.config, vocab_size: rows };
}

/** The old rows, and new ones around their mean: N(mean, 1e-9 covariance), as transformers draws them. */
function enlarged(old: Tensor, rows: number, discarded: () => Tensor): Tensor {
  const result = scope(() =>
    noGrad(() => {
      discarded();
      const count = rows - (old.shape[0] as number);
      const wide = old.detach().float();
      const mean = wide.mean([0]);
      const centered = wide.sub(mean);
      const covariance = centered
        .t()
        .matmul(centered)
        .div(old.shape[0] as number)
        .mul(1e-9);
      const [root, info] = choleskyEx(covariance);
      let fresh = mean.unsqueeze(0).expand([count, -1]);
      if (info.item() === 0) fresh = mean.add(randn([count, old.shape[1] as number]).matmul(root.t()));
      return cat([old, fresh.to(old.dtype)], 0);
    }),
  );
  return keep(result);
}

/** LLaMA-Factory's start: the old rows' mean with noise, or the mean of a description's rows. */
function begin(weight: Tensor, count: number, inputs: Tensor, start: NewRowInit): void {
  const [rows, width] = weight.shape as [number, number];
  const std = 1 / Math.sqrt(width);
  scope(() =>
    noGrad(() => {
      const mean = weight.narrow(0, 0, rows - count).mean([0]);
      if (start.method === "noise_init" || start.descriptions.length === 0) {
        const noise = empty([count, width], { dtype: weight.dtype }).normal_(0, std);
        weight.narrow(0, rows - count, count).copy_(mean.unsqueeze(0).add(noise));
        return;
      }
      for (const [index, ids] of start.descriptions.entries()) {
        // as there: what counts as known shrinks by all new rows, those that pad the table included
        const known = Array.from(ids).filter((id) => id < start.tokens - count);
        let row = mean;
        if (known.length > 0) row = inputs.indexSelect(0, tensor(known, { dtype: "int64" })).mean([0]);
        if (start.method === "desc_init_w_noise")
          row = row.add(randn([width], { dtype: weight.dtype }).mul(std));
        weight.select(0, rows - count + index).copy_(row);
      }
    }),
  );
}
