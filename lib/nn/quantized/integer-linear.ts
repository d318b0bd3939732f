// A linear layer that multiplies in integers of 8 bits, forward and for its input's gradient: the weight's with a unit a
// row, x's and the gradient's rounded token by token as they come (native/products/integer/int8_product.h). Faster than 16 bits
// and less exact: docs/quantization.md has how much. A few rows of x, as in generating, meet the integers' values instead.

import { UserError } from "../../errors.js";
import type { DType, Tensor } from "../../torch/index.js";
import { call, empty, keep, noGrad, op, scope } from "../../torch/index.js";
import type { LayerOptions } from "../linear.js";
import { CodedLinear } from "./coded-linear.js";

/** How weights are quantized. */
export interface IntegerFormat {
  /** Integers that are multiplied as such. */
  readonly type: "int8 products";
}

const quantizeInt8 = op<(numbers: Tensor) => [Tensor, Tensor, Tensor, Tensor]>("qwen_pt::quantize_int8");

/** Whether this processor has the instructions: AVX2's. */
export function hasInt8Products(): boolean {
  return call("qwen_pt::has_int8_products") as boolean;
}

/** y = x W^T + b, W [outFeatures, inFeatures] in integers of 8 bits. */
export class IntegerLinear extends CodedLinear {
  /** Integers, int8 [outFeatures, inFeatures]. */
  weight: Tensor;
  /** The value of one unit of each row, float32 [outFeatures]. */
  scales: Tensor;
  /** Sums of each row's integers, int32 [outFeatures]. */
  row_sums: Tensor;
  /** Sums of each column's integers, int32 [inFeatures]. */
  column_sums: Tensor;
  /** [outFeatures]; undefined for none. */
  bias: Tensor | undefined;
  /** What a sentence calls such a weight. */
  override readonly bits = "8 bits";
  readonly #dtype: DType;

  /** A layer without values; on `meta` unless told otherwise. {@link IntegerLinear.quantize} fills it. */
  constructor(
    readonly inFeatures: number,
    readonly outFeatures: number,
    options: LayerOptions = {},
  ) {
    super();
    const { bias = false, dtype = "bfloat16", device = "meta" } = options;
    this.#dtype = dtype;
    const part = (size: readonly number[], kind: DType): Tensor =>
      keep(empty([...size], { dtype: kind, device }));
    this.weight = part([outFeatures, inFeatures], "int8");
    this.scales = part([outFeatures], "float32");
    this.row_sums = part([outFeatures], "int32");
    this.column_sums = part([inFeatures], "int32");
    if (bias) this.bias = part([outFeatures], dtype);
  }

  /** What an adapter beside it is first rounded to, and the weight's values: the dtype that it had before. */
  get dtype(): DType {
    return this.#dtype;
  }

  /**
   * Takes a weight [outFeatures, inFeatures] of 16 bits or float32.
   * @throws NativeError on a processor without AVX2
   */
  quantize(values: Tensor): void {
    scope(() =>
      noGrad(() => {
        const [weight, scales, row_sums, column_sums] = quantizeInt8(values);
        for (const [field, made] of Object.entries({ weight, scales, row_sums, column_sums })) {
          this[field as "weight"].dispose();
          this[field as "weight"] = keep(made);
        }
      }),
    );
  }

  /** `weight` and the three beside it. */
  partOf(field: string): string | undefined {
    if (field === "weight") return "";
    return ["scales", "row_sums", "column_sums"].includes(field) ? field : undefined;
  }

  /** @throws UserError always: no checkpoint keeps weights in this form */
  adopt(_given: ReadonlyMap<string, Tensor>, source: string): never {
    throw new UserError(`${source}: quantized already; take the model's original weights`);
  }

  protected state(): readonly Tensor[] {
    return [this.scales, this.row_sums, this.column_sums];
  }
}
