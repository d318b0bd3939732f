// What multiplies 16-bit numbers on this processor (native/products/product_kind.h). Not here: the products.

import { UserError } from "../../errors.js";
import type { DType } from "../dtype.js";
import { call } from "./operator.js";

/**
 * `native`: libtorch's own product. `packed`: this package's, of bfloat16 on a processor that multiplies pairs of them
 * (AVX512_BF16). `panels`: widened to float32 panel by panel in the cache, where the processor has no
 * 16-bit arithmetic. `int16`: 16-bit integers with sums of 32 bits, for weights that are not trained.
 */
export type ProductKind = "native" | "packed" | "panels" | "int16";

/** What 16-bit products run on in this process, by the weight's dtype. */
export interface ProductKinds {
  /**
   * `AVX2`, `AVX2_VNNI`, `AVX512` (without BF16), `AVX512_VNNI` (the same), `AVX512_BF16`, `AMX`, or libtorch's word on other
   * machines.
   */
  readonly processor: string;
  /** Of a frozen weight, by dtype. */
  readonly frozen: Readonly<Record<"bfloat16" | "float16", ProductKind>>;
  /** Of any other two matrices, by dtype. */
  readonly other: Readonly<Record<"bfloat16" | "float16", ProductKind>>;
}

/** What a kind of products asks of the processor, and the operator that says whether it is there. */
const NEEDS: Readonly<Record<string, { operator: string; processor: string }>> = {
  int16: { operator: "qwen_pt::has_fixed_point_products", processor: "AVX2, or AVX-512 with VNNI" },
  packed: { operator: "qwen_pt::has_packed_products", processor: "AVX512_BF16" },
};

let found: ProductKinds | undefined;

/**
 * What this process multiplies 16-bit numbers with; `QWEN_PT_PRODUCTS` (int16, packed, panels, native) overrules the choice.
 * @throws UserError where the addon cannot be loaded, or where `QWEN_PT_PRODUCTS` asks for what this processor lacks.
 */
export function productKinds(): ProductKinds {
  found ??= ask();
  return found;
}

function ask(): ProductKinds {
  const [processor, ...kinds] = call("qwen_pt::product_kinds") as string[];
  const [frozenBfloat16, frozenHalf, bfloat16, half] = kinds as ProductKind[];
  const asked = process.env["QWEN_PT_PRODUCTS"] ?? "";
  const need = NEEDS[asked];
  if (need !== undefined && !call(need.operator)) {
    throw new UserError(
      `QWEN_PT_PRODUCTS=${asked}: these products need ${need.processor}, and this process computes with ${processor}: unset it`,
    );
  }
  return {
    processor: processor as string,
    frozen: { bfloat16: frozenBfloat16 as ProductKind, float16: frozenHalf as ProductKind },
    other: { bfloat16: bfloat16 as ProductKind, float16: half as ProductKind },
  };
}

/** Whether a weight of this dtype, on the CPU and not trained, is multiplied in integers. */
export function isFixedPoint(dtype: DType): boolean {
  return (dtype === "bfloat16" || dtype === "float16") && productKinds().frozen[dtype] === "int16";
}
