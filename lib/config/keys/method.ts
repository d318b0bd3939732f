// The schema's table of method keys: what is trained (adapter, some layers, everything) and by which variant.
import { choice, flag, float, inGroup, int, list, refused, silent, text } from "../key.js";

const LATER = "it is not in this version; remove it";
const PREFERENCE = "only read in preference or reward training";
const OFT = "only read with finetuning_type: oft, which is refused";
const GALORE = "only read beside use_galore, which is refused";
const APOLLO = "only read beside use_apollo, which is refused";
const BADAM = "only read beside use_badam, which is refused";
const SFT = "only read in supervised fine-tuning";
const VISION = "Qwen3 reads text only";
const OPTIMIZER = "this optimizer is not in this version; remove it";

const lora = inGroup("method", ["train"], {
  lora_rank: int({ default: 8, min: 1, doc: "Rank of the LoRA matrices." }),
  lora_alpha: int({
    default: 0,
    min: 0,
    defaultText: "twice lora_rank",
    doc: "LoRA's update is scaled by lora_alpha / lora_rank; 0 means twice the rank.",
  }),
  lora_dropout: float({ default: 0.0, min: 0, below: 1, doc: "Dropout on the input of the LoRA matrices." }),
  lora_target: list({
    default: ["all"],
    doc: "Names of the linear layers that get an adapter, such as q_proj,v_proj; all means every one but the head.",
  }),
  additional_target: list({
    default: null,
    doc: "Modules beside the adapter that are trained and saved as a whole, such as embed_tokens,lm_head.",
  }),
  create_new_adapter: flag({
    default: false,
    doc: "Merge all of adapter_name_or_path into the model and start a new adapter, instead of training the last one on.",
  }),
  use_rslora: flag({
    default: false,
    doc: "Scale by lora_alpha / sqrt(lora_rank), so that higher ranks learn as fast.",
  }),
  use_dora: flag({
    default: false,
    doc: "Weight-decomposed LoRA: the lengths of the adapted weight's rows are trained separately.",
  }),
  pissa_init: flag({
    default: false,
    doc: "Start the adapter from the weights' leading singular vectors, which leave the base weights.",
  }),
  pissa_iter: int({
    default: 16,
    min: -1,
    doc: "Iterations of PiSSA's fast decomposition; -1 decomposes exactly, which is slow.",
  }),
  pissa_convert: flag({
    default: false,
    doc: "Write pissa_converted too: the PiSSA adapter as plain LoRA of twice the rank, for the untouched base model.",
  }),
  loraplus_lr_ratio: float({
    default: null,
    above: 0,
    doc: "LoRA+: the learning rate of B over that of A, such as 16.",
  }),
  loraplus_lr_embedding: silent(
    "no adapter is put on an embedding: additional_target trains it whole",
    float({ default: 1e-6, doc: "LoRA+: learning rate of embedding adapters." }),
  ),
  module_dropout: silent(OFT, float({ default: 0.0, doc: "OFT: share of blocks set to the identity." })),
  oft_rank: silent(OFT, int({ default: 0, doc: "OFT's rank." })),
  oft_block_size: silent(OFT, int({ default: 32, doc: "OFT's block size." })),
  oft_target: silent(OFT, list({ default: ["all"], doc: "OFT's target modules." })),
});

const freeze = inGroup("method", ["train"], {
  freeze_trainable_layers: int({
    default: 2,
    doc: "With finetuning_type: freeze, train this many of the last layers; a negative number trains the first ones.",
  }),
  freeze_trainable_modules: list({
    default: ["all"],
    doc: "Modules of those layers to train, such as self_attn,mlp; all means the whole layer.",
  }),
  freeze_extra_modules: list({
    default: null,
    doc: "Modules outside the layers to train as well, such as embed_tokens,norm.",
  }),
  use_llama_pro: refused(
    LATER,
    flag({ default: false, doc: "Train the blocks that a block expansion added." }),
  ),
  freeze_vision_tower: silent(VISION, flag({ default: true, doc: "Do not train the vision tower." })),
  freeze_multi_modal_projector: silent(VISION, flag({ default: true, doc: "Do not train the projector." })),
  freeze_language_model: silent(
    VISION,
    flag({ default: false, doc: "Do not train the language model of a vision model." }),
  ),
});

const variants = inGroup("method", ["train"], {
  use_galore: refused(OPTIMIZER, flag({ default: false, doc: "GaLore: low-rank projected gradients." })),
  galore_target: silent(GALORE, list({ default: ["all"], doc: "GaLore's target modules." })),
  galore_rank: silent(GALORE, int({ default: 16, doc: "GaLore's rank." })),
  galore_update_interval: silent(GALORE, int({ default: 200, doc: "Steps between GaLore's projections." })),
  galore_scale: silent(GALORE, float({ default: 2.0, doc: "GaLore's scale." })),
  galore_proj_type: silent(GALORE, text({ default: "std", doc: "GaLore's kind of projection." })),
  galore_layerwise: silent(GALORE, flag({ default: false, doc: "GaLore layer by layer." })),
  use_apollo: refused(OPTIMIZER, flag({ default: false, doc: "APOLLO: approximated gradient scaling." })),
  apollo_target: silent(APOLLO, list({ default: ["all"], doc: "APOLLO's target modules." })),
  apollo_rank: silent(APOLLO, int({ default: 16, doc: "APOLLO's rank." })),
  apollo_update_interval: silent(APOLLO, int({ default: 200, doc: "Steps between APOLLO's projections." })),
  apollo_scale: silent(APOLLO, float({ default: 32.0, doc: "APOLLO's scale." })),
  apollo_proj: silent(APOLLO, text({ default: "random", doc: "APOLLO's projection." })),
  apollo_proj_type: silent(APOLLO, text({ default: "std", doc: "APOLLO's kind of projection." })),
  apollo_scale_type: silent(APOLLO, text({ default: "channel", doc: "APOLLO's kind of scaling." })),
  apollo_layerwise: silent(APOLLO, flag({ default: false, doc: "APOLLO layer by layer." })),
  apollo_scale_front: silent(APOLLO, flag({ default: false, doc: "Scale before APOLLO's norm limiter." })),
  use_badam: refused(OPTIMIZER, flag({ default: false, doc: "BAdam: block-wise Adam." })),
  badam_mode: silent(BADAM, text({ default: "layer", doc: "BAdam's mode." })),
  badam_start_block: silent(BADAM, int({ default: null, doc: "BAdam's first block." })),
  badam_switch_mode: silent(BADAM, text({ default: "ascending", doc: "Order of BAdam's blocks." })),
  badam_switch_interval: silent(BADAM, int({ default: 50, doc: "Steps a BAdam block." })),
  badam_update_ratio: silent(BADAM, float({ default: 0.05, doc: "BAdam's update ratio." })),
  badam_mask_mode: silent(BADAM, text({ default: "adjacent", doc: "BAdam's mask." })),
  badam_verbose: silent(BADAM, int({ default: 0, doc: "What BAdam prints." })),
  use_adam_mini: refused(OPTIMIZER, flag({ default: false, doc: "Adam-mini." })),
  use_muon: refused(OPTIMIZER, flag({ default: false, doc: "Muon for matrices." })),
  use_mca: refused(LATER, flag({ default: false, doc: "Megatron through mcore_adapter." })),
  use_megatron_bridge: refused(LATER, flag({ default: false, doc: "Megatron through its bridge." })),
  use_hyper_parallel: refused(LATER, flag({ default: false, doc: "HyperParallel." })),
  hyper_parallel_args: silent(
    "only read beside use_hyper_parallel",
    text({ default: null, doc: "HyperParallel's settings." }),
  ),
  use_dft_loss: silent(SFT, flag({ default: false, doc: "DFT's loss." })),
  use_asft_loss: silent(SFT, flag({ default: false, doc: "ASFT's loss." })),
  asft_alpha: silent(SFT, float({ default: 0.1, doc: "ASFT's weight." })),
  use_eaft_loss: silent(SFT, flag({ default: false, doc: "EAFT's loss." })),
  eaft_alpha: silent(SFT, float({ default: 1.0, doc: "EAFT's weight." })),
  compute_accuracy: silent(
    "incremental pre-training computes none",
    flag({ default: false, doc: "Token accuracy." }),
  ),
});

const preference = inGroup("method", ["train"], {
  pref_beta: silent(PREFERENCE, float({ default: 0.1, doc: "Beta of the preference loss." })),
  pref_ftx: silent(PREFERENCE, float({ default: 0.0, doc: "Weight of the supervised loss in DPO." })),
  pref_bco_weight: silent(PREFERENCE, float({ default: 0.0, doc: "Weight of the BCO loss." })),
  pref_loss: silent(PREFERENCE, text({ default: "sigmoid", doc: "Preference loss." })),
  dpo_label_smoothing: silent(PREFERENCE, float({ default: 0.0, doc: "Label smoothing in DPO." })),
  kto_chosen_weight: silent(PREFERENCE, float({ default: 1.0, doc: "KTO's weight of chosen answers." })),
  kto_rejected_weight: silent(PREFERENCE, float({ default: 1.0, doc: "KTO's weight of rejected answers." })),
  simpo_gamma: silent(PREFERENCE, float({ default: 0.5, doc: "SimPO's margin." })),
  ppo_buffer_size: silent(PREFERENCE, int({ default: 1, doc: "PPO's buffer." })),
  ppo_epochs: silent(PREFERENCE, int({ default: 4, doc: "PPO's epochs a step." })),
  ppo_score_norm: silent(PREFERENCE, flag({ default: false, doc: "Normalise PPO's scores." })),
  ppo_target: silent(PREFERENCE, float({ default: 6.0, doc: "PPO's target KL." })),
  ppo_whiten_rewards: silent(PREFERENCE, flag({ default: false, doc: "Whiten PPO's rewards." })),
  ref_model: silent(PREFERENCE, text({ default: null, doc: "Reference model." })),
  ref_model_adapters: silent(PREFERENCE, text({ default: null, doc: "The reference model's adapters." })),
  ref_model_quantization_bit: silent(PREFERENCE, int({ default: null, doc: "The reference model's bits." })),
  reward_model: silent(PREFERENCE, text({ default: null, doc: "Reward model." })),
  reward_model_adapters: silent(PREFERENCE, text({ default: null, doc: "The reward model's adapters." })),
  reward_model_quantization_bit: silent(PREFERENCE, int({ default: null, doc: "The reward model's bits." })),
  reward_model_type: silent(PREFERENCE, text({ default: "lora", doc: "Kind of reward model." })),
  ld_alpha: silent(PREFERENCE, float({ default: null, doc: "LD-DPO's weight." })),
});

export const methodKeys = {
  ...inGroup("method", ["train"], {
    stage: choice({
      default: "pt",
      values: ["pt"],
      later: ["sft", "rm", "ppo", "dpo", "kto"],
      reason: "only incremental pre-training is done here",
      doc: "Kind of training; pt is incremental pre-training.",
    }),
    pure_bf16: flag({
      default: false,
      doc: "Train in bf16 throughout, without fp32 copies of the trained weights.",
    }),
  }),
  ...inGroup("method", ["train", "export", "chat"], {
    finetuning_type: choice({
      default: "lora",
      values: ["lora", "freeze", "full"],
      later: ["oft"],
      doc: "What is trained: an adapter (lora), some layers (freeze) or every weight (full).",
    }),
  }),
  ...lora,
  ...freeze,
  ...variants,
  ...preference,
};
