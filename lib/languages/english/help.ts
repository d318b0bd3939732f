// English: what `qwen-pt help COMMAND` prints.

export const HELP_ENGLISH = {
  init: `qwen-pt init [RECIPE] [--model M] [--data PATH] [--method lora|freeze|full] [--output DIR] [--yes] [--force]

Writes a commented recipe (recipe.yaml) after four questions: which model, which data, which method, where to write. Data
is a .jsonl, .json, .txt, .md, .csv or .parquet file, or a folder; dataset_info.json beside it is written or extended.

  --column  the column that holds the text, where it is not plain
  --yes     ask nothing: take the options, and defaults for the rest
  --force   overwrite the recipe

  qwen-pt init
  qwen-pt init mine.yaml --yes --model Qwen/Qwen3-0.6B --data essays.jsonl`,
  train: `qwen-pt train RECIPE [KEY=VALUE ...] [--json]

Trains from a YAML or JSON recipe, as LLaMA-Factory's \`stage: pt\`. Values after the file override the file's.
Ctrl-C saves a checkpoint of the last finished step and exits (130); a second one exits immediately.
--json prints every event of the run as a line of JSON, and messages for people on standard error.

  qwen-pt train recipe.yaml
  qwen-pt train recipe.yaml learning_rate=5e-5 output_dir=saves/second`,
  estimate: `qwen-pt estimate RECIPE [KEY=VALUE ...] [--json]

How much memory training from a recipe takes on the processor, at its peak, with each mode of gradient_checkpointing,
whether that fits into what the machine or its container has left, and how long a step and the run take. Memory is
reckoned from the model's config.json; for the time, one block of its shapes is trained for some seconds. No weights are
read. Without max_steps, the number of steps is an estimate from the data's size. What the recipe adds, such as tokens or
a second model, is not counted.

  qwen-pt estimate recipe.yaml
  qwen-pt estimate recipe.yaml finetuning_type=full cutoff_len=2048 --json`,
  export: `qwen-pt export RECIPE [KEY=VALUE ...]

Merges adapter_name_or_path into model_name_or_path and saves the whole model in export_dir.

  qwen-pt export merge.yaml export_dir=models/merged`,
  chat: `qwen-pt chat RECIPE [KEY=VALUE ...] [--prompt TEXT]
qwen-pt chat --model NAME_OR_DIR [--adapter NAME_OR_DIR] [--prompt TEXT]

Continues a prompt, token by token. Without --prompt every line of standard input is one prompt.
An incrementally pre-trained model continues text; no chat template is applied.

  qwen-pt chat --model Qwen/Qwen3-0.6B --adapter saves/Qwen/lora/pretrain --prompt "庆历四年春"
  qwen-pt chat recipe.yaml max_new_tokens=64 do_sample=false < prompts.txt`,
  eval: `qwen-pt eval --model DIR [--adapter DIR] [--before DIR] --data NAME[,NAME ...] [--json]

Perplexity, bits per character and next-token accuracy on held-out text, a line a domain. With --adapter (or another
model as --before) also what they were before: what the training gained, and what it lost.
Each document is scored on its own, after the end-of-text token, its end included; a language tag is read, not scored.

  --data         names in dataset_info.json, .json and .jsonl files of {"text": ...} rows, or .md files
  --dataset-dir  folder of dataset_info.json [data]
  --length       tokens that the model sees at a time; longer documents are read in overlapping windows [1024]
  --documents    score only this many documents of each
  --output FILE  save the figures as JSON too

  qwen-pt eval --model examples/model --adapter saves/demo --dataset-dir examples/data --data prose_heldout,poetry_heldout`,
  download: `qwen-pt download NAME ... [--revision REV] [--cache-dir DIR] [--adapter NAME]

Fetches models (config, tokenizer, safetensors) from Hugging Face, or ModelScope with USE_MODELSCOPE_HUB=1, and prints
their folders. train, export and chat do so by themselves; this is for machines that have no network later on. It goes
on where it was interrupted. The cache is that of the hub's Python client: docs/hub.md.

  qwen-pt download Qwen/Qwen3-0.6B
  HF_ENDPOINT=https://hf-mirror.com qwen-pt download Qwen/Qwen3-0.6B`,
  corpora:
    "qwen-pt corpora [FOLDER] [--json]\n\nLists the well-known pre-training sets that examples/data/dataset_info.json knows, or those that " +
    "dataset_info.json in FOLDER describes: name, size, license, where it is from.",
  setup: `qwen-pt setup [--build auto|cpu|cuda|cu126|cu130|cu132] [--plan] [--force]

Makes an installed package ready: takes libtorch from LIBTORCH, an earlier setup or the active Python's torch, or else
fetches it by pip (its configured index) into the cache, and compiles the addon against it there. It says beforehand
what comes from where and how large it is; an interrupted setup goes on where it stopped.

  --build   the libtorch: auto (the default) takes what the NVIDIA driver and card can run, or the CPU build
  --plan    say what would be done, and do nothing
  --force   compile again even if nothing has changed

The cache is QWEN_PT_CACHE, or qwen-pt in XDG_CACHE_HOME (~/.cache), ~/Library/Caches, %LOCALAPPDATA%.
LIBTORCH_USE_PYTORCH=0 ignores the active Python's torch. In a clone, \`npm run build\` does this.`,
  doctor: `qwen-pt doctor [--json]
qwen-pt doctor --gpu [--device cuda:0|cpu] [--output DIR] [--quick] [--json]

Looks for what is wrong with an installation: Node, compiler, CMake, Python, libtorch and the addon, NVIDIA's driver and
card, processor, memory, disks, container, system. A line a check: ok, warning or problem, with the remedy. Exits 1 where
there is a problem.

--gpu compares operators, a tiny model and training on the card with the processor, times the main operators at the
shapes of Qwen3-0.6B, and writes qwen-pt-gpu-report.md and .json, which name no user, host or folder: they may be shared.

  --device  what is examined; cpu tries the examination itself
  --output  folder of the report [.]
  --quick   small shapes and four steps`,
  completion: `qwen-pt completion bash|zsh|fish

Prints a script that completes commands, options, a recipe's keys and the words that a key takes.

  echo 'source <(qwen-pt completion bash)' >> ~/.bashrc
  qwen-pt completion zsh > "\${fpath[1]}/_qwen-pt"
  qwen-pt completion fish > ~/.config/fish/completions/qwen-pt.fish`,
  env: "qwen-pt env [--json]\n\nPrints versions and hardware. Paste it into a bug report.",
  version: "qwen-pt version [--json]\n\nPrints the version.",
  help: "qwen-pt help [COMMAND | KEY | WORD]\n\nExplains a command, or a key of a recipe: qwen-pt help cutoff_len\nOf another word it lists the keys that have to do with it: qwen-pt help lora\n--lang zh or --lang en, after any command, overrides LC_ALL and LANG; errors are in English.",
} as const;
