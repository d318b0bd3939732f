// A linear layer whose weight is kept in codes: what layers of 4 and of 8 bits have in common. It is never trained;
// adapters beside it are. Products read the codes as they are: see native/products/frozen_weight.h.

import { UserError } from "../../errors.js";
import type { DType, Tensor } from "../../torch/index.js";
import { op } from "../../torch/index.js";
import { Projection } from "../projection.js";
import { recallable } from "../recall.js";

const product =
  op<(x: Tensor, codes: Tensor, state: readonly Tensor[], stored: DType) => Tensor>("qwen_pt::linear_coded");
const recall = op<
  (x: Tensor, codes: Tensor, state: readonly Tensor[], stored: DType, given: Tensor) => Tensor
>("qwen_pt::linear_coded_recalled");
const dequantize =
  op<(codes: Tensor, state: readonly Tensor[], columns: number, stored: DType, dtype: DType) => Tensor>(
    "qwen_pt::dequantize",
  );

/** y = x W^T + b, W [outFeatures, inFeatures] in codes. */
export abstract class CodedLinear extends Projection {
  /** A cast of a module leaves its codes and scales alone. */
  override readonly keepsDTypes = true;
  /** What a sentence calls such a weight: "4 bits". */
  abstract readonly bits: string;

  /** Quantizes a weight [outFeatures, inFeatures] of 16 bits or float32, which may lie on a file's pages. */
  abstract quantize(values: Tensor): void;

  /** Which part of a weight a checkpoint's key names, by what follows the layer's path; undefined: none. "" are its codes. */
  abstract partOf(field: string): string | undefined;

  /**
   * Takes a weight that is quantized already: its codes as part "", and the others by their names.
   * @param source what errors call it: the file and the weight's key
   * @throws UserError where parts are missing, damaged or not of this layer's shape and format
   */
  abstract adopt(given: ReadonlyMap<string, Tensor>, source: string): void;

  /** What the operators read the codes with. */
  protected abstract state(): readonly Tensor[];

  /** x [..., inFeatures] -> [..., outFeatures], in x's dtype or autocast's */
  forward(x: Tensor): Tensor {
    const state = this.state();
    const plain = (): Tensor => product(x, this.weight, state, this.dtype);
    const out = recallable(
      plain,
      () => [plain()],
      ([given]) => recall(x, this.weight, state, this.dtype, given as Tensor),
    );
    return this.bias === undefined ? out : out.add(this.bias.to(out.dtype));
  }

  /** The same without the bias. */
  product(x: Tensor): Tensor {
    return product(x, this.weight, this.state(), this.dtype);
  }

  /** The weight's values [outFeatures, inFeatures], in the dtype that it had: all of them, so for what is done once. */
  values(): Tensor {
    return dequantize(this.weight, this.state(), this.inFeatures, this.dtype, this.dtype);
  }

  /** The codes, and what the operators read them with. */
  override operands(): readonly Tensor[] {
    return [this.weight, ...this.state()];
  }

  /** @throws UserError always: new values would have to be quantized again */
  rewrite(): never {
    throw new UserError(
      `a weight of ${this.bits} takes no new values: merge the adapter into the model's original weights, without quantization_bit`,
    );
  }
}
