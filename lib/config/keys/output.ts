// The schema's table of output keys: what a run writes, logs and reports, and what an export writes.
import {
  anything,
  choice,
  custom,
  flag,
  idle,
  inGroup,
  int,
  list,
  Mismatch,
  Refusal,
  refused,
  shareOrCount,
  silent,
  text,
} from "../key.js";

const TRACKERS = [
  "wandb",
  "tensorboard",
  "swanlab",
  "mlflow",
  "trackio",
  "azure_ml",
  "comet_ml",
  "neptune",
  "codecarbon",
  "clearml",
  "dagshub",
  "flyte",
  "dvclive",
  "kubeflow",
];
const NO_HUB = "nothing is uploaded";
const SWANLAB = "only read beside use_swanlab, which is refused";
const TRACKIO = "only read by trackio, which is not in this version";

/** Trackers. "all" stands for every tracker that is there, and none is: rules/train.ts says so and empties the list. */
function readTrackers(value: unknown): string[] {
  const names = typeof value === "string" ? value.split(",").map((name) => name.trim()) : value;
  if (!Array.isArray(names)) throw new Mismatch("none");
  return names.filter((name: unknown) => {
    if (name === "none") return false;
    if (name === "all") return true;
    if (TRACKERS.includes(name as string)) {
      throw new Refusal(
        "no tracker is available in this version; set report_to: none (the loss goes to trainer_log.jsonl and, with plot_loss, to training_loss.png)",
      );
    }
    throw new Mismatch("none");
  });
}

const run = inGroup("output", ["train"], {
  output_dir: text({
    default: "trainer_output",
    doc: "Folder for the adapter or model, the checkpoints and the logs.",
  }),
  overwrite_output_dir: flag({
    default: false,
    doc: "Start over in a folder that holds an earlier run; without it the last checkpoint there is resumed.",
  }),
  resume_from_checkpoint: custom<string | true | null>({
    default: null,
    type: "the path of a checkpoint, true, or null",
    wantsText: true,
    json: { type: ["string", "boolean"] },
    doc: "Checkpoint folder to resume from; true takes the last one in output_dir.",
    read(value) {
      if (value === false) return null;
      if (value === true || (typeof value === "string" && value !== "")) return value;
      throw new Mismatch("the path of a checkpoint, true, or null");
    },
  }),
  logging_steps: shareOrCount({
    default: 500,
    zero: false,
    doc: "Log the loss every this many steps; a value below 1 is a share of all steps.",
  }),
  logging_first_step: flag({ default: false, doc: "Log the first step too." }),
  logging_strategy: choice({
    default: "steps",
    values: ["no", "steps", "epoch"],
    doc: "When to log: every logging_steps, at the end of each epoch, or never.",
  }),
  save_steps: shareOrCount({
    default: 500,
    zero: false,
    doc: "Write a checkpoint every this many steps; a value below 1 is a share of all steps.",
  }),
  save_strategy: choice({
    default: "steps",
    values: ["no", "steps", "epoch", "best"],
    doc: "When to write checkpoints: every save_steps and at the end, after each epoch, or when an evaluation is the best so far.",
  }),
  save_total_limit: int({
    default: null,
    min: 1,
    doc: "Keep this many checkpoints, the newest ones and the best one.",
  }),
  save_only_model: flag({
    default: false,
    doc: "Leave the optimizer's and the random state out of checkpoints, which then cannot be resumed exactly.",
  }),
  plot_loss: flag({
    default: false,
    doc: "Plot training_loss.png, and training_eval_loss.png if there are evaluations.",
  }),
  include_num_input_tokens_seen: custom<"no" | "all" | "non_padding", boolean | "no" | "all" | "non_padding">(
    {
      default: "no",
      type: "true, false, all, non_padding or no",
      wantsText: true,
      json: { enum: [true, false, "no", "all", "non_padding"] },
      doc: "Log the number of tokens seen: all of them (true, all), or without padding (non_padding).",
      read(value) {
        if (value === true || value === "all") return "all";
        if (value === false || value === "no") return "no";
        if (value === "non_padding") return value;
        throw new Mismatch("true, false, all, non_padding or no");
      },
    },
  ),
  report_to: custom<string[], string | readonly string[]>({
    default: [],
    defaultText: "none",
    type: "none",
    wantsText: true,
    json: { type: ["string", "array"], items: { type: "string" } },
    doc: "Trackers to report to; none is built in yet, so all means none.",
    read: readTrackers,
  }),
  logging_dir: silent(
    "only read by tensorboard",
    text({ default: null, doc: "Folder of tensorboard's logs." }),
  ),
  logging_nan_inf_filter: idle(
    "a loss that is not finite is always reported and its step skipped",
    flag({ default: true, doc: "Leave losses that are not finite out of the logged mean." }),
  ),
  log_on_each_node: silent("there is one process", flag({ default: true, doc: "Log on each node." })),
  log_level: silent("messages are always shown", text({ default: "passive", doc: "Verbosity." })),
  log_level_replica: silent(
    "there is one process",
    text({ default: "warning", doc: "Verbosity of other processes." }),
  ),
  disable_tqdm: idle(
    "the progress bar shows on a terminal only, lines are printed elsewhere",
    flag({ default: null, doc: "Show no progress bar." }),
  ),
  run_name: silent("only read by trackers", text({ default: null, doc: "Name of the run in trackers." })),
  project: silent(TRACKIO, text({ default: "huggingface", doc: "Project in trackio." })),
  trackio_space_id: silent(TRACKIO, text({ default: null, doc: "Space of trackio." })),
  trackio_bucket_id: silent(TRACKIO, text({ default: null, doc: "Bucket of trackio." })),
  trackio_static_space_id: silent(TRACKIO, anything({ default: null, doc: "Static space of trackio." })),
  include_tokens_per_second: idle(
    "tokens a second are always shown",
    flag({ default: false, doc: "Add tokens a second to the metrics." }),
  ),
  include_effective_tokens_per_second: silent(
    "incremental pre-training does not report it in LLaMA-Factory either",
    flag({ default: false, doc: "Effective tokens a second." }),
  ),
  skip_memory_metrics: silent(
    "memory is shown with each step",
    flag({ default: true, doc: "No memory metrics." }),
  ),
  save_safetensors: idle(
    "weights are always written as safetensors",
    flag({ default: true, doc: "Write safetensors rather than pickles." }),
  ),
  save_on_each_node: silent("there is one process", flag({ default: false, doc: "Save on each node." })),
  enable_jit_checkpoint: silent(
    "SIGTERM always saves a checkpoint",
    flag({ default: false, doc: "Save a checkpoint on SIGTERM." }),
  ),
  push_to_hub: refused(
    "nothing is uploaded in this version; remove it and upload output_dir yourself",
    flag({ default: false, doc: "Upload the result to the Hugging Face hub." }),
  ),
  push_to_hub_model_id: silent(NO_HUB, text({ default: null, doc: "Name on the hub." })),
  push_to_hub_organization: silent(NO_HUB, text({ default: null, doc: "Organization on the hub." })),
  push_to_hub_token: silent(NO_HUB, text({ default: null, doc: "Token for the hub." })),
  hub_token: silent(NO_HUB, text({ default: null, doc: "Token for the hub." })),
  hub_private_repo: silent(NO_HUB, flag({ default: null, doc: "Upload to a private repository." })),
  hub_model_id: silent(NO_HUB, text({ default: null, doc: "Name on the hub." })),
  hub_strategy: silent(NO_HUB, text({ default: "every_save", doc: "When to upload." })),
  hub_always_push: silent(NO_HUB, flag({ default: false, doc: "Upload even if an upload still runs." })),
  hub_revision: silent(NO_HUB, text({ default: null, doc: "Branch on the hub." })),
  use_swanlab: refused(
    "no tracker is available in this version; remove it",
    flag({ default: false, doc: "Report to SwanLab." }),
  ),
  swanlab_project: silent(SWANLAB, text({ default: "llamafactory", doc: "Project in SwanLab." })),
  swanlab_workspace: silent(SWANLAB, text({ default: null, doc: "Workspace in SwanLab." })),
  swanlab_run_name: silent(SWANLAB, text({ default: null, doc: "Name of the run in SwanLab." })),
  swanlab_mode: silent(SWANLAB, text({ default: "cloud", doc: "SwanLab in the cloud or local." })),
  swanlab_api_key: silent(SWANLAB, text({ default: null, doc: "Key for SwanLab." })),
  swanlab_logdir: silent(SWANLAB, text({ default: null, doc: "Folder of SwanLab's logs." })),
  swanlab_lark_webhook_url: silent(SWANLAB, text({ default: null, doc: "Lark's webhook for SwanLab." })),
  swanlab_lark_secret: silent(SWANLAB, text({ default: null, doc: "Lark's secret for SwanLab." })),
});

const exported = inGroup("output", ["export"], {
  export_dir: text({ default: "", defaultText: "required by export", doc: "Folder for the merged model." }),
  export_size: int({ default: 5, min: 1, doc: "Maximum size of one weight file, in gigabytes." }),
  export_device: choice({
    default: "cpu",
    values: ["cpu", "auto"],
    doc: "Where to merge; auto takes a GPU if there is one.",
  }),
  export_quantization_bit: refused(
    "an export is not quantized in this version; remove it",
    int({ default: null, doc: "Bits to quantize the export to." }),
  ),
  export_quantization_dataset: silent(
    "only read beside export_quantization_bit, which is refused",
    list({ default: null, doc: "Data to calibrate the quantization on." }),
  ),
  export_quantization_nsamples: silent(
    "only read beside export_quantization_bit, which is refused",
    int({ default: 128, doc: "Samples to calibrate on." }),
  ),
  export_quantization_maxlen: silent(
    "only read beside export_quantization_bit, which is refused",
    int({ default: 1024, doc: "Longest sample to calibrate on." }),
  ),
  export_legacy_format: refused(
    "weights are always written as safetensors; remove it",
    flag({ default: false, doc: "Write pickles instead of safetensors." }),
  ),
  export_hub_model_id: refused(
    "nothing is uploaded in this version; remove it and upload export_dir yourself",
    text({ default: null, doc: "Name of the uploaded model on the hub." }),
  ),
});

export const outputKeys = { ...run, ...exported };
