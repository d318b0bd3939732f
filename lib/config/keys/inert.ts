// The schema's table of training keys that this version has no use for: other launchers and devices, diagnosis.
import { anything, flag, idle, inGroup, int, refused, silent, text } from "../key.js";

const OLD = "transformers has dropped it, and it changes nothing here";

const launchers = {
  accelerator_config: refused(
    "accelerate is not used; remove it",
    anything({ default: null, doc: "Settings of accelerate." }),
  ),
  mp_parameters: silent(OLD, text({ default: "", doc: "SageMaker's model parallelism." })),
  ray_num_workers: silent("Ray is not used", int({ default: 1, doc: "Ray's workers." })),
  ray_init_kwargs: silent("Ray is not used", anything({ default: null, doc: "Ray's settings." })),
  ray_scope: silent("Ray is not used", text({ default: "last", doc: "Ray's scope of a search." })),
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

export const inertKeys = inGroup("training", ["train"], { ...launchers, ...diagnosis });
