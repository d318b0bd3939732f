// Mistakes with chosen parts of a model, and with what keeps a model from forgetting.
import type { Mistake } from "./room.js";

const freeze = { finetuning_type: "freeze" };

export const FORGETTING: Mistake[] = [
  {
    name: "a layer that the model does not have",
    keys: { ...freeze, freeze_trainable_layer_ids: "0,7" },
    line: /freeze_trainable_layer_ids: there is no layer 7; the model has \d+, from 0 to \d+/,
  },
  {
    name: "layers that are no numbers",
    keys: { ...freeze, freeze_trainable_layer_ids: "top" },
    line: /recipe\.yaml:\d+: freeze_trainable_layer_ids: expected whole numbers and ranges, such as 0,2-4, received "top"/,
  },
  {
    name: "layers by number and by how many",
    keys: { ...freeze, freeze_trainable_layer_ids: 1, freeze_trainable_layers: 1 },
    line: /recipe\.yaml:\d+: freeze_trainable_layer_ids: it excludes freeze_trainable_layers; keep one/,
  },
  {
    name: "a head that the model does not have",
    keys: { ...freeze, freeze_trainable_heads: "0:0-9" },
    line: /freeze_trainable_heads: there is no head \d+ in layer 0; the model has \d+, from 0 to/,
  },
  {
    name: "heads without their layer",
    keys: { ...freeze, freeze_trainable_heads: "0-3" },
    line: /recipe\.yaml:\d+: freeze_trainable_heads: expected heads by layer, such as 3:0-3;5:1/,
  },
  {
    name: "heads of a layer that is trained whole",
    keys: { ...freeze, freeze_trainable_heads: "0:0", freeze_trainable_layer_ids: 0 },
    line: /freeze_trainable_heads: model\.layers\.0\.self_attn\.q_proj\.weight is trained whole by another freeze_\* key/,
  },
  {
    name: "a pattern that matches nothing",
    keys: { ...freeze, freeze_trainable_patterns: "*.mlp" },
    line: /freeze_trainable_patterns: "\*\.mlp" matches no parameter; names are such as model\.embed_tokens\.weight/,
  },
  {
    name: "heads with LoRA",
    keys: { freeze_trainable_heads: "0:0" },
    line: /recipe\.yaml:\d+: freeze_trainable_heads: needs finetuning_type: freeze, not lora/,
  },
  {
    name: "elastic weights without a general corpus",
    keys: { ewc_lambda: 1 },
    line: /recipe\.yaml:\d+: ewc_lambda: it needs a general corpus; set ewc_dataset to a name in dataset_info\.json/,
  },
  {
    name: "a negative lambda",
    keys: { ewc_lambda: -1, ewc_dataset: "two" },
    line: /recipe\.yaml:\d+: ewc_lambda: expected a number, above 0, received -1/,
  },
  {
    name: "a general corpus that is not there",
    keys: { ewc_lambda: 1, ewc_dataset: "general" },
    line: /general is not defined in data\/dataset_info\.json, which has: one, two/,
  },
  {
    name: "a general corpus that is empty",
    keys: { ewc_lambda: 1, ewc_dataset: "two" },
    make: (room) => room.write("data/two.jsonl", ""),
    line: /ewc_dataset: two has no rows; add some to data\/two\.jsonl/,
  },
  {
    name: "a file that holds no Fisher information",
    keys: { ewc_lambda: 1, ewc_fisher: "model/model.safetensors" },
    line: /ewc_fisher: model\/model\.safetensors holds no Fisher information; name another file/,
  },
  {
    name: "elastic weights of a DoRA adapter",
    keys: { ewc_lambda: 1, ewc_dataset: "two", use_dora: true },
    line: /recipe\.yaml:\d+: ewc_lambda: the change of a weight is no plain product with use_dora; remove one/,
  },
  {
    name: "a share of distillation that is all",
    keys: { distill_weight: 1 },
    line: /recipe\.yaml:\d+: distill_weight: expected a number, above 0 and below 1, received 1/,
  },
  {
    name: "a temperature of zero",
    keys: { distill_weight: 0.5, distill_temperature: 0 },
    line: /recipe\.yaml:\d+: distill_temperature: expected a number, above 0, received 0/,
  },
  {
    name: "a teacher for a model from scratch",
    keys: { distill_weight: 0.5, train_from_scratch: true, finetuning_type: "full" },
    line: /recipe\.yaml:\d+: distill_weight: a model that is trained from scratch has no teacher; remove one/,
  },
  {
    name: "a report without general text",
    keys: { forgetting_report: true },
    line: /recipe\.yaml:\d+: forgetting_report: it needs general text; set forgetting_dataset to a name in dataset_info\.json/,
  },
  {
    name: "general text that is empty",
    keys: { forgetting_dataset: "two" },
    make: (room) => room.write("data/two.jsonl", ""),
    line: /forgetting_dataset: two has no text; name a dataset with documents, or leave it out/,
  },
  {
    name: "adapters on a layer that the model does not have",
    keys: { lora_layers: "5" },
    line: /lora_layers: layer 5 has no target; there are 0, 1/,
  },
  {
    name: "adapters' layers with freeze",
    keys: { ...freeze, lora_layers: 0 },
    line: /recipe\.yaml:\d+: lora_layers: needs finetuning_type: lora, not freeze/,
  },
];
