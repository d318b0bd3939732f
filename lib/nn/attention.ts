// Causal attention: one operator for whole sequences and for documents packed into them (native/kernels/attention.cc).

import type { Tensor } from "../torch/index.js";
import { op } from "../torch/index.js";
import { recallable } from "./recall.js";

interface Options {
  scale?: number;
  longest?: number;
}

const attend =
  op<(query: Tensor, key: Tensor, value: Tensor, cuSeqlens?: Tensor, options?: Options) => Tensor>(
    "qwen_pt::causal_attention",
  );
const attendAndKeep = op<
  (
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cuSeqlens?: Tensor,
    options?: Options,
  ) => [out: Tensor, logsumexp: Tensor]
>("qwen_pt::causal_attention_kept");
const recall = op<
  (
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    logsumexp: Tensor,
    cuSeqlens?: Tensor,
    options?: Options,
  ) => Tensor
>("qwen_pt::causal_attention_recalled");

/**
 * softmax(scale q k^T) v, each token over itself and what precedes it in its document (Vaswani et al. 2017,
 * arXiv:1706.03762; grouped queries: Ainslie et al. 2023, arXiv:2305.13245).
 *
 * query [batch, seq, heads, dim], key and value [batch, seq, kvHeads, dim] -> [batch, seq, heads, dim].
 * `cuSeqlens`, int32 [documents + 1]: where each document starts among the batch * seq tokens, then their number.
 * Without it every row is a document. `scale` is dim^-0.5 unless given. Memory is linear in seq. `longest`: no document
 * has more tokens; an accelerator takes it for granted and does less, the processor throws where one has.
 */
export function causalAttention(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  cuSeqlens?: Tensor,
  options: Options = {},
): Tensor {
  return recallable(
    () => attend(query, key, value, cuSeqlens, options),
    () => attendAndKeep(query, key, value, cuSeqlens, options),
    ([out, logsumexp]) => recall(query, key, value, out as Tensor, logsumexp as Tensor, cuSeqlens, options),
  );
}
