// The line that says what computes, for each kind of processor and each way of training.
import { describe, expect, it } from "vitest";
import { resolveRecipe } from "../../../lib/config/index.js";
import type { ProductKind, ProductKinds } from "../../../lib/torch/index.js";
import { computingOf, productsLine, slowness } from "../../../lib/train/setup/what-computes.js";

const recipe = (keys: Record<string, unknown>) =>
  resolveRecipe({
    model_name_or_path: "m",
    stage: "pt",
    do_train: true,
    dataset: "d",
    output_dir: "o",
    ...keys,
  }).recipe;
const kinds = (processor: string, frozen: ProductKind, other: ProductKind): ProductKinds => ({
  processor,
  frozen: { bfloat16: frozen, float16: frozen },
  other: { bfloat16: other, float16: other },
});
const avx2 = kinds("AVX2", "int16", "panels");
const panels = kinds("AVX2", "panels", "panels");
const native = kinds("AVX512_BF16", "native", "native");
const packed = kinds("AVX512_BF16", "packed", "packed");

describe("what computes", () => {
  it.each([
    [{ bf16: true }, "bfloat16", avx2, "products: int16 over bf16 weights, AVX2, 2 threads"],
    [{ bf16: true }, "bfloat16", panels, "products: fp32 over bf16 weights, AVX2, 2 threads"],
    [{ bf16: true }, "bfloat16", native, "products: bf16, AVX512_BF16, 2 threads"],
    [{ bf16: true }, "bfloat16", packed, "products: bf16, AVX512_BF16, 2 threads"],
    [{}, "bfloat16", panels, "products: fp32 over bf16 weights, AVX2, 2 threads"],
    [{}, "float32", avx2, "products: fp32, AVX2, 2 threads"],
    [{ bf16: true }, "float32", avx2, "products: fp32 over bf16 weights, AVX2, 2 threads"],
    [{ fp16: true }, "float16", avx2, "products: int16 over fp16 weights, AVX2, 2 threads"],
    [
      { bf16: true, finetuning_type: "full" },
      "bfloat16",
      avx2,
      "products: fp32 over bf16 weights, AVX2, 2 threads",
    ],
    [
      { bf16: true, finetuning_type: "freeze" },
      "bfloat16",
      avx2,
      "products: int16 over bf16 weights where they are frozen, fp32 over bf16 weights where they train, AVX2, 2 threads",
    ],
  ] as const)("%j on %s weights", (keys, dtype, kinds, line) => {
    const computing = { recipe: recipe(keys), dtype, kinds, threads: 2, hasBfloat16: false };
    expect(productsLine(computing)).toBe(line);
  });

  it("says which are 8-bit floats", () => {
    const computing = {
      recipe: recipe({ bf16: true, fp8: true, finetuning_type: "full" }),
      dtype: "bfloat16",
      kinds: avx2,
      threads: 2,
      hasBfloat16: false,
    } as const;
    expect(productsLine(computing)).toBe(
      "products: fp8 in the blocks' layers, fp32 over bf16 weights in the head, AVX2, 2 threads",
    );
  });

  it("says which are 8-bit integers", () => {
    const computing = {
      recipe: recipe({ bf16: true, quantization_compute: "int8" }),
      dtype: "bfloat16",
      kinds: avx2,
      threads: 2,
      hasBfloat16: false,
    } as const;
    expect(productsLine(computing)).toBe(
      "products: int8 in the frozen layers, int16 over bf16 weights in the head, AVX2, 2 threads",
    );
  });

  it("warns of emulated products, and of nothing else", () => {
    const of = (
      keys: Record<string, unknown>,
      kinds: ProductKinds,
      hasBfloat16: boolean | undefined,
      dtype: "bfloat16" | "float32" = "bfloat16",
    ) => slowness({ recipe: recipe(keys), dtype, kinds, threads: 1, hasBfloat16 });
    expect(of({ bf16: true }, native, false)).toMatch(/emulates.*unset QWEN_PT_PRODUCTS$/);
    expect(of({}, native, false)).toMatch(/emulates/);
    expect(of({}, native, false, "float32")).toBeUndefined();
    expect(of({ bf16: true }, native, true)).toBeUndefined();
    expect(of({ bf16: true }, native, undefined)).toBeUndefined();
    expect(of({ bf16: true }, avx2, false)).toBeUndefined();
  });

  it("knows this process", () => {
    expect(productsLine(computingOf(recipe({ bf16: true }), "bfloat16"))).toMatch(
      /^products: .+, \S.*, \d+ threads?$/,
    );
  });
});
