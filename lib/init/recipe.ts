// The commented recipe that `qwen-pt init` writes, from four answers. Text only; no file is touched.
import type { Machine, Method, Saving } from "./memory.js";

export interface Answers {
  readonly model: string;
  readonly datasetDir: string;
  readonly datasets: readonly string[];
  readonly method: Method;
  /** What keeps LoRA's frozen weights small, where in 16 bits they do not fit. */
  readonly saving?: Saving | undefined;
  readonly output: string;
}

/** A YAML scalar: bare where that is safe, else in double quotes, where JSON's escapes are YAML's. */
export function scalar(text: string): string {
  const bare =
    /^[\p{L}_./~][\p{L}\p{N}_./~,+-]*$/u.test(text) &&
    !/^(?:true|false|null|yes|no|on|off|y|n|~|\.(?:inf|nan))$/i.test(text);
  return bare ? text : JSON.stringify(text);
}

const METHOD: Readonly<Record<Method, string>> = {
  lora: `# lora trains small matrices beside frozen weights; freeze trains the last blocks, full every weight.
finetuning_type: lora
# Rank of those matrices: more learns more and takes more memory.
lora_rank: 8
# Which linear layers get them: all, or names such as q_proj,v_proj.
lora_target: all`,
  freeze: `# freeze trains the last blocks and leaves the others as they are; lora trains small matrices, full every weight.
finetuning_type: freeze
# How many blocks, from the end.
freeze_trainable_layers: 2
freeze_trainable_modules: all`,
  full: `# full trains every weight; lora and freeze need far less memory and forget less.
finetuning_type: full`,
};

const SAVING: Readonly<Record<Saving, string>> = {
  quantization_bit: `
# Keep the frozen weights in 4 bits (QLoRA), the norms in float32: in 16 bits they do not fit into this machine's memory.
quantization_bit: 4
upcast_layernorm: true`,
  layer_offload: `
# Leave the frozen weights in the model's file and read them as they are needed: they do not fit into this machine's memory.
layer_offload: disk`,
};

/** The rate that is usual for a method. */
const RATE: Readonly<Record<Method, string>> = { lora: "1.0e-4", freeze: "5.0e-5", full: "2.0e-5" };

/** The recipe as a YAML text, every key explained. */
export function recipeText(answers: Answers, { bf16, isCard }: Pick<Machine, "bf16" | "isCard">): string {
  const { model, datasetDir, datasets, method, saving, output } = answers;
  return `# Incremental pre-training of Qwen3, written by qwen-pt init.
#   npx qwen-pt train RECIPE [key=value ...]
# What a key means: npx qwen-pt help KEY. All of them: docs/recipe.md of the package.

### Model
# A folder (config.json, *.safetensors, the tokenizer's files), or a name on Hugging Face or ModelScope.
model_name_or_path: ${scalar(model)}

### Method
# pt is incremental pre-training: every token of plain text is predicted.
stage: pt
do_train: true
${METHOD[method]}${saving === undefined ? "" : SAVING[saving]}

### Data
# Names in dataset_info.json, separated by commas.
dataset: ${scalar(datasets.join(","))}
# Folder with dataset_info.json.
dataset_dir: ${scalar(datasetDir)}
# Documents are joined, separated by the end-of-text token, and cut into blocks of this many tokens.
cutoff_len: 1024

### Output
# Folder for the weights, the checkpoints and the logs.
output_dir: ${scalar(output)}
# Steps between log lines, and between checkpoints.
logging_steps: 10
save_steps: 500
# Number of checkpoints to keep, the last ones.
save_total_limit: 2
# Plot training_loss.png.
plot_loss: true
# false resumes from the last checkpoint in output_dir; true starts over.
overwrite_output_dir: false
report_to: none

### Training
# Blocks per step: the batch size times the accumulated passes, 1 x 8.
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
# Peak of the learning rate; it rises over a tenth of the steps and falls along a cosine.
learning_rate: ${RATE[method]}
lr_scheduler_type: cosine
warmup_ratio: 0.1
# Number of epochs.
num_train_epochs: 3.0
# Compute in bfloat16.${bf16 ? "" : ` This ${isCard ? "card has no instructions for it" : "processor is older than AVX2, or has not been tried"}.`}
bf16: ${bf16}
`;
}
