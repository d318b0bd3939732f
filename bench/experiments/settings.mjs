// What the experiments are: a table of recipes over one base, by the reason for incremental pre-training that they are
// evidence for. Every run is small, 60 steps of 4 x 256 tokens unless it says otherwise; what is compared has the same
// steps. Keys are the recipe's own.

import path from "node:path";
import { work } from "./corpora.mjs";

/** Over which every setting is laid. */
export const BASE = {
  stage: "pt",
  do_train: true,
  finetuning_type: "full",
  dataset: "prose",
  cutoff_len: 256,
  per_device_train_batch_size: 4,
  gradient_accumulation_steps: 1,
  max_steps: 60,
  learning_rate: 8e-4,
  lr_scheduler_type: "cosine",
  warmup_ratio: 0.1,
  bf16: true,
  disable_gradient_checkpointing: true,
  eval_domains: "prose_heldout,poems_heldout",
  logging_steps: 10,
  save_strategy: "no",
  report_to: "none",
  overwrite_output_dir: true,
};

/** The learning rate at which the methods against forgetting are tried: well beyond where the model begins to forget. */
const METHOD_RATE = 8e-4;

/** Estimated once, by the first run that needs it. */
const FISHER = path.join(work, "fisher.safetensors");

/** Tokens of the blocks that the two datasets make, each packed by itself. */
export const SIZES = { prose: 477 * 256, poems: 1273 * 256 };

/** The essays' share where shares go with size^(1/temperature). */
const tempered = (temperature) => (sizes) => {
  const [prose, poems] = [sizes.prose, sizes.poems].map((size) => size ** (1 / temperature));
  return prose / (prose + poems);
};

const labelled = (name, values, keys) =>
  Object.fromEntries(
    values.map((value) => [`${name} ${value}`, { label: String(value), keys: keys(value) }]),
  );

/**
 * By experiment: `needs` names datasets beyond the checked-in ones, `settings` are recipes by name. A setting's `family`
 * is the curve that it belongs to.
 */
export const EXPERIMENTS = {
  rates: {
    family: "learning_rate",
    needs: [],
    settings: labelled("learning_rate", ["1e-4", "2e-4", "4e-4", "8e-4", "1.6e-3"], (rate) => ({
      learning_rate: Number(rate),
    })),
  },
  lora: {
    family: "LoRA, learning_rate",
    needs: [],
    settings: labelled("lora, learning_rate", ["1e-3", "4e-3"], (rate) => ({
      finetuning_type: "lora",
      lora_rank: 8,
      learning_rate: Number(rate),
    })),
  },
  vocabulary: {
    needs: [],
    settings: {
      ...labelled("extend_vocab", ["128", "512"], (count) => ({
        learning_rate: METHOD_RATE,
        extend_vocab: Number(count),
        extend_vocab_min_count: 4,
      })),
      "extend_vocab 512, embedding_learning_rate 2e-3": {
        label: "512, embedding_learning_rate 2e-3",
        keys: {
          learning_rate: METHOD_RATE,
          extend_vocab: 512,
          extend_vocab_min_count: 4,
          embedding_learning_rate: 2e-3,
        },
      },
    },
  },
  replay: {
    family: "replay_ratio",
    needs: ["poems"],
    settings: labelled("replay_ratio", ["0.05", "0.1", "0.3"], (ratio) => ({
      learning_rate: METHOD_RATE,
      replay_dataset: "poems",
      replay_ratio: Number(ratio),
    })),
  },
  elastic: {
    family: "ewc_lambda",
    needs: ["poems"],
    settings: labelled("ewc_lambda", ["1", "10", "100", "1000"], (lambda) => ({
      learning_rate: METHOD_RATE,
      ewc_lambda: Number(lambda),
      ewc_dataset: "poems",
      ewc_fisher: FISHER,
    })),
  },
  distillation: {
    family: "distill_weight",
    needs: [],
    settings: labelled("distill_weight", ["0.1", "0.3", "0.6"], (weight) => ({
      learning_rate: METHOD_RATE,
      distill_weight: Number(weight),
    })),
  },
  together: {
    family: "replay and ewc",
    needs: ["poems"],
    settings: {
      "replay_ratio 0.1, ewc_lambda 100": {
        label: "both",
        keys: {
          learning_rate: METHOD_RATE,
          replay_dataset: "poems",
          replay_ratio: 0.1,
          ewc_lambda: 100,
          ewc_dataset: "poems",
          ewc_fisher: FISHER,
        },
      },
    },
  },
  languages: {
    needs: ["prose_simplified"],
    settings: Object.fromEntries(
      ["without tags", "with tags"].map((name) => [
        name,
        {
          label: name,
          keys: {
            dataset: "prose,prose_simplified",
            eval_domains: "prose_heldout,prose_heldout_simplified,poems_heldout",
            ...(name === "with tags" && {
              language_tag: {
                prose: "zh-hant",
                prose_heldout: "zh-hant",
                prose_simplified: "zh-hans",
                prose_heldout_simplified: "zh-hans",
              },
              add_language_tags: true,
            }),
          },
        },
      ]),
    ),
  },
  freshness: {
    needs: ["dated"],
    settings: Object.fromEntries(
      [undefined, 300].map((halfLife) => [
        `time_decay_half_life ${halfLife === undefined ? "null" : `${halfLife}y`}`,
        {
          label: halfLife === undefined ? "none" : `${halfLife}y`,
          halfLife,
          keys: {
            learning_rate: 4e-4,
            dataset: "dated",
            time_decay_half_life: halfLife === undefined ? null : `${halfLife}y`,
            eval_domains: "held_1680,held_1310,held_1120,held_0940,held_0750",
          },
        },
      ]),
    ),
  },
  mixture: {
    needs: ["poems"],
    settings: Object.fromEntries(
      [
        ["mix_weights 3,1", { mix_weights: [3, 1] }, () => 3 / 4],
        ["mix_temperature 1", { mix_temperature: 1 }, tempered(1)],
        ["mix_temperature 4", { mix_temperature: 4 }, tempered(4)],
      ].map(([name, keys, shares]) => [
        name,
        {
          label: name,
          shares,
          keys: { learning_rate: METHOD_RATE, dataset: "prose,poems", mix_by: "tokens", ...keys },
        },
      ]),
    ),
  },
  curriculum: {
    needs: ["poems"],
    settings: {
      "curriculum_by length": {
        label: "length",
        keys: { learning_rate: METHOD_RATE, curriculum_by: "length" },
      },
      "curriculum_by loss": { label: "loss", keys: { learning_rate: METHOD_RATE, curriculum_by: "loss" } },
      "stages: prose, then 3 prose and 1 poems": {
        label: "prose first",
        keys: {
          learning_rate: METHOD_RATE,
          dataset: "prose,poems",
          curriculum: [
            { until: 0.6, mix: { prose: 1 } },
            { until: 1, mix: { prose: 3, poems: 1 } },
          ],
        },
      },
      "stages: 3 prose and 1 poems, then prose": {
        label: "prose last",
        keys: {
          learning_rate: METHOD_RATE,
          dataset: "prose,poems",
          curriculum: [
            { until: 0.4, mix: { prose: 3, poems: 1 } },
            { until: 1, mix: { prose: 1 } },
          ],
        },
      },
    },
  },
  resources: {
    needs: [],
    /** Each in a separate process, 6 steps of 8 x 512 tokens; one seed: what is measured does not depend on it. */
    measured: true,
    settings: Object.fromEntries(
      [
        ["finetuning_type full", "full", { finetuning_type: "full" }],
        ["finetuning_type lora", "lora", { finetuning_type: "lora", lora_rank: 8 }],
        [
          "finetuning_type lora, lora_layers 3",
          "lora, layer 3",
          { finetuning_type: "lora", lora_rank: 8, lora_layers: "3" },
        ],
        ["freeze_trainable_layers 1", "layer 3", { finetuning_type: "freeze", freeze_trainable_layers: 1 }],
        [
          "freeze_trainable_layer_ids 0",
          "layer 0",
          { finetuning_type: "freeze", freeze_trainable_layer_ids: "0" },
        ],
        [
          "freeze_trainable_heads 3:0-1",
          "2 heads of 3",
          { finetuning_type: "freeze", freeze_trainable_heads: "3:0-1" },
        ],
        [
          "freeze_trainable_patterns *norm.weight",
          "norms",
          { finetuning_type: "freeze", freeze_trainable_patterns: "*norm.weight" },
        ],
      ].map(([name, short, keys]) => [
        name,
        {
          label: name,
          short,
          keys: { ...keys, cutoff_len: 512, per_device_train_batch_size: 8, max_steps: 6 },
        },
      ]),
    ),
  },
};
