// A linear layer whose weight is kept in 8 bits, a code a number: what the three forms of it have in common. Which tensors
// a form keeps beside the codes, how it makes them and how operators read them is the form's own file.

import { UserError } from "../../errors.js";
import type { DType, Tensor } from "../../torch/index.js";
import { empty, keep, noGrad, scope } from "../../torch/index.js";
import type { LayerOptions } from "../linear.js";
import { CodedLinear } from "./coded-linear.js";

/** The tensors of a form: a field's data type and shape, the codes' (`weight`) among them. */
export type Layout = Readonly<Record<string, readonly [dtype: DType, shape: readonly number[]]>>;

/** y = x W^T + b, W [outFeatures, inFeatures] in codes of 8 bits. */
export abstract class EightBitLinear extends CodedLinear {
  /** Codes [outFeatures, inFeatures]. */
  declare weight: Tensor;
  /** [outFeatures]; undefined for none. */
  bias: Tensor | undefined;
  /** What a sentence calls such a weight. */
  override readonly bits = "8 bits";
  readonly #dtype: DType;
  readonly #layout: Layout;

  /** A layer without values; on `meta` unless told otherwise. */
  protected constructor(
    readonly inFeatures: number,
    readonly outFeatures: number,
    layout: Layout,
    options: LayerOptions,
  ) {
    super();
    const { bias = false, dtype = "bfloat16", device = "meta" } = options;
    this.#dtype = dtype;
    this.#layout = layout;
    for (const [field, [kind, shape]] of Object.entries(layout))
      this[field as "weight"] = keep(empty([...shape], { dtype: kind, device }));
    if (bias) this.bias = keep(empty([outFeatures], { dtype, device }));
  }

  /** What an adapter beside it is first rounded to, and the weight's values: the dtype that it had before. */
  get dtype(): DType {
    return this.#dtype;
  }

  /** The layout's tensors of a weight [outFeatures, inFeatures]. */
  protected abstract quantized(values: Tensor): Readonly<Record<string, Tensor>>;

  /** Quantizes a weight [outFeatures, inFeatures] of 16 bits or float32. */
  quantize(values: Tensor): void {
    scope(() => noGrad(() => this.take(this.quantized(values))));
  }

  /** Puts tensors in the place of those that are there. */
  protected take(made: Readonly<Record<string, Tensor>>): void {
    for (const [field, value] of Object.entries(made)) {
      this[field as "weight"].dispose();
      this[field as "weight"] = keep(value);
    }
  }

  /** The layout's fields, `weight` as "". */
  partOf(field: string): string | undefined {
    if (field === "weight") return "";
    return Object.hasOwn(this.#layout, field) ? field : undefined;
  }

  /** @throws UserError unless checkpoints keep weights in this form */
  adopt(_given: ReadonlyMap<string, Tensor>, source: string): void {
    throw new UserError(`${source}: quantized already; take the model's original weights`);
  }
}
