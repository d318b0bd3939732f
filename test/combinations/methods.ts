// The methods that test/combinations pairs: each a few keys over one tiny recipe, and what it does not go with. A method
// that is new belongs in this table. Not a test.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll } from "vitest";
import type { RecipeInput } from "../../lib/config/index.js";
import { fixture } from "../train/runs.js";

const dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-combinations-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Datasets `a` and `b` to train on, `general` for what is known already and `held` to be scored on; all have dates. */
function writeData(): void {
  const rows = (name: string) =>
    readFileSync(fixture("data", `${name}.jsonl`), "utf8")
      .trim()
      .split("\n")
      .map((line, i) => ({
        text: JSON.parse(line).text as string,
        year: String(2000 + (i % 20)),
        rank: i % 7,
      }));
  const [one, two] = [rows("one"), rows("two")];
  const sets = {
    a: one.slice(0, 14),
    b: one.slice(14, 24),
    general: two.slice(0, 12),
    held: one.slice(30, 34),
  };
  const info: Record<string, unknown> = {};
  for (const [name, list] of Object.entries(sets)) {
    writeFileSync(path.join(dir, `${name}.jsonl`), list.map((row) => `${JSON.stringify(row)}\n`).join(""));
    info[name] = { file_name: `${name}.jsonl`, columns: { prompt: "text" } };
  }
  writeFileSync(path.join(dir, "dataset_info.json"), JSON.stringify(info));
}
writeData();

/** The recipe that methods are laid over: 4 steps of 2 blocks, dropout, a checkpoint in the middle. */
export const BASE: RecipeInput = {
  dataset: "a,b",
  dataset_dir: dir,
  cutoff_len: 24,
  gradient_accumulation_steps: 2,
  max_steps: 4,
  save_steps: 2,
  logging_steps: 1,
  max_samples: null,
  plot_loss: false,
  num_train_epochs: 1,
  weight_decay: 0.1,
};

/** The kinds of fine-tuning. */
export const TUNINGS: Readonly<Record<string, RecipeInput>> = {
  lora: { finetuning_type: "lora", lora_dropout: 0.1 },
  full: { finetuning_type: "full" },
  freeze: { finetuning_type: "freeze", freeze_trainable_layers: 1 },
};

/** How documents become blocks. */
export const PACKINGS: Readonly<Record<string, RecipeInput>> = {
  packing: {},
  neat_packing: { neat_packing: true },
};

export interface Method {
  readonly keys: RecipeInput;
  /** The kinds of fine-tuning that it is for; all where left out. Another is refused, or said to have no effect. */
  readonly only?: readonly string[];
  /** It watches: the weights are those without it. */
  readonly watches?: boolean;
  /** What it is one choice of: two of them are not asked for together. */
  readonly choice?: string;
}

export const METHODS: Readonly<Record<string, Method>> = {
  eval_domains: { keys: { eval_domains: "held" }, watches: true },
  extend_vocab: {
    keys: { extend_vocab: 20, extend_vocab_min_count: 2, embedding_learning_rate: 0.02 },
  },
  "language tags": { keys: { language_tag: "zh-hant", add_language_tags: true } },
  replay: { keys: { replay_dataset: "general", replay_ratio: 0.3 } },
  "mixture by tokens": { keys: { mix_by: "tokens", mix_temperature: 3 } },
  curriculum: {
    keys: {
      curriculum: [
        { until: 0.5, mix: { b: 1 } },
        { until: 1, mix: { a: 1, b: 3 } },
      ],
    },
  },
  "time decay": {
    keys: { time_decay_half_life: "5y", time_decay_column: "year", time_decay_replacement: false },
  },
  "easy data first": { keys: { curriculum_by: "loss", curriculum_start: 0.3, curriculum_pacing: "linear" } },
  "elastic weights": { keys: { ewc_lambda: 50, ewc_dataset: "general", ewc_samples: 4 } },
  distillation: { keys: { distill_weight: 0.4, distill_temperature: 2 } },
  "forgetting report": { keys: { forgetting_dataset: "held" }, watches: true },
  "another optimizer": { keys: { optim: "adafactor" }, choice: "optimizer" },
  // large enough for states of 8 bits
  "optimizer in 8 bits": { keys: { optim: "paged_adamw_8bit", lora_rank: 128 }, choice: "optimizer" },
  "plain attention": { keys: { flash_attn: "disabled" } },
  "chosen heads": {
    keys: { freeze_trainable_heads: "1:0-1", freeze_trainable_layers: null },
    only: ["freeze"],
  },
  "chosen layers": {
    keys: { freeze_trainable_layer_ids: "0", freeze_trainable_layers: null },
    only: ["freeze"],
  },
  "chosen parameters": {
    keys: { freeze_trainable_patterns: "*norm.weight", freeze_trainable_layers: null },
    only: ["freeze"],
  },
  "4 bits": { keys: { quantization_bit: 4 }, only: ["lora"], choice: "quantization" },
  "8 bits": { keys: { quantization_bit: 8 }, only: ["lora"], choice: "quantization" },
  "8-bit integers": { keys: { quantization_compute: "int8" }, only: ["lora"], choice: "quantization" },
  "fp8 beside an adapter": { keys: { fp8: true }, only: ["lora"], choice: "quantization" },
  fp8: { keys: { fp8: true }, only: ["full", "freeze"] },
  "chosen layers' adapters": { keys: { lora_layers: "1" }, only: ["lora"] },
};

/** Pairs that a recipe may not ask for, and the line that refuses them. */
export const REFUSED: Readonly<Record<string, RegExp>> = {
  "mixture by tokens + curriculum":
    /^recipe: mix_temperature: each stage of the curriculum has its own weights \(mix\); keep one of the two$/,
  "elastic weights + 4 bits": /^recipe: ewc_lambda: a quantized weight has no gradient to take its Fisher/,
  "elastic weights + 8 bits": /^recipe: ewc_lambda: a quantized weight has no gradient to take its Fisher/,
  "extend_vocab + 4 bits": /^recipe: extend_vocab: the tables of a quantized model are not resized/,
  "extend_vocab + 8 bits": /^recipe: extend_vocab: the tables of a quantized model are not resized/,
  "elastic weights + 8-bit integers": /^recipe: ewc_lambda: .*remove quantization_compute$/,
  "elastic weights + fp8 beside an adapter": /^recipe: ewc_lambda: .*remove fp8$/,
  "extend_vocab + fp8 beside an adapter": /^recipe: extend_vocab: .*train without fp8$/,
  "extend_vocab + 8-bit integers": /^recipe: extend_vocab: .*train without quantization_compute$/,
};
