// A linear layer whose weight is kept in codes of 4 bits, numerically bitsandbytes' Linear4bit (QLoRA, Dettmers et al.
// 2023, arXiv:2305.14314). Fields carry the checkpoint's names; the form of the state is quant-state.ts's.

import { UserError } from "../../errors.js";
import type { DType, Tensor } from "../../torch/index.js";
import { empty, keep, noGrad, op, scope, tensor } from "../../torch/index.js";
import type { LayerOptions } from "../linear.js";
import { CodedLinear } from "./coded-linear.js";
import { dynamicLevels } from "./dynamic-map.js";
import { fourBitLevels } from "./levels.js";
import {
  checkParts,
  type FourBitFormat,
  NESTED_RUN,
  partSizes,
  type QuantState,
  readState,
  stateBytes,
  stateKey,
} from "./quant-state.js";

const quantize =
  op<(numbers: Tensor, levels: Tensor, run: number) => [Tensor, Tensor]>("qwen_pt::quantize_4bit");
const quantizeScales = op<(numbers: Tensor, levels: Tensor, run: number) => [Tensor, Tensor]>(
  "qwen_pt::quantize_blockwise",
);
/** y = x W^T + b, W [outFeatures, inFeatures] in codes of 4 bits. */
export class Linear4bit extends CodedLinear {
  /** Codes, uint8 [outFeatures * inFeatures / 2, 1]: two in a byte, the first in its high bits. */
  weight: Tensor;
  /** Scales of the runs: float32, or codes of them, uint8. */
  "weight.absmax": Tensor;
  /** [16], float32 */
  "weight.quant_map": Tensor;
  /** Nested only: float32, one in 256 scales. */
  "weight.nested_absmax": Tensor | undefined;
  /** Nested only: [256], float32 */
  "weight.nested_quant_map": Tensor | undefined;
  /** Bytes of a JSON object; under one of two names, by the type. */
  "weight.quant_state.bitsandbytes__nf4": Tensor | undefined;
  /** The same of fp4. */
  "weight.quant_state.bitsandbytes__fp4": Tensor | undefined;
  /** [outFeatures]; undefined for none. */
  bias: Tensor | undefined;
  /** What a sentence calls such a weight. */
  override readonly bits = "4 bits";
  #state: QuantState;
  #reading: { device: string; tensors: readonly Tensor[] } | undefined;

  /**
   * A layer without values, of the sizes that a weight of `dtype` takes; on `meta` unless told otherwise.
   * {@link Linear4bit.quantize} or {@link Linear4bit.adopt} fills it.
   */
  constructor(
    inFeatures: number,
    outFeatures: number,
    readonly format: FourBitFormat,
    options: LayerOptions = {},
  ) {
    super();
    const { bias = false, dtype = "bfloat16", device = "meta" } = options;
    this.#state = { ...format, dtype, shape: [outFeatures, inFeatures], offset: 0 };
    const numbers = inFeatures * outFeatures;
    const part = (size: readonly number[], kind: DType): Tensor =>
      keep(empty([...size], { dtype: kind, device }));
    this.weight = part([Math.ceil(numbers / 2), 1], "uint8");
    const sizes = partSizes(format, numbers);
    this["weight.absmax"] = part([sizes["absmax"] as number], format.nested ? "uint8" : "float32");
    this["weight.quant_map"] = part([16], "float32");
    if (format.nested) {
      this["weight.nested_absmax"] = part([sizes["nested_absmax"] as number], "float32");
      this["weight.nested_quant_map"] = part([256], "float32");
    }
    this[`weight.${stateKey(format.type)}`] = part([stateBytes(this.#state).length], "uint8");
    if (bias) this.bias = part([outFeatures], dtype);
  }

  /** Size of the last dimension of the input. */
  get inFeatures(): number {
    return this.#state.shape[1] as number;
  }

  /** Size of the last dimension of the result. */
  get outFeatures(): number {
    return this.#state.shape[0] as number;
  }

  /** What the weight's values are rounded to: the dtype that it had before. */
  get dtype(): DType {
    return this.#state.dtype;
  }

  /** Quantizes a weight [outFeatures, inFeatures] of 16 bits or float32, which may lie on a file's pages. */
  quantize(values: Tensor): void {
    const { type, run, nested } = this.format;
    scope(() =>
      noGrad(() => {
        const [codes, absmax] = quantize(values, tensor(fourBitLevels(type)), run);
        let offset = 0;
        const parts = new Map([
          ["", codes],
          ["absmax", absmax],
          ["quant_map", tensor(fourBitLevels(type))],
        ]);
        if (nested) {
          const mean = absmax.mean();
          offset = Number(mean.item());
          const [scales, outer] = quantizeScales(absmax.sub(mean), tensor(dynamicLevels()), NESTED_RUN);
          parts.set("absmax", scales).set("nested_absmax", outer);
          parts.set("nested_quant_map", tensor(dynamicLevels()));
        }
        this.#state = { ...this.#state, dtype: values.dtype, offset };
        parts.set(stateKey(type), tensor(stateBytes(this.#state)));
        this.#take(parts);
      }),
    );
  }

  /** `weight` and what begins with it and a dot. */
  partOf(field: string): string | undefined {
    if (field === "weight") return "";
    return field.startsWith("weight.") ? field.slice("weight.".length) : undefined;
  }

  /**
   * Takes a weight that is quantized already; the parts of its state are quant-state.ts's.
   * @throws UserError where parts are missing, damaged or not of this layer's shape and format
   */
  adopt(given: ReadonlyMap<string, Tensor>, source: string): void {
    const key = stateKey(this.format.type);
    const bytes = given.get(key);
    if (bytes === undefined)
      throw new UserError(`${source}.${key}: missing; config.json and the weights do not belong together`);
    const state = readState(bytes.toArray() as Uint8Array, `${source}.${key}`);
    const { shape } = this.#state;
    if (state.shape.join() !== shape.join() || state.nested !== this.format.nested)
      throw new UserError(
        `${source}: [${state.shape}]${state.nested ? ", nested" : ""} where config.json asks for [${shape}]${this.format.nested ? ", nested" : ""}; the two do not belong together`,
      );
    checkParts(given, state, source);
    this.#state = state;
    const parts = new Map(given);
    const codes = given.get("") as Tensor;
    // saved as a view of another dtype, for what shards weights by it
    if (codes.dtype !== "uint8") {
      const bytes = new Uint8Array(codes.toBytes());
      parts.set("", tensor(bytes, { shape: [bytes.length, 1] }));
    }
    this.#take(parts);
  }

  #take(parts: ReadonlyMap<string, Tensor>): void {
    for (const [part, made] of parts) {
      const field = (part === "" ? "weight" : `weight.${part}`) as "weight";
      this[field]?.dispose();
      this[field] = keep(made);
    }
    this.#forget();
  }

  #forget(): void {
    for (const each of this.#reading?.tensors ?? []) each.dispose();
    this.#reading = undefined;
  }

  /** What the operators read the codes with: native/products/coded/four_bit_matrix.h. */
  protected state(): readonly Tensor[] {
    const { device } = this.weight;
    if (this.#reading?.device !== device) {
      this.#forget();
      const levels = fourBitLevels(this.format.type);
      // bitsandbytes' kernels have a negative zero where its map has none
      if (this.format.type === "fp4") levels[8] = -0;
      const made = scope(() => [
        tensor(levels, { device }),
        tensor(Float32Array.of(this.#state.offset), { device }),
      ]);
      this.#reading = { device, tensors: made.map(keep) };
    }
    const [levels, offset] = this.#reading.tensors as [Tensor, Tensor];
    const { "weight.nested_absmax": outer, "weight.nested_quant_map": map } = this;
    const inner = [levels, this["weight.absmax"]];
    return outer === undefined || map === undefined ? inner : [...inner, outer, map, offset];
  }
}
