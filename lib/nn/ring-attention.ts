// Causal attention over rows that several processes share: keys and values go around them (Liu et al. 2023,
// arXiv:2310.01889; native/distributed/ring_attention.cc). Which tokens meet is the caller's to say.
import { autocastDType, op, type Tensor } from "../torch/index.js";
import { recallable } from "./recall.js";

/** The processes that share a batch's rows, and what of each other they see. */
export interface SharedRows {
  /** By the number that their world gave it. */
  readonly ring: number;
  /** int32 [n, 4] of each step around the ring: first query, queries, first key, keys. */
  readonly meetings: readonly Tensor[];
}

interface Options {
  scale?: number;
}

const attend =
  op<
    (query: Tensor, key: Tensor, value: Tensor, meetings: Tensor[], ring: number, options?: Options) => Tensor
  >("qwen_pt::ring_attention");
const attendAndKeep = op<
  (
    query: Tensor,
    key: Tensor,
    value: Tensor,
    meetings: Tensor[],
    ring: number,
    options?: Options,
  ) => [out: Tensor, logsumexp: Tensor]
>("qwen_pt::ring_attention_kept");
const recall = op<
  (
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    logsumexp: Tensor,
    meetings: Tensor[],
    ring: number,
    options?: Options,
  ) => Tensor
>("qwen_pt::ring_attention_recalled");

/**
 * What `causalAttention` gives for the tokens that this process has of every row: query [batch, tokens, heads, dim], key
 * and value [batch, tokens, kvHeads, dim] -> query's shape. Every process of the ring calls it, in the same order, and
 * its backward pass too.
 */
export function ringAttention(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  { ring, meetings }: SharedRows,
  options: Options = {},
): Tensor {
  const dtype = autocastDType();
  const cast = (x: Tensor): Tensor => (dtype === undefined ? x : x.to(dtype));
  const [q, k, v, tables] = [cast(query), cast(key), cast(value), [...meetings]];
  return recallable(
    () => attend(q, k, v, tables, ring, options),
    () => attendAndKeep(q, k, v, tables, ring, options),
    ([out, logsumexp]) => recall(q, k, v, out as Tensor, logsumexp as Tensor, tables, ring, options),
  );
}
