// The schema's table of evaluation keys: when the loss on held-out data is taken, and what follows from it.
import {
  anything,
  choice,
  flag,
  float,
  inGroup,
  int,
  list,
  refused,
  shareOrCount,
  silent,
  text,
} from "../key.js";

const LOSS_ONLY = "evaluation reports only the loss and its perplexity";
const PREDICTION = "only read when predicting";

const working = {
  do_eval: flag({
    default: false,
    doc: "Evaluate after training, on eval_dataset or the val_size held out: eval_results.json, with perplexity.",
  }),
  eval_strategy: choice({
    default: "no",
    values: ["no", "steps", "epoch"],
    doc: "When to evaluate during training; any value other than no turns on do_eval.",
  }),
  eval_steps: shareOrCount({
    default: null,
    zero: true,
    doc: "With eval_strategy: steps, evaluate every this many steps; a value below 1 is a share of all steps. Default: logging_steps.",
  }),
  eval_delay: float({
    default: 0,
    min: 0,
    doc: "Do not evaluate before this many steps, or epochs with eval_strategy: epoch.",
  }),
  eval_on_start: flag({ default: false, doc: "Evaluate before the first step too." }),
  per_device_eval_batch_size: int({ default: 8, min: 1, doc: "Blocks in one pass of an evaluation." }),
  bf16_full_eval: flag({ default: false, doc: "Cast the model to bf16 for the evaluation after training." }),
  fp16_full_eval: flag({ default: false, doc: "Cast the model to fp16 for the evaluation after training." }),
  load_best_model_at_end: flag({
    default: false,
    doc: "Go back to the best checkpoint by metric_for_best_model when training ends; it is kept in any case.",
  }),
  metric_for_best_model: text({
    default: null,
    doc: "The metric that makes a checkpoint the best: loss, or NAME_loss with eval_on_each_dataset.",
  }),
  greater_is_better: flag({
    default: null,
    doc: "Whether a larger metric is better. Default: not where its name ends in loss.",
  }),
  early_stopping_steps: int({
    default: null,
    min: 1,
    doc: "Stop after this many evaluations in a row without a better metric.",
  }),
};

const others = {
  do_predict: refused(
    "incremental pre-training predicts nothing in LLaMA-Factory either; remove it",
    flag({ default: false, doc: "Predict." }),
  ),
  eval_accumulation_steps: silent(LOSS_ONLY, int({ default: null, doc: "Batches kept on the device." })),
  eval_do_concat_batches: silent(LOSS_ONLY, flag({ default: true, doc: "Join predictions of batches." })),
  eval_use_gather_object: silent(LOSS_ONLY, flag({ default: false, doc: "Gather objects in evaluation." })),
  batch_eval_metrics: silent(LOSS_ONLY, flag({ default: false, doc: "Metrics batch by batch." })),
  prediction_loss_only: silent(LOSS_ONLY, flag({ default: false, doc: "Only the loss in evaluation." })),
  include_for_metrics: silent(LOSS_ONLY, list({ default: [], doc: "What metrics are given." })),
  include_inputs_for_metrics: silent(LOSS_ONLY, flag({ default: false, doc: "Give inputs to metrics." })),
  predict_with_generate: refused(
    "LLaMA-Factory takes it in supervised fine-tuning only; remove it",
    flag({ default: false, doc: "Generate when predicting." }),
  ),
  generation_max_length: silent(PREDICTION, int({ default: null, doc: "Longest prediction." })),
  generation_num_beams: silent(PREDICTION, int({ default: null, doc: "Beams when predicting." })),
  generation_config: silent(PREDICTION, anything({ default: null, doc: "Settings when predicting." })),
};

export const evaluationKeys = inGroup("training", ["train"], { ...working, ...others });
