// Who runs in the section `peers`, on each kind of processor. The recipe is the tutorial's, bf16. Where the processor does
// not multiply bf16 itself, libtorch's own products of it are so slow that the peers' best setting is float32 (the model
// with float32 weights, `bf16: false`); LLaMA-Factory in the recipe's bf16, an hour a block there, runs a few steps
// of 64 tokens, and so do we beside it.
import { multipliesBf16 } from "./processor.mjs";

const FULL = { finetuning_type: "full", learning_rate: 1e-5, save_strategy: '"no"' };
const SHORT = { cutoff_len: 64, gradient_accumulation_steps: 1, max_steps: 2 };
const FLOAT32 = { bf16: false };
const checkpointing = (mode) => ({ gradient_checkpointing: mode });

const ours = (keys, more = {}) => ({ program: "qwen-pt", group: "lora", keys, ...more });
const peer = (program, keys = {}, more = {}) => ({ program, group: "lora", keys, ...more });

/** `wide`: on the copy of the model with float32 weights. */
const wide = { wide: true };

const lora = {
  "qwen-pt, LoRA": ours(checkpointing(false)),
  "qwen-pt, LoRA, selective": ours(checkpointing("selective")),
  "qwen-pt, LoRA, checkpointing": ours(checkpointing(true)),
};
// Unsloth chooses the dtype itself, bf16 only where the processor has it; `mode` is its use_gradient_checkpointing
const unsloth = {
  "Unsloth, LoRA": peer("unsloth", { unsloth_checkpointing: "unsloth" }),
  "Unsloth, LoRA, keeping all": peer("unsloth", { unsloth_checkpointing: false }),
};
const full = {
  "qwen-pt, full": ours({ ...FULL, ...checkpointing(false) }, { group: "full" }),
  "qwen-pt, full, checkpointing": ours({ ...FULL, ...checkpointing(true) }, { group: "full" }),
  "qwen-pt, full, pure_bf16": ours(
    { ...FULL, pure_bf16: true, bf16: false, ...checkpointing(false) },
    { group: "full" },
  ),
};

const withBf16 = {
  "LLaMA-Factory, LoRA": peer("llamafactory"),
  ...lora,
  "plain PyTorch + PEFT loop": peer("loop"),
  ...unsloth,
  "LLaMA-Factory, full": peer("llamafactory", FULL, { group: "full" }),
  ...full,
};

const withoutBf16 = {
  "LLaMA-Factory, LoRA, float32": peer("llamafactory", FLOAT32, wide),
  ...lora,
  "qwen-pt, LoRA, float32": ours({ ...FLOAT32, ...checkpointing(false) }, wide),
  "plain PyTorch + PEFT loop, float32": peer("loop", FLOAT32, wide),
  ...unsloth,
  "LLaMA-Factory, LoRA, steps of 64 tokens": peer("llamafactory", SHORT, { group: "short" }),
  "qwen-pt, LoRA, steps of 64 tokens": ours({ ...SHORT, ...checkpointing(false) }, { group: "short" }),
  "LLaMA-Factory, full, float32": peer("llamafactory", { ...FULL, ...FLOAT32 }, { group: "full", ...wide }),
  ...full,
};

/**
 * The contestants of a kind of processor by name, in order; the first of each `group` is what the others of it are
 * compared with.
 */
export const contestantsOf = (processor) => (multipliesBf16(processor) ? withBf16 : withoutBf16);

/** Tokens that a contestant trains on. */
export const tokensOf = ({ keys }, steps) =>
  (keys.max_steps ?? steps) * (keys.gradient_accumulation_steps ?? 2) * (keys.cutoff_len ?? 1024);
