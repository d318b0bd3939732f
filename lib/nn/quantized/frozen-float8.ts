// A frozen linear layer in 8-bit floats: the weight's rounded once, x and the gradient of the result as they come, each
// matrix with one unit (native/products/coded/float8.h). What an adapter is trained beside where a card multiplies such
// numbers itself. A layer that trains: float8-linear.ts.

import { UserError } from "../../errors.js";
import type { DType, Tensor } from "../../torch/index.js";
import { empty, keep, noGrad, op, scope } from "../../torch/index.js";
import type { LayerOptions } from "../linear.js";
import { CodedLinear } from "./coded-linear.js";

/** How weights are quantized. */
export interface Float8Format {
  /** 8-bit floats that are multiplied as such. */
  readonly type: "fp8 products";
}

const quantizeFloat8 = op<(numbers: Tensor) => [Tensor, Tensor]>("qwen_pt::quantize_float8");

/** y = x W^T + b, W [outFeatures, inFeatures] in 8-bit floats; both sides are multiples of 16. */
export class FrozenFloat8Linear extends CodedLinear {
  /** Bytes of e4m3, uint8 [outFeatures, inFeatures]. */
  weight: Tensor;
  /** What a code of 1 stands for, a power of two: float32 []. */
  unit: Tensor;
  /** [outFeatures]; undefined for none. */
  bias: Tensor | undefined;
  /** What a sentence calls such a weight. */
  override readonly bits = "8 bits";
  readonly #dtype: DType;

  /** A layer without values; on `meta` unless told otherwise. {@link FrozenFloat8Linear.quantize} fills it. */
  constructor(
    readonly inFeatures: number,
    readonly outFeatures: number,
    options: LayerOptions = {},
  ) {
    super();
    const { bias = false, dtype = "bfloat16", device = "meta" } = options;
    this.#dtype = dtype;
    this.weight = keep(empty([outFeatures, inFeatures], { dtype: "uint8", device }));
    this.unit = keep(empty([], { dtype: "float32", device }));
    if (bias) this.bias = keep(empty([outFeatures], { dtype, device }));
  }

  /** What an adapter beside it is first rounded to, and the weight's values: the dtype that it had before. */
  get dtype(): DType {
    return this.#dtype;
  }

  /** Takes a weight [outFeatures, inFeatures] of 16 bits or float32. */
  quantize(values: Tensor): void {
    scope(() =>
      noGrad(() => {
        const [weight, unit] = quantizeFloat8(values);
        for (const [field, made] of Object.entries({ weight, unit })) {
          this[field as "weight"].dispose();
          this[field as "weight"] = keep(made);
        }
      }),
    );
  }

  /** `weight` and `unit`. */
  partOf(field: string): string | undefined {
    if (field === "weight") return "";
    return field === "unit" ? field : undefined;
  }

  /** @throws UserError always: no checkpoint keeps weights in this form */
  adopt(_given: ReadonlyMap<string, Tensor>, source: string): never {
    throw new UserError(`${source}: quantized already; take the model's original weights`);
  }

  protected state(): readonly Tensor[] {
    return [this.unit];
  }
}
