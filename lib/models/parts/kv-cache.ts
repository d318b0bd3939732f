// Keys and values of the positions seen so far, a pair per layer. Grows by concatenation.

import type { Tensor } from "../../torch/index.js";
import { cat, keep } from "../../torch/index.js";

/**
 * Keys and values [batch, kvHeads, seq, headDim] of each layer, which {@link KVCache.extend} concatenates.
 */
export class KVCache {
  private readonly pairs: [Tensor, Tensor][] = [];

  /** Positions held; between forward passes, the same for every layer. */
  get length(): number {
    return this.pairs[0]?.[0].shape[2] ?? 0;
  }

  /** Adds k, v [batch, kvHeads, seq, headDim] of a layer; gives all of them so far. */
  extend(layer: number, k: Tensor, v: Tensor): [Tensor, Tensor] {
    const held = this.pairs[layer];
    const pair: [Tensor, Tensor] = held === undefined ? [k, v] : [cat([held[0], k], 2), cat([held[1], v], 2)];
    for (const tensor of pair) keep(tensor);
    this.pairs[layer] = pair;
    if (held !== undefined) for (const tensor of held) tensor.dispose();
    return pair;
  }

  /** Frees what it holds; the cache is empty afterwards. */
  dispose(): void {
    for (const pair of this.pairs.splice(0)) for (const tensor of pair) tensor.dispose();
  }
}
