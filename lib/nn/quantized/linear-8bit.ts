// A linear layer whose weight is kept in codes of 8 bits with a scale for each row, numerically bitsandbytes' Linear8bitLt
// on a processor (LLM.int8, Dettmers et al. 2022, arXiv:2208.07339). In training it multiplies by the codes' values; in
// eval mode x is rounded to 8 bits too, but for columns with an outlier. Fields carry the checkpoint's names.

import { UserError } from "../../errors.js";
import type { DType, Tensor } from "../../torch/index.js";
import { isGradEnabled, op, zeros } from "../../torch/index.js";
import type { LayerOptions } from "../linear.js";
import { EightBitLinear } from "./eight-bit-linear.js";

/** How weights are quantized. */
export interface EightBitFormat {
  /** Data type of the codes. */
  readonly type: "int8";
  /** In eval mode columns of the input with an element of this size are multiplied in its dtype. bitsandbytes' is 6. */
  readonly threshold: number;
}

const quantizeRows = op<(numbers: Tensor) => [Tensor, Tensor]>("qwen_pt::quantize_rows");
const mixed = op<(x: Tensor, codes: Tensor, scales: Tensor, threshold: number) => Tensor>(
  "qwen_pt::linear_8bit_mixed",
);

/** y = x W^T + b, W [outFeatures, inFeatures] in codes of 8 bits. */
export class Linear8bit extends EightBitLinear {
  /** The rows' scales, float32 [outFeatures]: their largest magnitudes. */
  declare SCB: Tensor;
  /** uint8, a single 0: the codes lie row after row. */
  declare weight_format: Tensor;

  /**
   * A layer without values; on `meta` unless told otherwise. {@link Linear8bit.quantize} or {@link Linear8bit.adopt}
   * fills it.
   */
  constructor(
    inFeatures: number,
    outFeatures: number,
    readonly format: EightBitFormat,
    options: LayerOptions = {},
  ) {
    super(
      inFeatures,
      outFeatures,
      {
        weight: ["int8", [outFeatures, inFeatures]],
        SCB: ["float32", [outFeatures]],
        weight_format: ["uint8", []],
      },
      options,
    );
  }

  /** PEFT does not round an adapter to integers: float32. */
  override get adapterDtype(): DType {
    return "float32";
  }

  /** Rounded to float16 first, as bitsandbytes does. */
  protected quantized(values: Tensor): Record<string, Tensor> {
    const [codes, scales] = quantizeRows(values);
    return this.#parts(codes, scales);
  }

  /**
   * Takes a weight that is quantized already: codes "", `SCB`, and `weight_format` where there is one.
   * @throws UserError where parts are missing, damaged or of another shape
   */
  override adopt(given: ReadonlyMap<string, Tensor>, source: string): void {
    const layer = source.replace(/\.weight$/, "");
    const [codes, scales, format] = ["", "SCB", "weight_format"].map((part) => given.get(part));
    const fail: (key: string, what: string) => never = (key, what) => {
      throw new UserError(`${key}: ${what}; copy or download the checkpoint again`);
    };
    if (codes === undefined || codes.dtype !== "int8")
      fail(source, `${codes?.dtype ?? "no tensor"} where codes of 8 bits (int8) belong`);
    if (codes.shape.join() !== this.weight.shape.join())
      fail(source, `shape [${codes.shape}] where config.json asks for [${this.weight.shape}]`);
    if (scales === undefined) fail(`${layer}.SCB`, "missing: the scales of the codes");
    if (scales.dtype !== "float32" || scales.numel() !== this.outFeatures)
      fail(`${layer}.SCB`, `${scales.dtype} [${scales.shape}] where ${this.outFeatures} of float32 belong`);
    if (format !== undefined && Number(format.item()) !== 0)
      fail(`${layer}.weight_format`, `${format.item()}: only rows (0) are read`);
    this.take(this.#parts(codes, scales.reshape([this.outFeatures])));
  }

  #parts(codes: Tensor, scales: Tensor): Record<string, Tensor> {
    return { weight: codes, SCB: scales, weight_format: zeros([], { dtype: "uint8" }) };
  }

  protected state(): readonly Tensor[] {
    return [this.SCB];
  }

  /** Whether the input is rounded too: in eval mode, where no gradient is asked for. */
  #isReading(x: Tensor): boolean {
    return !this.training && !(isGradEnabled() && x.requiresGrad);
  }

  /** x [..., inFeatures] -> [..., outFeatures], in x's dtype or autocast's; in eval mode x is rounded to 8 bits. */
  override forward(x: Tensor): Tensor {
    if (!this.#isReading(x)) return super.forward(x);
    const out = mixed(x, this.weight, this.SCB, this.format.threshold);
    return this.bias === undefined ? out : out.add(this.bias.to(out.dtype));
  }

  /** The same without the bias. */
  override product(x: Tensor): Tensor {
    return this.#isReading(x) ? mixed(x, this.weight, this.SCB, this.format.threshold) : super.product(x);
  }

  /** In eval mode none: the layer computes beside its adapter. */
  override operands(): readonly Tensor[] {
    return this.training ? super.operands() : [];
  }
}
