// The recipe's gradient_checkpointing: what is computed again in the backward pass. LLaMA-Factory knows true alone, and
// disable_gradient_checkpointing against it; both mean the same here.
import { custom, Mismatch } from "../key.js";

/** Whole layers again (true), only what is cheap (selective), or nothing (false). */
export type GradientCheckpointing = boolean | "selective";

export const gradientCheckpointing = custom<GradientCheckpointing | null>({
  default: null,
  type: "true, false or selective",
  json: { enum: [true, false, "selective"] },
  doc: "What is recomputed in the backward pass instead of being saved: true for whole layers (least memory), selective for what is cheap to recompute for the memory it would take (the projections to queries, keys and values, norms, rotations, activation functions), false for nothing (fastest). The results are the same.",
  defaultText: "what memory allows; with disable_gradient_checkpointing: true, false",
  read(value) {
    if (value === "selective" || typeof value === "boolean") return value;
    throw new Mismatch("true, false or selective");
  },
});
