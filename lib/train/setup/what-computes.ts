// Lines that say what computes a run's products on the processor, what attends and why, and the key that helps where
// something is slow there. Words only: what multiplies is lib/torch/operators/products.ts's choice.

import { attentionKernel } from "../../assembly/model.js";
import { precisionOf } from "../../assembly/precision.js";
import type { Recipe } from "../../config/index.js";
import {
  bytesPerElement,
  type DType,
  getNumThreads,
  type ProductKind,
  type ProductKinds,
  productKinds,
} from "../../torch/index.js";
import { processorFlags, processorKind } from "../../torch/machine/processor.js";

/** What the line speaks of. */
export interface Computing {
  /** The recipe, for its precision. */
  readonly recipe: Recipe;
  /** The model's weights as its checkpoint has them. */
  readonly dtype: DType;
  /** What multiplies 16-bit numbers here. */
  readonly kinds: ProductKinds;
  /** Threads that compute. */
  readonly threads: number;
  /** Whether the processor multiplies bfloat16 itself; undefined where that is not known. */
  readonly hasBfloat16: boolean | undefined;
}

/** Kinds of processors with instructions for bfloat16 products. */
const BFLOAT16: readonly string[] = ["AMX", "AVX512_BF16"];

const NAMES: Readonly<Record<string, string>> = { bfloat16: "bf16", float16: "fp16", float32: "fp32" };
const short = (dtype: DType): string => NAMES[dtype] ?? dtype;

/** How weights of 16 bits are multiplied: "fp32 over bf16 weights". */
function over(kind: ProductKind, dtype: DType): string {
  if (kind === "native" || kind === "packed") return short(dtype);
  return `${kind === "int16" ? "int16" : "fp32"} over ${short(dtype)} weights`;
}

/** How frozen weights are multiplied, and trained ones or casts. */
function kindsFor(kinds: ProductKinds, dtype: DType): { frozen: ProductKind; other: ProductKind } {
  const narrow = dtype === "float16" ? dtype : "bfloat16";
  return { frozen: kinds.frozen[narrow], other: kinds.other[narrow] };
}

/** The products of a run, those of the head apart where the layers' are made in 8-bit integers. */
function products(computing: Computing): string {
  const others = floating(computing);
  if (computing.recipe.fp8) return `fp8 in the blocks' layers, ${others} in the head`;
  return computing.recipe.quantization_compute === null
    ? others
    : `int8 in the frozen layers, ${others} in the head`;
}

/** Of frozen weights, of trained ones, or of both where they differ. */
function floating({ recipe, dtype, kinds }: Computing): string {
  const compute = precisionOf(recipe).compute ?? dtype;
  if (bytesPerElement(compute) > 2) return short(compute);
  const kind = kindsFor(kinds, compute);
  const trained = over(kind.other, compute);
  if (recipe.finetuning_type === "full" || bytesPerElement(dtype) > 2) return trained;
  const frozen = over(kind.frozen, compute);
  if (recipe.finetuning_type === "lora" || frozen === trained) return frozen;
  return `${frozen} where they are frozen, ${trained} where they train`;
}

/** `products: fp32 over bf16 weights, AVX2, 2 threads`. */
export function productsLine(computing: Computing): string {
  const { kinds, threads } = computing;
  return `products: ${products(computing)}, ${kinds.processor}, ${threads} ${threads === 1 ? "thread" : "threads"}`;
}

/** `attention: flash, this package's kernel (flash_attn: auto)`. */
export function attentionLine(recipe: Pick<Recipe, "flash_attn">, onHost: boolean): string {
  const words = {
    flash: `flash, ${onHost ? "this package's kernel" : "libtorch's kernels"}`,
    sdpa: "libtorch's own choice",
    plain: "products and a softmax, all scores in memory",
  };
  return `attention: ${words[attentionKernel(recipe)]} (flash_attn: ${recipe.flash_attn})`;
}

/** Whether 16-bit products are libtorch's own on a processor that has no such instructions. */
function isEmulated({ recipe, dtype, kinds, hasBfloat16 }: Computing): boolean {
  const compute = precisionOf(recipe).compute ?? dtype;
  if (bytesPerElement(compute) > 2 || hasBfloat16 !== false) return false;
  const { frozen, other } = kindsFor(kinds, compute);
  return (recipe.finetuning_type === "full" ? other : frozen) === "native";
}

/** What makes a run slower than this machine is, with the key that helps; undefined where nothing does. */
export function slowness(computing: Computing): string | undefined {
  if (!isEmulated(computing)) return undefined;
  return "this processor has no 16-bit products and emulates them, many times slower than fp32: unset QWEN_PT_PRODUCTS";
}

/** What computes in this process. */
export function computingOf(recipe: Recipe, dtype: DType): Computing {
  const flags = processorFlags();
  const kind = flags === undefined ? undefined : processorKind(flags, process.arch);
  const hasBfloat16 = kind === undefined || kind === "arm64" ? undefined : BFLOAT16.includes(kind);
  return { recipe, dtype, kinds: productKinds(), threads: getNumThreads(), hasBfloat16 };
}
