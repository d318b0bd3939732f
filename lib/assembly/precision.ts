// Precision of a run: what autocast computes in, what the trainable weights are stored in, and the loss scale that
// float16 needs.
import type { Recipe } from "../config/index.js";
import { UserError } from "../errors.js";
import type { Module } from "../nn/index.js";
import { type DType, noGrad, op, scope, type Tensor } from "../torch/index.js";

/** How a recipe computes. */
export interface Precision {
  /** autocast's dtype; undefined: no autocast. */
  compute: DType | undefined;
  /** dtype of trainable weights; undefined leaves them as the checkpoint has them. */
  trainable: DType | undefined;
  /** Whether losses are scaled (float16). */
  scaled: boolean;
}

/** From the recipe's `bf16`, `fp16` and `pure_bf16`. Without any of them the weights' own dtypes compute. */
export function precisionOf(recipe: Recipe): Precision {
  if (recipe.pure_bf16)
    return { compute: recipe.bf16 ? "bfloat16" : undefined, trainable: undefined, scaled: false };
  const compute = recipe.bf16 ? "bfloat16" : recipe.fp16 ? "float16" : undefined;
  return { compute, trainable: "float32", scaled: recipe.fp16 };
}

/**
 * Without autocast nothing goes between layers of 16 bits and what is trained in float32 beside them.
 *
 * @param layers the dtype that config.json names
 * @param tables what is trained whole: its names, and the key that asks for it
 * @throws UserError naming the key that asks for both
 */
export function requireAutocast(
  recipe: Recipe,
  layers: DType | null | undefined,
  tables: { readonly key: string; readonly names: readonly string[] } | undefined,
): void {
  const { compute, trainable } = precisionOf(recipe);
  if (compute !== undefined || layers === undefined || layers === null || layers === "float32") return;
  const fail = (what: string): never => {
    throw new UserError(
      `${what} need autocast between them; set ${layers === "float16" ? "fp16" : "bf16"}: true`,
    );
  };
  if (recipe.upcast_layernorm) fail(`upcast_layernorm: float32 norms and ${layers} layers`);
  if (trainable !== "float32") return;
  if (recipe.finetuning_type === "freeze")
    fail(`finetuning_type: freeze trains in float32, and ${layers} layers beside that`);
  if (recipe.finetuning_type === "lora" && tables !== undefined && tables.names.length > 0)
    fail(`${tables.key}: ${tables.names.join(", ")} trained in float32 and ${layers} layers beside that`);
}

/** Widens the weights of norms to float32: what LLaMA-Factory calls so, every vector with "norm" or "ln" in its name. */
export function upcastNorms(model: Module): void {
  model.mapParameters((parameter, name) => {
    if (parameter.ndim !== 1 || !/norm|ln/.test(name)) return parameter;
    return scope(() => noGrad(() => parameter.to("float32")));
  });
}

const foreachMul = op<(self: readonly Tensor[], scalar: number) => void>("aten::_foreach_mul_.Scalar");

/** Multiplies gradients in place. */
export function scaleGradients(parameters: readonly Tensor[], factor: number): void {
  const gradients = parameters.flatMap((parameter) => parameter.grad ?? []);
  if (factor !== 1 && gradients.length > 0) foreachMul(gradients, factor);
}

/** What is saved of a {@link LossScale}. */
export interface LossScaleState {
  scale: number;
  goodSteps: number;
}

/**
 * float16's loss scale: halved after a step with an overflow, doubled after 2000 steps without one, from 65536
 * (torch.amp.GradScaler's defaults). Without scaling it stays 1.
 */
export class LossScale {
  #scale: number;
  #goodSteps = 0;

  constructor(private readonly enabled: boolean) {
    this.#scale = enabled ? 65536 : 1;
  }

  get scale(): number {
    return this.#scale;
  }

  /** Whether an overflow may be this scale's own doing, to be answered by a smaller one. At 1 it is no longer. */
  get canShrink(): boolean {
    return this.enabled && this.#scale > 1;
  }

  update(overflowed: boolean): void {
    if (!this.enabled) return;
    if (overflowed) {
      this.#scale /= 2;
      this.#goodSteps = 0;
    } else if (++this.#goodSteps === 2000) {
      this.#scale *= 2;
      this.#goodSteps = 0;
    }
  }

  state(): LossScaleState {
    return { scale: this.#scale, goodSteps: this.#goodSteps };
  }

  restore(state: LossScaleState): void {
    this.#scale = state.scale;
    this.#goodSteps = state.goodSteps;
  }
}
