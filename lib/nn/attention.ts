// Causal attention: one operator for whole sequences and for documents packed into them (native/kernels/attention/attention.cc),
// and what may stand in its place: libtorch's own choice, or products with a softmax between.

import type { Tensor } from "../torch/index.js";
import { arange, autocastDType, op } from "../torch/index.js";
import { recallable } from "./recall.js";

/**
 * `flash`: a kernel that never holds all scores, this package's on a processor, libtorch's for documents on a GPU. `sdpa`:
 * libtorch's own choice, a document at a time. `plain`: two products, a softmax in float32, all scores in memory.
 */
export type AttentionKernel = "flash" | "sdpa" | "plain";

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

const byLibtorch = op<
  (query: Tensor, key: Tensor, value: Tensor, cuSeqlens?: Tensor, options?: Options) => Tensor
>("qwen_pt::composite_causal_attention");
const bucketize =
  op<(self: Tensor, boundaries: Tensor, options?: { right?: boolean }) => Tensor>("aten::bucketize.Tensor");

/** Which later tokens and which other documents a token does not see: [1 or batch, 1, seq, seq]. */
function hidden(query: Tensor, cuSeqlens?: Tensor): Tensor {
  const [batch, seq] = query.shape as [number, number];
  const { device } = query;
  const places = arange(0, seq, 1, { device });
  const later = places.unsqueeze(0).gt(places.unsqueeze(1)).view([1, 1, seq, seq]);
  if (cuSeqlens === undefined) return later;
  const tokens = arange(0, batch * seq, 1, { device });
  const documents = bucketize(tokens, cuSeqlens.to("int64"), { right: true }).view([batch, 1, seq]);
  return later.logicalOr(documents.unsqueeze(2).ne(documents.unsqueeze(3)));
}

/** As transformers' eager attention rounds: scores in the products' dtype, the softmax in float32. */
function plainAttention(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  scale: number,
  cuSeqlens?: Tensor,
): Tensor {
  const groups = query.size(2) / key.size(2);
  const forHeads = (x: Tensor): Tensor => x.transpose(1, 2).repeatInterleave(groups, 1);
  const scores = query.transpose(1, 2).matmul(forHeads(key).transpose(2, 3)).mul(scale);
  const seen = scores.maskedFill(hidden(query, cuSeqlens), Number.NEGATIVE_INFINITY);
  const wide = query.dtype === "float64" ? "float64" : "float32";
  const weights = seen.softmax(-1, { dtype: wide }).to(scores.dtype);
  return weights.matmul(forHeads(value)).transpose(1, 2);
}

/**
 * softmax(scale q k^T) v, each token over itself and what precedes it in its document (Vaswani et al. 2017,
 * arXiv:1706.03762; grouped queries: Ainslie et al. 2023, arXiv:2305.13245).
 *
 * query [batch, seq, heads, dim], key and value [batch, seq, kvHeads, dim] -> [batch, seq, heads, dim].
 * `cuSeqlens`, int32 [documents + 1]: where each document starts among the batch * seq tokens, then their number.
 * Without it every row is a document. `scale` is dim^-0.5 unless given. Memory is linear in seq, but for the kernel
 * `plain`; `flash` is the default. `longest`: no document has more tokens; an accelerator takes it for granted and does
 * less, the processor throws where one has.
 */
export function causalAttention(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  cuSeqlens?: Tensor,
  { kernel = "flash", ...options }: Options & { kernel?: AttentionKernel } = {},
): Tensor {
  if (kernel !== "flash") {
    const dtype = autocastDType();
    const [q, k, v] = [query, key, value].map((x) => (dtype === undefined ? x : x.to(dtype))) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    if (kernel === "sdpa")
      return byLibtorch(q, k, v, cuSeqlens?.to({ device: "cpu" }), { scale: options.scale });
    return plainAttention(q, k, v, options.scale ?? q.size(3) ** -0.5, cuSeqlens);
  }
  return recallable(
    () => attend(query, key, value, cuSeqlens, options),
    () => attendAndKeep(query, key, value, cuSeqlens, options),
    ([out, logsumexp]) => recall(query, key, value, out as Tensor, logsumexp as Tensor, cuSeqlens, options),
  );
}
