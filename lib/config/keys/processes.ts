// The schema's table of keys about several processes: how many, how long they wait for each other, and what of a model is
// divided among them.
import { anything, flag, float, inGroup, int, silent, text } from "../key.js";
import { fsdpWords, settingsKey } from "../values/sharding.js";

const SUMMED = "gradients are summed once a window, by torchrun's environment or nproc_per_node";
const BY_ENVIRONMENT = "torchrun's environment says it (RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT)";
const BY_BLOCK = "the model is divided block by block";

/** The keys, by name. */
export const processKeys = inGroup("training", ["train"], {
  nproc_per_node: int({
    default: null,
    min: 1,
    doc: "Processes that `qwen-pt train` starts on this machine; its threads are divided among them. By default one for each GPU where NCCL's library is built, else one. See docs/distributed.md.",
  }),
  ddp_timeout: int({
    default: 1800,
    min: 1,
    doc: "Seconds after which a collective of several processes gives up. A rank that is lost is found earlier: heartbeat_timeout.",
  }),
  heartbeat_timeout: float({
    default: 60,
    above: 0,
    doc: "Seconds without a sign of life after which a process of several counts as lost and all others end.",
  }),
  ddp_backend: text({
    default: null,
    doc: "Library between processes: nccl on GPUs (needs a library that `node scripts/nccl.mjs` builds), gloo on the processor; by default the one that fits. Another is refused where there are several processes.",
  }),
  ddp_find_unused_parameters: silent(SUMMED, flag({ default: null, doc: "Search for unused parameters." })),
  ddp_bucket_cap_mb: silent(SUMMED, int({ default: null, doc: "Size of gradient buckets." })),
  ddp_broadcast_buffers: silent(
    "no buffer of these models changes",
    flag({ default: null, doc: "Send buffers to all processes." }),
  ),
  ddp_static_graph: silent(SUMMED, flag({ default: null, doc: "The graph does not change." })),
  local_rank: silent(BY_ENVIRONMENT, int({ default: -1, doc: "Number of the process on its machine." })),
  master_addr: silent(BY_ENVIRONMENT, text({ default: null, doc: "Address of the first process." })),
  master_port: silent(BY_ENVIRONMENT, anything({ default: null, doc: "Port of the first process." })),
  average_tokens_across_devices: flag({
    default: true,
    doc: "Divide the loss by the tokens of all processes. `false` is refused where there are several.",
  }),
  deepspeed: settingsKey(
    "DeepSpeed's configuration, a JSON file: of zero_optimization.stage 0 nothing is divided, 1 and 2 are fsdp: shard_grad_op, 3 is full_shard. A setting that cannot be taken is refused by its name.",
  ),
  fsdp: fsdpWords,
  fsdp_config: settingsKey(
    "Settings of fsdp, keys or a JSON file: backward_prefetch (backward_pre), forward_prefetch, reshard_after_forward and activation_checkpointing are obeyed; those that change no result are accepted.",
  ),
  fsdp_min_num_params: silent(BY_BLOCK, int({ default: 0, doc: "Smallest wrapped module." })),
  fsdp_transformer_layer_cls_to_wrap: silent(BY_BLOCK, text({ default: null, doc: "Wrapped layer." })),
  parallelism_config: settingsKey(
    "accelerate's ParallelismConfig, keys or a JSON file: cp_size processes next to each other share the rows of a batch, each with a part of every row (ring attention). Other divisions are refused by their key; fsdp goes with it.",
  ),
});
