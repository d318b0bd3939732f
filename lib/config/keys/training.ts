// The schema's table of training keys: steps, optimizer, schedule, precision and the order of blocks, as transformers'
// TrainingArguments (4.57 and 5.x together) and LLaMA-Factory take them. See also inert.ts.

import {
  anything,
  choice,
  flag,
  float,
  idle,
  inGroup,
  int,
  list,
  name,
  refused,
  shareOrCount,
  silent,
  text,
} from "../key.js";
import { gradientCheckpointing } from "../values/gradient-checkpointing.js";
import { schedulerSettings } from "../values/scheduler-settings.js";

const LATER = "it is not in this version; remove it";
const COMPILED = "there is no compiler to switch on";
const FUSED = "the built-in fused kernels are always used";
const LOADER = "blocks are prefetched into memory";
const OLD = "transformers has dropped it, and it changes nothing here";

const working = {
  do_train: flag({ default: false, doc: "Train. Without it a recipe does nothing." }),
  per_device_train_batch_size: int({ default: 8, min: 1, doc: "Blocks in one forward and backward pass." }),
  gradient_accumulation_steps: int({
    default: 1,
    min: 1,
    doc: "Forward and backward passes whose gradients are accumulated before one optimizer step.",
  }),
  gradient_checkpointing: gradientCheckpointing,
  activation_offload: choice({
    default: "none",
    values: ["none", "host", "disk"],
    doc: "Where the activations that gradient checkpointing saves are stored until the backward pass: where they are computed, in the host's memory (from a GPU, pinned, without waiting), or in a file in output_dir, for long contexts.",
  }),
  learning_rate: float({ default: 5e-5, min: 0, doc: "Peak learning rate." }),
  weight_decay: float({
    default: 0.0,
    min: 0,
    doc: "Weight decay, none on biases and norms: AdamW and Adafactor shrink the weights, SGD adds it to the gradient.",
  }),
  adam_beta1: float({ default: 0.9, min: 0, below: 1, doc: "AdamW's decay of the mean of gradients." }),
  adam_beta2: float({
    default: 0.999,
    min: 0,
    below: 1,
    doc: "AdamW's decay of the mean of squared gradients.",
  }),
  adam_epsilon: float({ default: 1e-8, min: 0, doc: "AdamW's epsilon." }),
  max_grad_norm: float({ default: 1.0, min: 0, doc: "Clip the gradient's norm to this; 0 does not clip." }),
  num_train_epochs: float({ default: 3.0, above: 0, doc: "Number of epochs; may be fractional." }),
  max_steps: int({
    default: -1,
    min: -1,
    doc: "Stop after this many steps, whatever num_train_epochs says; -1 sets no limit.",
  }),
  lr_scheduler_type: choice({
    default: "linear",
    values: [
      "linear",
      "cosine",
      "cosine_with_restarts",
      "polynomial",
      "constant",
      "constant_with_warmup",
      "inverse_sqrt",
      "cosine_with_min_lr",
      "cosine_warmup_with_min_lr",
      "warmup_stable_decay",
      "reduce_lr_on_plateau",
      "greedy",
    ],
    doc: "Learning rate schedule after the warm-up; the last two follow metric_for_best_model and have no warm-up.",
  }),
  lr_scheduler_kwargs: schedulerSettings,
  warmup_ratio: float({
    default: null,
    min: 0,
    below: 1,
    doc: "Share of all steps in which the learning rate rises from 0; takes precedence over warmup_steps.",
  }),
  warmup_steps: shareOrCount({
    default: 0,
    zero: true,
    doc: "Steps in which the learning rate rises from 0; a value below 1 is a share of all steps.",
  }),
  optim: name({
    of: "an optimizer",
    default: "adamw_torch_fused",
    values: [
      "adamw_torch_fused",
      "adamw_torch",
      "adamw_bnb_8bit",
      "paged_adamw_8bit",
      "paged_adamw_32bit",
      "adafactor",
      "sgd",
    ],
    same: {
      adamw_8bit: "adamw_bnb_8bit",
      adamw_hf: "adamw_torch",
      adamw_torch_xla: "adamw_torch",
      adamw_torch_npu_fused: "adamw_torch_fused",
      adamw_apex_fused: "adamw_torch_fused",
    },
    doc: "Optimizer: adamw_torch_fused or adamw_torch (both are one fused AdamW step here); adamw_bnb_8bit, paged_adamw_8bit and paged_adamw_32bit, whose states take 8 bits or lie in a file (docs/quantization.md); adafactor, sgd, or one that a program registered.",
  }),
  optim_args: text({
    default: null,
    doc: "Further settings of the optimizer, such as momentum=0.9,nesterov=true for sgd; the others have none.",
  }),
  fp8: flag({
    default: false,
    doc: "Multiply in the blocks' linear layers in 8-bit floats, on a card of compute capability 8.9 or more (elsewhere the same numbers, slower): inputs and weights as e4m3, gradients as e5m2, each matrix by a single scale. Weights beside an adapter are kept so too, a byte each (docs/quantization.md).",
  }),
  fp8_backend: choice({
    default: "auto",
    values: ["auto", "torchao"],
    later: ["te", "msamp"],
    reason: "the products are libtorch's own, and no library is needed for them; set fp8_backend: auto",
    doc: "Library for fp8 in LLaMA-Factory: the scaled products of libtorch, which torchao uses, by either name.",
  }),
  bf16: flag({ default: false, doc: "Compute in bf16 where autocast does, with fp32 trained weights." }),
  fp16: flag({ default: false, doc: "Compute in fp16 where autocast does, with loss scaling." }),
  tf32: flag({ default: null, doc: "Allow TF32 in fp32 matrix products on a GPU; null leaves it as it is." }),
  use_cpu: flag({ default: false, doc: "Train on the CPU even if there is a GPU." }),
  no_cuda: flag({ default: false, doc: "Older name of use_cpu." }),
  seed: int({
    default: 42,
    min: 0,
    max: 2 ** 32 - 1,
    doc: "Seed of the adapter's first weights, dropout and the order of blocks.",
  }),
  data_seed: int({
    default: null,
    min: 0,
    max: 2 ** 32 - 1,
    doc: "Seed of the order of blocks, instead of seed.",
  }),
  disable_shuffling: flag({ default: false, doc: "Take the blocks in order in every epoch." }),
  dataloader_drop_last: flag({ default: false, doc: "Drop the last batch if it is not full." }),
};

const noise = {
  neftune_noise_alpha: float({
    default: null,
    min: 0,
    doc: "NEFTune: noise of this size over sqrt(length x width) on the embeddings while training, such as 5.",
  }),
  full_determinism: flag({
    default: false,
    doc: "Use only deterministic kernels on a GPU; an operator without one stops the run. On the CPU all kernels are deterministic.",
  }),
};

const optimization = {
  optim_target_modules: refused(
    "GaLore and APOLLO are not in this version; remove it",
    anything({ default: null, doc: "Modules of GaLore or APOLLO." }),
  ),
  adafactor: refused("write optim: adafactor instead", flag({ default: false, doc: "Use Adafactor." })),
  label_smoothing_factor: refused(LATER, float({ default: 0.0, doc: "Label smoothing." })),
  auto_find_batch_size: idle(
    "a batch that does not fit stops the run; lower per_device_train_batch_size",
    flag({ default: false, doc: "Halve the batch until it fits." }),
  ),
  gradient_checkpointing_kwargs: silent(
    "there is only one implementation of gradient checkpointing",
    anything({ default: null, doc: "Settings of gradient checkpointing." }),
  ),
  fp8_enable_fsdp_float8_all_gather: idle(
    "weights are gathered as they are stored",
    flag({ default: false, doc: "Gather weights in fp8." }),
  ),
  fp16_backend: silent(OLD, text({ default: "auto", doc: "Library for fp16." })),
  fp16_opt_level: silent(OLD, text({ default: "O1", doc: "apex's level." })),
  half_precision_backend: silent(OLD, text({ default: "auto", doc: "Library for mixed precision." })),
  torch_compile: idle(COMPILED, flag({ default: false, doc: "Compile the model." })),
  torch_compile_backend: idle(COMPILED, text({ default: null, doc: "Compiler." })),
  torch_compile_mode: idle(COMPILED, text({ default: null, doc: "The compiler's mode." })),
  torchdynamo: idle(COMPILED, text({ default: null, doc: "Compiler." })),
  jit_mode_eval: silent(OLD, flag({ default: false, doc: "TorchScript in evaluation." })),
  use_ipex: idle(FUSED, flag({ default: false, doc: "Intel's extension for PyTorch." })),
  use_liger_kernel: idle(FUSED, flag({ default: false, doc: "Use liger's kernels." })),
  liger_kernel_config: silent(FUSED, anything({ default: null, doc: "Which of liger's kernels." })),
  use_cache: silent(
    "training keeps no key-value cache",
    flag({ default: false, doc: "Key-value cache while training." }),
  ),
  torch_empty_cache_steps: idle(
    "freed memory is reused immediately",
    int({ default: null, doc: "Empty the GPU's cache every this many steps." }),
  ),
  ignore_data_skip: refused(
    "a resumed run continues with the next block, so that it equals an uninterrupted run; remove it",
    flag({ default: false, doc: "Start over with the first block when resuming." }),
  ),
  restore_callback_states_from_checkpoint: silent(
    "there are no callbacks with a state",
    flag({ default: false, doc: "Restore callbacks when resuming." }),
  ),
};

const data = {
  train_sampling_strategy: choice({
    default: "random",
    values: ["random"],
    later: ["sequential", "group_by_length"],
    reason: "for blocks in order use disable_shuffling: true",
    doc: "Order of blocks.",
  }),
  group_by_length: refused(
    "blocks have one length when packed; remove it",
    flag({ default: false, doc: "Batch documents of like length." }),
  ),
  length_column_name: silent(
    "only read when grouping by length, which is refused",
    text({ default: "length", doc: "Column of lengths." }),
  ),
  dataloader_num_workers: silent(LOADER, int({ default: 0, min: 0, doc: "Processes that load data." })),
  dataloader_pin_memory: silent(LOADER, flag({ default: true, doc: "Pinned memory." })),
  dataloader_persistent_workers: silent(
    LOADER,
    flag({ default: false, doc: "Keep loading processes between epochs." }),
  ),
  dataloader_prefetch_factor: silent(LOADER, int({ default: null, doc: "Batches loaded ahead." })),
  remove_unused_columns: silent(
    "LLaMA-Factory forces it off",
    flag({ default: true, doc: "Drop columns that the model does not take." }),
  ),
  label_names: silent(
    "labels are made from the blocks",
    list({ default: null, doc: "Names of the labels." }),
  ),
  sortish_sampler: silent(OLD, flag({ default: false, doc: "Roughly sorted documents." })),
};

export const trainingKeys = inGroup("training", ["train"], {
  ...working,
  ...noise,
  ...optimization,
  ...data,
});
