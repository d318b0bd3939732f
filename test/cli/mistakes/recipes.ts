// Mistakes on the command line and in the recipe.
import { ASIDE, type Mistake } from "./room.js";

export const COMMANDS: Mistake[] = [
  {
    name: "unknown command",
    process: true,
    args: ["trian"],
    line: /unknown command trian; did you mean `qwen-pt train`/,
  },
  {
    name: "train without a recipe",
    process: true,
    args: ["train"],
    line: /train needs a recipe: qwen-pt train recipe\.yaml/,
  },
  { name: "export without a recipe", args: ["export"], line: /export needs a recipe/ },
  { name: "chat without a model", args: ["chat"], line: /chat needs a model: .*--model DIR/ },
  {
    name: "an option that is none",
    args: ["train", "recipe.yaml", "--lora_rank=8"],
    line: /no option --lora_rank=8: it has --json; a recipe's key is written lora_rank=value, after the recipe/,
  },
  {
    name: "a second file",
    args: ["train", "recipe.yaml", "other.yaml"],
    line: /other\.yaml is neither the recipe nor key=value/,
  },
  {
    name: "help for an unknown key",
    args: ["help", "lora_rnk"],
    line: /did you mean `qwen-pt help lora_rank`/,
  },
  {
    name: "export without export_dir",
    keys: ASIDE,
    args: ["export", "recipe.yaml"],
    line: /recipe\.yaml: export_dir is missing; set it to/,
  },
  {
    name: "WORLD_SIZE=2",
    process: true,
    env: { WORLD_SIZE: "2" },
    line: /RANK is not set, though WORLD_SIZE is; start with torchrun or nproc_per_node/,
  },
];

export const RECIPES: Mistake[] = [
  {
    name: "no such recipe file",
    process: true,
    args: ["train", "recipes.yaml"],
    line: /recipes\.yaml: there is no such recipe file/,
  },
  {
    name: "a folder as recipe",
    args: ["train", "data"],
    line: /data: this is a folder; name the recipe file in it/,
  },
  {
    name: "unknown key",
    process: true,
    keys: { lora_rnak: 8 },
    line: /recipe\.yaml:14: unknown key lora_rnak; did you mean lora_rank\?/,
  },
  {
    name: "unknown key in an override",
    args: ["train", "recipe.yaml", "learning_rat=1e-5"],
    line: /override learning_rat=1e-5: unknown key learning_rat; did you mean learning_rate\?/,
  },
  {
    name: "text for a number",
    keys: { learning_rate: "fast" },
    line: /recipe\.yaml:14: learning_rate: expected a number, at least 0, received "fast"/,
  },
  {
    name: "a fraction for a whole number",
    keys: { lora_rank: 2.5 },
    line: /recipe\.yaml:5: lora_rank: expected .*integer.*, received 2\.5/,
  },
  {
    name: "a number below its least",
    keys: { cutoff_len: 0 },
    line: /recipe\.yaml:8: cutoff_len: expected .*at least.*, received 0/,
  },
  {
    name: "text for true or false",
    keys: { use_cpu: "perhaps" },
    line: /recipe\.yaml:13: use_cpu: expected true or false, received "perhaps"/,
  },
  {
    name: "not one of the choices",
    keys: { lr_scheduler_type: "cosin" },
    line: /recipe\.yaml:14: lr_scheduler_type: expected one of .*cosine.*, received "cosin"/,
  },
  {
    name: "a key that would change the result",
    keys: { use_llama_pro: true },
    line: /recipe\.yaml:14: use_llama_pro: true is refused: ./,
  },
  {
    name: "bits that are no format",
    keys: { quantization_bit: 3 },
    line: /recipe\.yaml:14: quantization_bit: 3 bits are not a format of bitsandbytes'; set quantization_bit: 4 or 8/,
  },
  { name: "stage: sft", keys: { stage: "sft" }, line: /recipe\.yaml:2: stage: .*pt/ },
  {
    name: "no model_name_or_path",
    keys: { model_name_or_path: undefined },
    line: /recipe\.yaml: model_name_or_path is missing; set it to the model's folder/,
  },
  {
    name: "no dataset",
    keys: { dataset: undefined },
    line: /recipe\.yaml: dataset is missing; set it to a name in dataset_info\.json/,
  },
  {
    name: "bf16 and fp16",
    keys: { bf16: true, fp16: true },
    line: /recipe\.yaml:15: bf16 and fp16 exclude each other; keep one/,
  },
  {
    name: "a tab in YAML",
    process: true,
    make: (room) => room.write("recipe.yaml", "stage: pt\n\tdo_train: true\n"),
    line: /recipe\.yaml:2: a tab is used for indentation; YAML takes spaces only/,
  },
  {
    name: "a key twice",
    make: (room) => room.write("recipe.yaml", "stage: pt\ndo_train: true\nstage: pt\n"),
    line: /recipe\.yaml:3: stage is given twice; keep one of the two/,
  },
  {
    name: "no space after the colon",
    make: (room) => room.write("recipe.yaml", "stage: pt\ndo_train:true\n"),
    line: /recipe\.yaml:2: .*space/,
  },
  {
    name: "a quote that is not closed",
    make: (room) => room.write("recipe.yaml", 'do_train: true\nstage: "pt\ndataset: one\n'),
    line: /recipe\.yaml:2: a quote is opened here and not closed/,
  },
  {
    name: "an empty recipe",
    make: (room) => room.write("recipe.yaml", ""),
    line: /recipe\.yaml: model_name_or_path is missing/,
  },
  {
    name: "GBK recipe",
    make: (room) => room.write("recipe.yaml", Buffer.from([0x23, 0xb9, 0xc5, 0x0a])),
    line: /recipe\.yaml: it is not UTF-8 text; save it as UTF-8/,
  },
  {
    name: "broken JSON recipe",
    make: (room) => room.write("recipe.json", '{\n  "stage": "pt",\n  "do_train": true,\n}\n'),
    args: ["train", "recipe.json"],
    line: /recipe\.json:4: /,
  },
  {
    name: "an environment variable that is not set",
    keys: { output_dir: "$" + "{oc.env:NO_SUCH_PLACE}" },
    line: /recipe\.yaml:9: output_dir: the environment has no NO_SUCH_PLACE; set it, or/,
  },
];
