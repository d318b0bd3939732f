// The schema's table of keys against forgetting that change the loss and the gradients, and of the report on it.
// Replay, which changes what is trained on, is in sampling.ts.
import { flag, float, inGroup, int, list, text } from "../key.js";

export const forgettingKeys = inGroup("incremental", ["train"], {
  ewc_lambda: float({
    default: null,
    above: 0,
    doc: "Elastic weight consolidation: add lambda/2 * sum F (w - w0)^2, which keeps what a general corpus needs; F is Fisher information a token, so that 1 weighs the drift (a divergence in nats a token, to second order) like the loss. Logged as ewc_loss.",
  }),
  ewc_dataset: list({
    default: null,
    defaultText: "replay_dataset",
    doc: "Datasets of dataset_info.json that represent what must not be forgotten: ewc_lambda's Fisher information is estimated on them. Not needed with a finished ewc_fisher.",
  }),
  ewc_samples: int({
    default: null,
    defaultText: "256",
    min: 1,
    doc: "Blocks (without packing: documents) that the Fisher information is estimated on, spread evenly over ewc_dataset.",
  }),
  ewc_fisher: text({
    default: null,
    defaultText: "fisher.safetensors in output_dir",
    doc: "File of Fisher information, float32 for each trained weight: used if it exists and matches the model and these keys, otherwise estimated and written.",
  }),
  distill_weight: float({
    default: null,
    above: 0,
    below: 1,
    doc: "Distillation from the base model: train on (1 - w) * cross entropy + w * T^2 KL(base model || model) at every predicted token of the training text. The logged loss is still the cross entropy; the divergence is logged as distill_loss.",
  }),
  distill_temperature: float({
    default: 1,
    above: 0,
    doc: "T of distill_weight: both models' logits are divided by it before they are compared; above 1 unlikely tokens count for more.",
  }),
  forgetting_report: flag({
    default: null,
    defaultText: "true with forgetting_dataset, otherwise false",
    doc: "Score general text, and eval_dataset as well, before the first step and after the last: forgetting_report.txt, .json and .png, with perplexity, bits per character and accuracy.",
  }),
  forgetting_dataset: list({
    default: null,
    defaultText: "ewc_dataset, else replay_dataset",
    doc: "Datasets of dataset_info.json that represent what must not be forgotten in forgetting_report; held-out ones say more than those that are replayed.",
  }),
  forgetting_samples: int({
    default: 500,
    min: 1,
    doc: "Number of documents of each dataset that forgetting_report reads, the first ones.",
  }),
});
