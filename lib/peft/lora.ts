// LoRA (Hu et al. 2021, arXiv:2106.09685) on any tree of modules, with PEFT 0.18.1's semantics and initial draws.
// Not here: files (adapter-files.ts), which modules are meant (targets.ts).

import type { Layer, Projection } from "../nn/index.js";
import { Linear, Module, recallable, recomputeAll } from "../nn/index.js";
import type { DType, Tensor } from "../torch/index.js";
import { autocastDType, dropout, loraLinear, noGrad, op, scope } from "../torch/index.js";
import { doraForward, doraMerged, firstMagnitude } from "./dora.js";
import { type PissaInit, pissaParts } from "./pissa.js";
import type { TokenIndices } from "./token-rows.js";

/** What {@link addLora} adds, by PEFT's LoraConfig. */
export interface LoraConfig {
  /** Rank of the update. */
  rank: number;
  /** Scaling is alpha / rank. Default: twice the rank. */
  alpha?: number;
  /** Of the input of A, in training mode. Default 0. */
  dropout?: number;
  /** `all`: every Linear but the head; or names, each matching a whole path or its end. Default `all`. */
  targets?: "all" | readonly string[];
  /** PEFT's layers_to_transform: the layers, from 0, whose targets are adapted. Default: all. */
  layers?: readonly number[];
  /** PEFT's modules_to_save: modules trained whole, as copies, and saved with the adapter. */
  modulesToSave?: readonly string[];
  /** PEFT's trainable_token_indices: rows of the embedding, and of an untied head, that are trained by themselves. */
  tokenIndices?: TokenIndices;
  /** Scaling alpha / sqrt(rank) instead (Kalajdzievski 2023, arXiv:2312.03732). */
  rankStabilized?: boolean;
  /** DoRA: the adapted weight's rows have learned lengths. */
  dora?: boolean;
  /** How A and B begin: PEFT's draws (true), or the weight's singular vectors. Default true. */
  init?: true | PissaInit;
  /** dtype of trained whole modules; A and B are always float32, as PEFT has them. Default float32. */
  savedDtype?: DType;
}

const recall = op<
  (
    x: Tensor,
    weights: readonly Tensor[],
    a: readonly Tensor[],
    b: readonly Tensor[],
    scalings: readonly number[],
    given: readonly Tensor[],
    dropout: number,
    wide: DType | undefined,
    stored: DType,
  ) => Tensor[]
>("qwen_pt::lora_linear_recalled");

/** A frozen linear layer and its low-rank update: y = base(x) + B(A(dropout(x))) * scaling; with DoRA see dora.ts. */
export class LoraLinear extends Module {
  /** The frozen layer, [.., in] -> [.., out]. */
  base_layer: Projection;
  /** Down: weight [rank, in]. */
  lora_A: Linear;
  /** Up: weight [out, rank], zero at first but with PiSSA. */
  lora_B: Linear;
  /** DoRA only: [out] */
  lora_magnitude_vector: Tensor | undefined = undefined;
  /** Whether the base layer holds what a decomposition (PiSSA) left of the weight. */
  readonly decomposed: boolean;
  /** Without it the base layer computes alone. */
  enabled = true;

  /**
   * Draws as PEFT does, on the CPU: A by Linear's own rule, B likewise, then A once more, and B becomes zero; with
   * PiSSA both come from the weight instead of a third draw. PEFT casts them to the base layer's dtype before it
   * widens them to float32, so a bfloat16 base rounds them.
   */
  constructor(
    base: Projection,
    readonly rank: number,
    readonly scaling: number,
    readonly dropout: number,
    { dora = false, init = true }: Pick<LoraConfig, "dora" | "init"> = {},
  ) {
    super();
    this.base_layer = base;
    this.decomposed = init !== true;
    base.requiresGrad_(false);
    const stored = base.adapterDtype;
    const wide: DType = stored === "float64" ? "float64" : "float32";
    this.lora_A = new Linear(base.inFeatures, rank);
    this.lora_B = new Linear(rank, base.outFeatures);
    if (init === true) {
      redraw(this.lora_A);
      noGrad(() => this.lora_B.weight.zero_());
    } else this.#decompose(init);
    for (const layer of [this.lora_A, this.lora_B]) {
      layer.to({ dtype: stored }).to({ dtype: wide, device: base.device });
      layer.requiresGrad_();
    }
    if (dora) this.lora_magnitude_vector = this.#firstLengths(wide).requiresGrad_();
  }

  /** The weight's leading singular vectors become the adapter, the rest stays in the base layer. */
  #decompose(init: PissaInit): void {
    const { lora_A, lora_B } = this;
    this.base_layer = this.base_layer.rewrite((values) => {
      const { a, b, residual } = pissaParts(values, init, this.rank, this.scaling);
      for (const [layer, weight] of [
        [lora_A, a],
        [lora_B, b],
      ] as const) {
        layer.weight.dispose();
        layer.weight = weight;
      }
      return residual;
    });
    this.base_layer.requiresGrad_(false);
  }

  #firstLengths(dtype: DType): Tensor {
    const { base_layer: base, lora_A, lora_B, scaling } = this;
    return scope(() =>
      noGrad(() => {
        const { dtype: stored } = base;
        const product = lora_B.weight.to(stored).matmul(lora_A.weight.to(stored));
        return firstMagnitude(base.values().add(product.mul(scaling))).to(dtype);
      }),
    );
  }

  /** x [..., in] -> [..., out], in the base layer's result dtype */
  forward(x: Tensor): Tensor {
    if (!this.enabled) return this.base_layer.forward(x);
    const together = this.forwardTogether([this], x);
    if (together !== undefined) return together[0] as Tensor;
    const { lora_magnitude_vector: magnitude } = this;
    // DoRA's gradients depend on the base layer's result, which a second pass may know by its shape alone
    if (magnitude !== undefined) return recomputeAll(() => this.#doraForward(magnitude, x));
    const out = this.base_layer.forward(x);
    return out.add(recomputeAll(() => this.#update(x))).to(out.dtype);
  }

  #doraForward(magnitude: Tensor, x: Tensor): Tensor {
    const out = this.base_layer.forward(x);
    return doraForward(this, magnitude, x, out).to(out.dtype);
  }

  /** B(A(dropout(x))) * scaling */
  #update(x: Tensor): Tensor {
    const drops = this.training && this.dropout > 0;
    // PEFT widens x to A's dtype. Under autocast the product narrows it again at once, so that only dropout would see it.
    const input = drops || autocastDType() === undefined ? x.to(this.lora_A.weight.dtype) : x;
    const dropped = drops ? dropout(input, this.dropout, true) : input;
    return this.lora_B.forward(this.lora_A.forward(dropped)).mul(this.scaling);
  }

  /** One operator for plain LoRA layers that compute in one dtype: x is read once, and one node stands for all. */
  forwardTogether(layers: readonly Layer[], x: Tensor): Tensor[] | undefined {
    const loras: LoraLinear[] = [];
    const weights: Tensor[] = [];
    let each = 0; // tensors of a weight
    const stored = this.base_layer.dtype;
    for (const layer of layers) {
      if (!(layer instanceof LoraLinear && layer.#isPlain(x) && layer.dropout === this.dropout))
        return undefined;
      const operands = layer.base_layer.operands?.() ?? [];
      const [weight] = operands;
      if (weight === undefined || layer.base_layer.dtype !== stored) return undefined;
      // one operator takes them where all are stored alike; numbers are multiplied in their own dtype, codes in any
      if (weights.length > 0 && each !== operands.length) return undefined;
      if (operands.length === 1 && autocastDType() === undefined && weight.dtype !== x.dtype)
        return undefined;
      each = operands.length;
      loras.push(layer);
      weights.push(...operands);
    }
    const a = loras.map(({ lora_A }) => lora_A.weight);
    const b = loras.map(({ lora_B }) => lora_B.weight);
    const scalings = loras.map(({ scaling }) => scaling);
    const rate = this.training ? this.dropout : 0;
    const plain = (): Tensor[] => loraLinear(x, weights, a, b, scalings, rate, undefined, stored);
    return recallable(plain, plain, (given) =>
      recall(x, weights, a, b, scalings, given, rate, undefined, stored),
    );
  }

  #isPlain(x: Tensor): boolean {
    const { weight, bias } = this.base_layer;
    if (!this.enabled) return false;
    if (this.lora_magnitude_vector !== undefined || bias !== undefined || weight.requiresGrad) return false;
    const { dtype } = this.lora_A.weight;
    return autocastDType() !== undefined || x.dtype === dtype;
  }

  /** B A * scaling, [out, in], in the adapter's dtype. */
  delta(): Tensor {
    return scope(() => noGrad(() => this.lora_B.weight.matmul(this.lora_A.weight).mul(this.scaling)));
  }

  /** The base layer with the update added to its weight, rounded once to its dtype. The adapter is freed. */
  merge(): Projection {
    const { lora_magnitude_vector: magnitude } = this;
    const base = this.base_layer.rewrite((values) =>
      magnitude === undefined ? values.add(this.delta()) : doraMerged(values, this.delta(), magnitude),
    );
    for (const layer of [this.lora_A, this.lora_B]) layer.weight.dispose();
    magnitude?.dispose();
    return base;
  }
}

function redraw(layer: Linear): void {
  const fresh = new Linear(layer.inFeatures, layer.outFeatures);
  layer.weight.dispose();
  layer.weight = fresh.weight;
}

/** alpha / rank, or alpha / sqrt(rank). An alpha of 0 counts as not given. */
export function scalingOf(config: Pick<LoraConfig, "rank" | "alpha" | "rankStabilized">): number {
  const alpha = config.alpha || 2 * config.rank;
  return alpha / (config.rankStabilized ? Math.sqrt(config.rank) : config.rank);
}
