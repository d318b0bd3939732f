// The schema's table of training keys that this version has no use for: several processes, diagnosis.
import { anything, flag, idle, inGroup, int, refused, silent, text } from "../key.js";

const ONE_PROCESS = "training runs in one process in this version; remove it";
const UNUSED_PROCESSES = "training runs in one process in this version";
const OLD = "transformers has dropped it, and it changes nothing here";

const processes = {
  ddp_timeout: silent(
    UNUSED_PROCESSES,
    int({ default: 1800, doc: "Seconds that processes wait for each other." }),
  ),
  ddp_backend: silent(UNUSED_PROCESSES, text({ default: null, doc: "Library between processes." })),
  ddp_find_unused_parameters: silent(
    UNUSED_PROCESSES,
    flag({ default: null, doc: "Search for unused parameters." }),
  ),
  ddp_bucket_cap_mb: silent(UNUSED_PROCESSES, int({ default: null, doc: "Size of gradient buckets." })),
  ddp_broadcast_buffers: silent(
    UNUSED_PROCESSES,
    flag({ default: null, doc: "Send buffers to all processes." }),
  ),
  ddp_static_graph: silent(UNUSED_PROCESSES, flag({ default: null, doc: "The graph does not change." })),
  local_rank: silent(UNUSED_PROCESSES, int({ default: -1, doc: "Number of the process on its machine." })),
  deepspeed: refused(ONE_PROCESS, anything({ default: null, doc: "DeepSpeed's configuration." })),
  fsdp: refused(ONE_PROCESS, anything({ default: null, doc: "Fully sharded data parallelism." })),
  fsdp_config: silent(
    "only read beside fsdp, which is refused",
    anything({ default: null, doc: "Settings of fsdp." }),
  ),
  fsdp_min_num_params: silent(
    "only read beside fsdp, which is refused",
    int({ default: 0, doc: "Smallest wrapped module." }),
  ),
  fsdp_transformer_layer_cls_to_wrap: silent(
    "only read beside fsdp, which is refused",
    text({ default: null, doc: "Wrapped layer." }),
  ),
  accelerator_config: refused(
    "accelerate is not used; remove it",
    anything({ default: null, doc: "Settings of accelerate." }),
  ),
  parallelism_config: refused(
    ONE_PROCESS,
    anything({ default: null, doc: "Tensor, context and pipeline parallelism." }),
  ),
  mp_parameters: silent(OLD, text({ default: "", doc: "SageMaker's model parallelism." })),
  ray_num_workers: silent("Ray is not used", int({ default: 1, doc: "Ray's workers." })),
  ray_init_kwargs: silent("Ray is not used", anything({ default: null, doc: "Ray's settings." })),
  ray_scope: silent("Ray is not used", text({ default: "last", doc: "Ray's scope of a search." })),
  master_addr: silent(UNUSED_PROCESSES, text({ default: null, doc: "Address of the first process." })),
  master_port: silent(UNUSED_PROCESSES, anything({ default: null, doc: "Port of the first process." })),
  tpu_num_cores: silent("there are no TPUs here", int({ default: null, doc: "TPU cores." })),
  tpu_metrics_debug: silent("there are no TPUs here", flag({ default: false, doc: "TPU metrics." })),
  use_mps_device: silent(OLD, flag({ default: false, doc: "Apple's GPU." })),
};

const diagnosis = {
  debug: idle("there is nothing to switch on", text({ default: null, doc: "transformers' debugging aids." })),
  enable_torch_profiler: idle(
    "there is no profiler in this version",
    flag({ default: false, doc: "Profile the run." }),
  ),
  profiler_output_dir: silent(
    "there is no profiler in this version",
    text({ default: null, doc: "Folder of profiles." }),
  ),
  profiler_wait_steps: silent(
    "there is no profiler in this version",
    int({ default: 1, doc: "Steps before profiling." }),
  ),
  profiler_warmup_steps: silent(
    "there is no profiler in this version",
    int({ default: 1, doc: "Warm-up steps of a profile." }),
  ),
  profiler_active_steps: silent(
    "there is no profiler in this version",
    int({ default: 1, doc: "Steps of a profile." }),
  ),
  profiler_repeat: silent(
    "there is no profiler in this version",
    int({ default: 1, doc: "Number of profiles." }),
  ),
  profiler_record_shapes: silent(
    "there is no profiler in this version",
    flag({ default: true, doc: "Shapes in the profile." }),
  ),
  profiler_profile_memory: silent(
    "there is no profiler in this version",
    flag({ default: true, doc: "Memory in the profile." }),
  ),
  profiler_with_stack: silent(
    "there is no profiler in this version",
    flag({ default: true, doc: "Stacks in the profile." }),
  ),
  profile_modules: idle(
    "there is no profiler in this version",
    text({ default: null, doc: "Modules to time." }),
  ),
  past_index: silent(OLD, int({ default: -1, doc: "Index of past states." })),
  per_gpu_train_batch_size: refused(
    "write per_device_train_batch_size",
    int({ default: null, doc: "Older name of per_device_train_batch_size." }),
  ),
  per_gpu_eval_batch_size: refused(
    "write per_device_eval_batch_size",
    int({ default: null, doc: "Older name of per_device_eval_batch_size." }),
  ),
  use_legacy_prediction_loop: silent(OLD, flag({ default: false, doc: "Older evaluation loop." })),
};

export const inertKeys = inGroup("training", ["train"], { ...processes, ...diagnosis });
