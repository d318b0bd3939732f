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
import { isTrackerElsewhere, trackerNames } from "../values/tracker-names.js";

const NO_HUB = "nothing is uploaded";

/** Trackers by name; "all", the installed ones, stays a word because only a machine knows them. */
function readTrackers(value: unknown): string[] {
  const given = typeof value === "string" ? value.split(",").map((name) => name.trim()) : value;
  const expected = `none, all, or some of ${trackerNames().join(", ")}`;
  if (!Array.isArray(given)) throw new Mismatch(expected);
  return given.filter((name: unknown) => {
    if (name === "none") return false;
    if (name === "all" || trackerNames().includes(name as string)) return true;
    if (typeof name === "string" && isTrackerElsewhere(name)) {
      throw new Refusal(
        `${name} is not built in; choose some of ${trackerNames().join(", ")}, or none, or register it from a program (registerTracker)`,
      );
    }
    throw new Mismatch(expected);
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
    type: "none, all, or names of trackers",
    wantsText: true,
    json: { type: ["string", "array"], items: { type: "string" } },
    doc: "Where figures go beside the log files: tensorboard, wandb, mlflow, swanlab, trackio, a list of them, or all that are installed.",
    read: readTrackers,
  }),
  logging_dir: text({
    default: null,
    doc: "Folder of TensorBoard's event files; without it a new one under output_dir/runs.",
  }),
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
  run_name: text({ default: null, doc: "Name of the run in trackers." }),
  project: text({
    default: "huggingface",
    doc: "Project in trackio, and in wandb where WANDB_PROJECT is not set.",
  }),
  trackio_space_id: text({ default: null, doc: "Space on the Hugging Face hub that shows trackio's runs." }),
  trackio_bucket_id: text({ default: null, doc: "Bucket on the hub that keeps trackio's data." }),
  trackio_static_space_id: refused(
    "no copy of the Space is published after training; remove it, or set it to false",
    anything({ default: null, doc: "Static Space that trackio publishes after training." }),
    [false],
  ),
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
  use_swanlab: flag({ default: false, doc: "Report to SwanLab, as the swanlab_ keys say." }),
  swanlab_project: text({ default: "llamafactory", doc: "Project in SwanLab, with use_swanlab." }),
  swanlab_workspace: text({ default: null, doc: "Workspace in SwanLab." }),
  swanlab_run_name: text({
    default: null,
    doc: "Name of the run in SwanLab; run_name where it is not given.",
  }),
  swanlab_mode: choice({
    default: "cloud",
    values: ["cloud", "local"],
    doc: "SwanLab in the cloud, or in a folder that swanlab watch shows.",
  }),
  swanlab_api_key: text({ default: null, doc: "Key for SwanLab's cloud; never written down." }),
  swanlab_logdir: text({ default: null, doc: "Folder of SwanLab's logs; without it output_dir/swanlog." }),
  swanlab_lark_webhook_url: text({ default: null, doc: "Lark's webhook that SwanLab tells of the end." }),
  swanlab_lark_secret: text({ default: null, doc: "Secret of Lark's webhook." }),
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
