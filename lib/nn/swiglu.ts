// The product inside a gated feed-forward layer, as one operator (native/kernels/rows/swiglu.cc).

import type { Tensor } from "../torch/index.js";
import { op } from "../torch/index.js";

/** silu(gate) * up, element by element (Shazeer 2020, arXiv:2002.05202). Keeps nothing but its operands. */
export const swiglu = op<(gate: Tensor, up: Tensor) => Tensor>("qwen_pt::swiglu");
