// What the trainer asks of a model: the pieces between which it checkpoints. It knows no architecture.
import { type Module, Projection, type SharedRows } from "../nn/index.js";
import type { Tensor } from "../torch/index.js";

/** cos and sin of the positions, or whatever a model's blocks share. */
export type Positions = unknown;

/** A block: a function of (hidden states, positions), so that it may be computed again. */
export interface Block extends Module {
  /** hidden [batch, seq, d] -> the same shape */
  forward(hidden: Tensor, positions: never): Tensor;
}

/** An embedding that is a lookup in a table and nothing else. */
export interface EmbeddingTable {
  /** [vocabulary, d] */
  readonly weight: Tensor;
  /** The row that gets no gradient; below 0 for none. */
  readonly paddingIdx: number;
}

/** A causal language model in the pieces that training needs. `Qwen3ForCausalLM` is one. */
export interface CausalModel extends Module {
  /** The blocks, in order. */
  readonly layers: readonly Block[];
  /** ids [batch, seq] int64 -> [batch, seq, d] */
  embed(inputIds: Tensor): Tensor;
  /** What every block gets beside the hidden states, for positions 0 .. length - 1. */
  rope(length: number, hidden: Tensor): Positions;
  /**
   * The same for documents packed into rows, each with its own positions and masked from the others: `starts`, where
   * each begins among the batch * length tokens, then their number. A model without it takes no such batches.
   */
  packed?(starts: Int32Array, batch: number, length: number, hidden: Tensor): Positions;
  /**
   * The same for a part of every row, whose rest other processes have; a model without it shares no rows.
   * @param positions each token's place in its document, [batch * length]
   * @param longest places below this one
   */
  shared?(positions: Int32Array, longest: number, rows: SharedRows, hidden: Tensor): Positions;
  /** The final norm. */
  norm(hidden: Tensor): Tensor;
  /** [..., d] -> logits [..., vocabulary] */
  head(normed: Tensor): Tensor;
  /** The head's weight [vocabulary, d] where the head is that product and nothing else. */
  readonly headWeight: Tensor | undefined;
  /** The embedding's table, where the embedding is that lookup and nothing else. */
  readonly embeddingTable?: EmbeddingTable | undefined;
}

/** Elements of all parameters, of the trained ones, and of all but the embedding (for counting operations). */
export function countParameters(model: CausalModel): { total: number; trainable: number; computing: number } {
  let total = 0;
  let trainable = 0;
  let embedding = 0;
  // a weight in codes counts as many elements as it stands for, its scales none
  const codes = new Map<Tensor, number>();
  for (const { owner, tensor } of model.parameterSlots())
    if (owner.keepsDTypes && owner instanceof Projection)
      codes.set(tensor, tensor === owner.weight ? owner.inFeatures * owner.outFeatures : 0);
  for (const [name, parameter] of model.namedParameters()) {
    const size = codes.get(parameter) ?? parameter.numel();
    total += size;
    if (parameter.requiresGrad) trainable += size;
    if (
      /(^|\.)embed_tokens\.(weight|base_layer\.weight|rows|original_module\.weight|modules_to_save\.weight)$/.test(
        name,
      )
    )
      embedding += size;
  }
  return { total, trainable, computing: total - embedding };
}
