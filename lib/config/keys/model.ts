// The schema's table of model keys: where the weights come from and how they are loaded.
import { anything, choice, flag, float, idle, inGroup, int, list, refused, silent, text } from "../key.js";
import { ropeParameters } from "../values/rope-parameters.js";

const DENSE_ONLY = "only dense Qwen3 models are trained here; remove it";
const MULTIMODAL = "Qwen3 reads text only";
const OTHER_ENGINE = "only read by an inference engine that is not used here";

export const modelKeys = inGroup("model", ["train", "export", "chat"], {
  model_name_or_path: text({
    default: "",
    defaultText: "required",
    doc: "Folder of the base model (config.json, safetensors weights, tokenizer), or its name on a hub, such as Qwen/Qwen3-0.6B: then it is downloaded into the cache.",
  }),
  adapter_name_or_path: list({
    default: null,
    doc: "Folder of a LoRA adapter, or its name on a hub, to continue training, to merge into the export or to chat with; of several (separated by commas) all but the last are merged first.",
  }),
  adapter_folder: refused(
    "write the whole path into adapter_name_or_path instead",
    text({ default: null, doc: "Sub-folder of adapter_name_or_path that holds the adapter." }),
  ),
  trust_remote_code: silent(
    "code in a model's folder is never run",
    flag({ default: false, doc: "Allow a model's folder to bring its own Python code." }),
  ),
  train_from_scratch: flag({
    default: false,
    doc: "Take only config.json and the tokenizer from model_name_or_path, and draw the weights at random.",
  }),
  rope_scaling: choice({
    default: null,
    values: ["linear", "dynamic", "yarn", "llama3"],
    doc: "Stretch the rotary positions when cutoff_len exceeds the model's max_position_embeddings.",
  }),
  rope_parameters: ropeParameters,
  flash_attn: choice({
    default: "auto",
    values: ["auto", "disabled", "sdpa", "fa2", "fa3"],
    doc: "What attends: auto, fa2 and fa3 are the flash kernel, which is built in (on a processor this package's, on a GPU libtorch's); sdpa is libtorch's own choice; disabled holds all scores in memory, as transformers' eager attention.",
  }),
  disable_gradient_checkpointing: flag({
    default: false,
    doc: "The same as gradient_checkpointing: false.",
  }),
  infer_dtype: choice({
    default: "auto",
    values: ["auto", "float16", "bfloat16", "float32"],
    doc: "Data type of the weights in export and chat; auto keeps the checkpoint's.",
  }),
  infer_backend: choice({
    default: "huggingface",
    values: ["huggingface"],
    later: ["vllm", "sglang", "ktransformers"],
    reason: "generation runs in this process; remove infer_backend",
    doc: "Inference engine; huggingface selects the built-in one.",
  }),
  use_kv_cache: silent(
    "generation always keeps a key-value cache",
    flag({ default: true, doc: "Keep keys and values of earlier tokens while generating." }),
  ),
  cache_dir: text({
    default: null,
    defaultText:
      "HF_HUB_CACHE, HF_HOME/hub or ~/.cache/huggingface/hub; MODELSCOPE_CACHE or ~/.cache/modelscope",
    doc: "Folder for downloads from a hub, in the layout of its Python client.",
  }),
  model_revision: text({
    default: "main",
    doc: "Branch, tag or commit of a model on a hub. main means master on ModelScope.",
  }),
  hf_hub_token: text({
    default: null,
    defaultText: "HF_TOKEN, or the file of `hf auth login`",
    doc: "Token for Hugging Face, for private and gated repositories. It is never written to a file; prefer the environment variable.",
  }),
  ms_hub_token: text({
    default: null,
    defaultText: "MODELSCOPE_API_TOKEN",
    doc: "Token for ModelScope, for private repositories. It is never written to a file; prefer the environment variable.",
  }),
  om_hub_token: silent(
    "the Modelers hub (USE_OPENMIND_HUB) is refused",
    text({ default: null, doc: "Token for the Modelers hub." }),
  ),
  use_fast_tokenizer: silent(
    "the fast tokenizer is the only one, with the same result",
    flag({ default: true, doc: "Use the Rust tokenizer rather than the Python one." }),
  ),
  split_special_tokens: refused(
    "special tokens in the text stay whole in this version; remove it",
    flag({ default: false, doc: "Split special tokens that occur in the text into ordinary ones." }),
  ),
  resize_vocab: flag({
    default: false,
    doc: "Enlarge the embedding to the tokenizer's size, and with LoRA train embedding and head whole unless additional_target is given; added tokens set it.",
  }),
  add_tokens: list({ default: null, doc: "Ordinary tokens to add to the tokenizer." }),
  add_special_tokens: list({ default: null, doc: "Special tokens to add to the tokenizer." }),
  new_special_tokens_config: text({
    default: null,
    doc: "YAML file of special tokens to add, each with a description; replaces add_special_tokens.",
  }),
  init_special_tokens: choice({
    default: "noise_init",
    values: ["noise_init", "desc_init", "desc_init_w_noise"],
    doc: "How the embedding's new rows are initialised: the mean of all rows with noise, or the mean of the description's rows, with noise or without.",
  }),
  low_cpu_mem_usage: silent(
    "weights are memory-mapped in any case",
    flag({ default: true, doc: "Load the weights without a second copy in memory." }),
  ),
  upcast_layernorm: flag({
    default: false,
    doc: "Keep the norms' weights in fp32; with a 16-bit checkpoint it needs bf16 or fp16.",
  }),
  upcast_lmhead_output: silent(
    "the loss is computed in fp32 in any case",
    flag({ default: false, doc: "Cast the logits to fp32." }),
  ),
  use_reentrant_gc: silent(
    "both kinds of gradient checkpointing give the same gradients",
    flag({ default: true, doc: "Kind of gradient checkpointing in PyTorch." }),
  ),
  use_unsloth: idle(
    "the built-in fused kernels are always used",
    flag({ default: false, doc: "Use unsloth's kernels." }),
  ),
  use_unsloth_gc: idle(
    "activations stay on the device",
    flag({ default: false, doc: "Move checkpointed activations to the CPU's memory." }),
  ),
  enable_liger_kernel: idle(
    "the built-in fused kernels are always used",
    flag({ default: false, doc: "Use liger's kernels." }),
  ),
  use_v1_kernels: idle(
    "the built-in fused kernels are always used",
    flag({ default: false, doc: "Use LLaMA-Factory's next generation of kernels." }),
  ),
  print_param_status: idle(
    "the counts of trainable and frozen parameters are always printed",
    flag({ default: false, doc: "Print each parameter's data type, device and whether it is trained." }),
  ),
  offload_folder: silent(
    "nothing is offloaded",
    text({ default: "offload", doc: "Folder for offloaded weights." }),
  ),
  shift_attn: refused(
    "Qwen3 has no shifted sparse attention in LLaMA-Factory either; remove it",
    flag({ default: false, doc: "LongLoRA's shifted sparse attention." }),
  ),
  mixture_of_depths: refused(
    DENSE_ONLY,
    choice({ default: null, values: ["convert", "load"], doc: "Turn the model into mixture-of-depths." }),
  ),
  moe_aux_loss_coef: refused(
    DENSE_ONLY,
    float({ default: null, doc: "Weight of the auxiliary loss of a mixture of experts." }),
  ),
  quantization_bit: int({
    default: null,
    doc: "Keep the frozen linear layers in this many bits while an adapter is trained beside them (QLoRA): 4, or 8 (LLM.int8). Quantized while they are loaded, numerically as bitsandbytes does, without a package.",
  }),
  quantization_method: text({
    default: "bnb",
    doc: "Whose formats quantization_bit means: bnb, those of bitsandbytes.",
  }),
  quantization_type: choice({
    default: "nf4",
    values: ["nf4", "fp4"],
    doc: "Data type of 4-bit weights.",
  }),
  double_quantization: flag({
    default: true,
    doc: "Quantize the scales of 4-bit weights too: 0.52 bytes a weight instead of 0.56.",
  }),
  quantization_device_map: silent(
    "a quantized model is on one device",
    text({ default: null, doc: "Device map of a quantized model." }),
  ),
  image_max_pixels: silent(MULTIMODAL, int({ default: 589824, doc: "Largest image, in pixels." })),
  image_min_pixels: silent(MULTIMODAL, int({ default: 1024, doc: "Smallest image, in pixels." })),
  image_do_pan_and_scan: silent(MULTIMODAL, flag({ default: false, doc: "Pan and scan images." })),
  crop_to_patches: silent(MULTIMODAL, flag({ default: false, doc: "Crop images to patches." })),
  video_max_pixels: silent(MULTIMODAL, int({ default: 65536, doc: "Largest video frame, in pixels." })),
  video_min_pixels: silent(MULTIMODAL, int({ default: 256, doc: "Smallest video frame, in pixels." })),
  video_fps: silent(MULTIMODAL, float({ default: 2.0, doc: "Frames a second taken from a video." })),
  video_maxlen: silent(MULTIMODAL, int({ default: 128, doc: "Most frames taken from a video." })),
  use_audio_in_video: silent(MULTIMODAL, flag({ default: false, doc: "Read a video's sound." })),
  audio_sampling_rate: silent(MULTIMODAL, int({ default: 16000, doc: "Sampling rate of sound, in hertz." })),
  use_kt: refused(DENSE_ONLY, flag({ default: false, doc: "KTransformers' experts on the CPU." })),
  kt_weight_path: silent("only read beside use_kt", text({ default: null, doc: "KTransformers' weights." })),
  kt_expert_checkpoint_path: silent(
    "only read beside use_kt",
    text({ default: null, doc: "Expert weights that KTransformers converts." }),
  ),
  kt_use_lora_experts: silent(
    "only read beside use_kt",
    flag({ default: null, doc: "LoRA experts on the GPU." }),
  ),
  kt_lora_expert_num: silent(
    "only read beside use_kt",
    int({ default: null, doc: "Number of LoRA experts." }),
  ),
  kt_lora_expert_intermediate_size: silent(
    "only read beside use_kt",
    int({ default: null, doc: "Width of a LoRA expert." }),
  ),
  vllm_maxlen: silent(OTHER_ENGINE, int({ default: 4096, doc: "Longest sequence in vLLM." })),
  vllm_gpu_util: silent(OTHER_ENGINE, float({ default: 0.7, doc: "Share of the GPU's memory for vLLM." })),
  vllm_enforce_eager: silent(OTHER_ENGINE, flag({ default: false, doc: "vLLM without CUDA graphs." })),
  vllm_max_lora_rank: silent(OTHER_ENGINE, int({ default: 32, doc: "Largest LoRA rank in vLLM." })),
  vllm_config: silent(OTHER_ENGINE, anything({ default: null, doc: "Further settings of vLLM." })),
  sglang_maxlen: silent(OTHER_ENGINE, int({ default: 4096, doc: "Longest sequence in SGLang." })),
  sglang_mem_fraction: silent(
    OTHER_ENGINE,
    float({ default: 0.7, doc: "Share of the GPU's memory for SGLang." }),
  ),
  sglang_tp_size: silent(OTHER_ENGINE, int({ default: -1, doc: "Tensor parallelism in SGLang." })),
  sglang_config: silent(OTHER_ENGINE, anything({ default: null, doc: "Further settings of SGLang." })),
  sglang_lora_backend: silent(OTHER_ENGINE, text({ default: "triton", doc: "LoRA kernels of SGLang." })),
});
