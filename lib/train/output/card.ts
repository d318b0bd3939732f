// README.md of an output folder: the model card, with the front matter and the sections that transformers 5 writes.
// It knows the recipe's values and what was logged; it computes nothing and never asks a hub.
import { existsSync } from "node:fs";
import path from "node:path";
import { pythonFloat } from "../../files/python-json.js";
import { yaml } from "../../files/yaml.js";
import type { LogEntry } from "../checkpoint/trainer-state.js";

/** The keys of a recipe that a card shows. */
export interface CardRecipe {
  model_name_or_path: string;
  output_dir: string;
  finetuning_type: string;
  dataset: string | readonly string[] | null | undefined;
  train_from_scratch?: boolean;
  learning_rate: number;
  per_device_train_batch_size: number;
  per_device_eval_batch_size: number;
  gradient_accumulation_steps: number;
  seed: number;
  optim: string;
  optim_args: string | null;
  adam_beta1: number;
  adam_beta2: number;
  adam_epsilon: number;
  lr_scheduler_type: string;
  /** A number of steps, or below 1 a share of them. */
  warmup_steps?: number;
  warmup_ratio?: number | null;
  /** Not positive where epochs decide. */
  max_steps: number;
  num_train_epochs: number;
  fp16?: boolean;
}

/** What a model card is written from. */
export interface CardOptions {
  recipe: CardRecipe;
  history: readonly LogEntry[];
  /** What made the model, in order: ["qwen-pt", "0.1.0"], ["libtorch", "2.13.0"], ... */
  versions: readonly (readonly [name: string, version: string])[];
}

const COMMENT = `
<!-- This model card was written by qwen-pt from the recipe and the log of the run. Proofread and complete it, then
remove this comment. -->
`;
const UNKNOWN = "More information needed";
const MOST_ROWS = 20;

/** The text of README.md. */
export function modelCard({ recipe, history, versions }: CardOptions): string {
  const name = path.basename(path.resolve(recipe.output_dir));
  const table = resultsTable(history);
  const sections = [
    `---\n${frontMatter(recipe, name)}---\n${COMMENT}\n# ${name}\n\n${opening(recipe)}${evaluation(history)}\n`,
    `## Model description\n\n${UNKNOWN}\n`,
    `## Intended uses & limitations\n\n${UNKNOWN}\n`,
    `## Training and evaluation data\n\n${UNKNOWN}\n`,
    "## Training procedure\n",
    `### Training hyperparameters\n\nThe following hyperparameters were used during training:\n${list(hyperparameters(recipe))}\n`,
    `### Training results\n\n${table}\n`,
    `### Framework versions\n\n${versions.map(([what, version]) => `- ${what} ${version}`).join("\n")}\n`,
  ];
  return sections.join("\n");
}

function frontMatter(recipe: CardRecipe, name: string): string {
  const base = recipe.model_name_or_path;
  const lora = recipe.finetuning_type === "lora";
  const kind = lora
    ? [`base_model:adapter:${base}`, "lora", "transformers"]
    : [recipe.finetuning_type, "transformers"];
  const data = {
    library_name: lora ? "peft" : "transformers",
    license: "other",
    base_model: base,
    tags: ["qwen-pt", "continued-pretraining", ...kind].sort(),
    pipeline_tag: "text-generation",
    "model-index": [{ name, results: [] }],
  };
  return yaml().stringify(data, { lineWidth: 0, indentSeq: false });
}

function opening(recipe: CardRecipe): string {
  const base = recipe.model_name_or_path;
  // a folder is no page on the hub
  const onHub = /^[\w.-]+\/[\w.-]+$/.test(base) && !existsSync(base);
  const named = onHub ? `[${base}](https://huggingface.co/${base})` : `\`${base}\``;
  const origin = recipe.train_from_scratch
    ? `This model was trained from scratch, with the configuration of ${named}, on `
    : `This model is a fine-tuned version of ${named} on `;
  const given = recipe.dataset ?? [];
  const names = (typeof given === "string" ? given.split(",") : [...given])
    .map((one) => one.trim())
    .filter(Boolean);
  const last = names.at(-1);
  if (last === undefined) return `${origin}an unknown dataset.`;
  if (names.length === 1) return `${origin}the ${last} dataset.`;
  return `${origin}the ${names.slice(0, -1).join(", the ")} and the ${last} datasets.`;
}

/** The last evaluation, where there was one. */
function evaluation(history: readonly LogEntry[]): string {
  const last = history.findLast((entry) => "eval_loss" in entry);
  if (!last) return "";
  const skipped = new Set(["runtime", "samples_per_second", "steps_per_second", "epoch", "step"]);
  const lines = Object.entries(last)
    .map(([key, value]) => [key.replace(/^eval_/, ""), value] as const)
    .filter(([key]) => !skipped.has(key))
    .map(([key, value]) => `- ${titled(key)}: ${short(value)}`);
  return `\nIt achieves the following results on the evaluation set:\n${lines.join("\n")}`;
}

/** transformers' selection and order; what is at its default of "none" is left out. */
function hyperparameters(recipe: CardRecipe): [string, string][] {
  const batch = recipe.per_device_train_batch_size;
  const accumulation = recipe.gradient_accumulation_steps;
  const rows: [string, string][] = [
    ["learning_rate", pythonFloat(recipe.learning_rate)],
    ["train_batch_size", String(batch)],
    ["eval_batch_size", String(recipe.per_device_eval_batch_size)],
    ["seed", String(recipe.seed)],
  ];
  if (accumulation > 1) {
    rows.push(["gradient_accumulation_steps", String(accumulation)]);
    rows.push(["total_train_batch_size", String(batch * accumulation)]);
  }
  const betas = `betas=(${pythonFloat(recipe.adam_beta1)},${pythonFloat(recipe.adam_beta2)})`;
  const rest = recipe.optim_args ?? "No additional optimizer arguments";
  const adam = `with ${betas} and epsilon=${pythonFloat(recipe.adam_epsilon)} and optimizer_args=${rest}`;
  const set = /adam/i.test(recipe.optim) ? adam : `and the args are:\n${rest}`;
  rows.push(["optimizer", `Use ${recipe.optim} ${set}`]);
  rows.push(["lr_scheduler_type", recipe.lr_scheduler_type]);
  const warmup = recipe.warmup_ratio || recipe.warmup_steps || 0;
  if (warmup > 0) rows.push(["lr_scheduler_warmup_steps", warmup < 1 ? pythonFloat(warmup) : String(warmup)]);
  if (recipe.max_steps > 0) rows.push(["training_steps", String(recipe.max_steps)]);
  else rows.push(["num_epochs", pythonFloat(recipe.num_train_epochs)]);
  if (recipe.fp16) rows.push(["mixed_precision_training", "Native AMP"]);
  return rows;
}

/** One row an evaluation, as in transformers; without any, the logged losses, thinned out to a page. */
function resultsTable(history: readonly LogEntry[]): string {
  const evaluated = history.some((entry) => "eval_loss" in entry);
  let loss = "No log";
  const rows: Record<string, string>[] = [];
  for (const entry of history) {
    if (entry.loss !== undefined) loss = short(entry.loss);
    if (!(evaluated ? "eval_loss" in entry : "loss" in entry)) continue;
    const row: Record<string, string> = { "Training Loss": loss };
    row.Epoch = short(entry.epoch ?? 0);
    row.Step = String(entry.step ?? 0);
    if (entry.eval_loss !== undefined) row["Validation Loss"] = short(entry.eval_loss);
    rows.push(row);
  }
  return markdownTable(thinned(rows));
}

/** At most MOST_ROWS rows, evenly spaced, the first and the last among them. */
function thinned<T>(rows: T[]): T[] {
  if (rows.length <= MOST_ROWS) return rows;
  const last = rows.length - 1;
  return Array.from({ length: MOST_ROWS }, (_, i) => rows[Math.round((i * last) / (MOST_ROWS - 1))] as T);
}

function markdownTable(rows: readonly Record<string, string>[]): string {
  const heads = Object.keys(rows[0] ?? {});
  if (heads.length === 0) return "";
  const widths = heads.map((head) => Math.max(head.length, ...rows.map((row) => (row[head] ?? "").length)));
  const line = (cells: string[]) =>
    `${cells.map((cell, i) => `| ${cell.padEnd(widths[i] ?? 0)} `).join("")}|\n`;
  const rule = `${widths.map((width) => `|:${"-".repeat(width)}:`).join("")}|\n`;
  return line(heads) + rule + rows.map((row) => line(heads.map((head) => row[head] ?? ""))).join("");
}

function list(rows: readonly (readonly [string, string])[]): string {
  return rows.map(([key, value]) => `- ${key}: ${value}`).join("\n");
}

/** A float for reading: Python's repr where it has at most four decimals, else four of them. */
function short(value: number): string {
  const exact = pythonFloat(value);
  return (exact.split(".")[1]?.length ?? 0) > 4 ? value.toFixed(4) : exact;
}

function titled(key: string): string {
  return key
    .split("_")
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1).toLowerCase())
    .join(" ");
}
