// Every working key of method and training changes the result: the same short run with another value of one key.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { listKeys, type RecipeInput } from "../../lib/config/index.js";
import { history, logLines, plain, run, state, weightsFile } from "./runs.js";

const KEYS: RecipeInput = { max_samples: 8, max_steps: 3, save_strategy: "no", plot_loss: false };

/** By key: the two recipes that differ in it alone. What a key needs beside it is in both. */
const CHANGES: Record<string, [RecipeInput, RecipeInput]> = {
  ...alone({
    lora_rank: 2,
    lora_alpha: 3,
    lora_dropout: 0.5,
    lora_target: "q_proj",
    additional_target: "norm",
    use_rslora: true,
    use_dora: true,
    pissa_init: true,
    loraplus_lr_ratio: 4,
    per_device_train_batch_size: 2,
    gradient_accumulation_steps: 2,
    learning_rate: 1e-3,
    weight_decay: 0.5,
    adam_beta1: 0.5,
    adam_beta2: 0.9,
    adam_epsilon: 1e-3,
    max_grad_norm: 0.01,
    max_steps: 2,
    lr_scheduler_type: "constant",
    warmup_ratio: 0.7,
    bf16: true,
    fp16: true,
    seed: 1,
    data_seed: 1,
    disable_shuffling: true,
    finetuning_type: "full",
    neftune_noise_alpha: 5,
    optim: "adafactor",
  }),
  fp8: [{ bf16: true }, { bf16: true, fp8: true }],
  quantization_compute: [{}, { quantization_compute: "int8" }],
  optim_args: [{ optim: "sgd" }, { optim: "sgd", optim_args: "momentum=0.9" }],
  pissa_iter: [
    { pissa_init: true, pissa_iter: 0 },
    { pissa_init: true, pissa_iter: -1 },
  ],
  create_new_adapter: [
    { adapter_name_or_path: "adapters/first" },
    { adapter_name_or_path: "adapters/first", create_new_adapter: true },
  ],
  adapter_name_or_path: [{}, { adapter_name_or_path: "adapters/first" }],
  num_train_epochs: [
    { max_steps: -1, num_train_epochs: 1 },
    { max_steps: -1, num_train_epochs: 2 },
  ],
  lr_scheduler_kwargs: [{}, { lr_scheduler_kwargs: { num_cycles: 1 } }],
  warmup_steps: [{ warmup_ratio: null }, { warmup_ratio: null, warmup_steps: 2 }],
  dataloader_drop_last: [
    { per_device_train_batch_size: 5, max_steps: -1, num_train_epochs: 2 },
    { per_device_train_batch_size: 5, max_steps: -1, num_train_epochs: 2, dataloader_drop_last: true },
  ],
  ...beside(
    { eval_dataset: "two", eval_strategy: "steps", eval_steps: 2 },
    {
      eval_strategy: "epoch",
      eval_steps: 1,
      eval_delay: 3,
      eval_on_start: true,
      per_device_eval_batch_size: 3,
      metric_for_best_model: "loss",
    },
  ),
  do_eval: [{ eval_dataset: "two" }, { eval_dataset: "two", do_eval: true }],
  bf16_full_eval: [
    { eval_dataset: "two", do_eval: true },
    { eval_dataset: "two", do_eval: true, bf16_full_eval: true },
  ],
  fp16_full_eval: [
    { eval_dataset: "two", do_eval: true },
    { eval_dataset: "two", do_eval: true, fp16_full_eval: true },
  ],
  ...beside(
    {
      eval_dataset: "two",
      eval_strategy: "steps",
      eval_steps: 1,
      save_strategy: "best",
      metric_for_best_model: "loss",
      greater_is_better: true,
      warmup_ratio: 0,
    },
    { load_best_model_at_end: true, greater_is_better: false, early_stopping_steps: 1 },
  ),
  freeze_trainable_layers: [
    { finetuning_type: "freeze", freeze_trainable_layers: 1 },
    { finetuning_type: "freeze", freeze_trainable_layers: -1 },
  ],
  freeze_trainable_modules: [
    { finetuning_type: "freeze" },
    { finetuning_type: "freeze", freeze_trainable_modules: "mlp" },
  ],
  freeze_extra_modules: [
    { finetuning_type: "freeze" },
    { finetuning_type: "freeze", freeze_extra_modules: "norm" },
  ],
  pure_bf16: [
    { model_name_or_path: "model-bfloat16", finetuning_type: "full" },
    { model_name_or_path: "model-bfloat16", finetuning_type: "full", pure_bf16: true },
  ],
};

/** Why another value of these leaves this result as it is. */
const ELSEWHERE: Record<string, string> = {
  stage: "has one value",
  do_train: "without it nothing runs (test/config)",
  full_determinism: "on a GPU only",
  tf32: "on a GPU only",
  use_cpu: "on a GPU only",
  no_cuda: "on a GPU only",
  train_sampling_strategy: "has one value",
  gradient_checkpointing: "the same result in less memory (recompute.test.ts)",
  activation_offload: "the same result in less memory (recompute.test.ts)",
  cuda_graphs: "the same result by fewer launches (test/train/loop/graphed-steps.test.ts)",
  merge_micro_batches: "the same result in fewer passes (merged-batches.test.ts)",
  layer_offload: "the same result in less memory (test/train/setup/streamed-weights.test.ts)",
  fp8_backend: "the same products by either name",
  pissa_convert: "writes files (methods.test.ts)",
  nproc_per_node: "the same result by several processes (test/train/processes.test.ts)",
  fsdp: "the same result by several processes (test/combinations/processes.test.ts)",
  fsdp_config:
    "between several processes only (test/config/sharding.test.ts, test/distributed/sharding.test.ts)",
  parallelism_config: "between several processes only (test/distributed/context.test.ts)",
  deepspeed: "between several processes only (test/config/sharding.test.ts)",
  ddp_timeout: "between several processes only (test/distributed)",
  heartbeat_timeout: "between several processes only (test/distributed)",
  ddp_backend: "the same result by another library (test/distributed/cards/cards.test.ts)",
  average_tokens_across_devices: "has one value that is taken (test/config)",
};

function alone(keys: RecipeInput): typeof CHANGES {
  return Object.fromEntries(Object.entries(keys).map(([key, value]) => [key, [{}, { [key]: value }]]));
}

/** Each key alone, with other keys in both recipes. */
function beside(both: RecipeInput, keys: RecipeInput): typeof CHANGES {
  return Object.fromEntries(
    Object.entries(keys).map(([key, value]) => [key, [both, { ...both, [key]: value }]]),
  );
}

async function result(keys: RecipeInput): Promise<unknown> {
  const { dir, result } = await run({ ...KEYS, ...keys });
  const weights = readFileSync(weightsFile(dir)).toString("base64");
  const { best_metric } = state(dir);
  const evaluation = plain(result.evaluation ?? {});
  return {
    weights,
    best_metric,
    evaluation,
    history: history(dir).map(plain),
    lines: logLines(dir).map(plain),
  };
}

describe("another value gives another result:", () => {
  it.each(Object.entries(CHANGES))("%s", async (_, [one, other]) => {
    expect(await result(other)).not.toEqual(await result(one));
  });

  it("and the same recipe the same", async () => {
    expect(await result({})).toEqual(await result({}));
  });

  it("no working key of method or training is left out", () => {
    const working = listKeys()
      .filter(({ group, class: of }) => of === "working" && (group === "method" || group === "training"))
      .map(({ name }) => name);
    const covered = new Set([...Object.keys(CHANGES), ...Object.keys(ELSEWHERE)]);
    expect(working.filter((name) => !covered.has(name))).toEqual([]);
  });
});
