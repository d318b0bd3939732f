// biome-ignore-all lint/suspicious/noTemplateCurlyInString: a recipe's own interpolations
// Recipes as users write them: what loads, what it means, and the one line that each mistake gets.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadRecipe, type RecipeInput, type RecipeOptions, resolveRecipe } from "../../lib/config/index.js";
import { UserError } from "../../lib/errors.js";

const TUTORIAL = fileURLToPath(new URL("../fixtures/config/tutorial.yaml", import.meta.url));
const EXAMPLE = fileURLToPath(new URL("../../examples/recipe.yaml", import.meta.url));
const BASE = "model_name_or_path: model\nstage: pt\ndo_train: true\ndataset: data1\n";
const BASE_LINES = 4;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "qwen-pt-config-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(text: string | Uint8Array, name = "recipe.yaml"): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

/** The base recipe with more lines. */
function load(lines: string, overrides: string[] = [], options: RecipeOptions = {}) {
  return loadRecipe(write(BASE + lines), overrides, { env: {}, ...options });
}

/** The message of the UserError, which must be one line. */
function mistake(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    const { message } = error as UserError;
    expect(message).not.toContain("\n");
    return message.replaceAll(`${folder}/`, "");
  }
  throw new Error("nothing was thrown");
}

describe("the tutorial's recipe", () => {
  test("loads unchanged, with every value and without a note", () => {
    const { recipe, given, notes } = loadRecipe(TUTORIAL, [], { env: {} });
    expect(notes).toEqual([]);
    expect(given.size).toBe(28);
    expect(recipe).toMatchObject({
      model_name_or_path: "Qwen/Qwen3-0.6B",
      stage: "pt",
      do_train: true,
      finetuning_type: "lora",
      lora_rank: 8,
      lora_alpha: 16,
      lora_dropout: 0,
      lora_target: ["all"],
      additional_target: null,
      dataset: ["data1"],
      dataset_dir: "data",
      cutoff_len: 1024,
      packing: true,
      max_samples: 1000,
      preprocessing_num_workers: 16,
      preprocessing_batch_size: 1000,
      output_dir: "saves/Qwen/lora/pretrain",
      overwrite_output_dir: true,
      logging_steps: 10,
      save_steps: 500,
      save_strategy: "steps",
      save_only_model: false,
      plot_loss: true,
      report_to: [],
      per_device_train_batch_size: 1,
      gradient_accumulation_steps: 8,
      learning_rate: 1e-4,
      num_train_epochs: 3,
      max_steps: -1,
      lr_scheduler_type: "cosine",
      warmup_ratio: 0.1,
      warmup_steps: 0.1,
      bf16: true,
      fp16: false,
      seed: 42,
      resume_from_checkpoint: null,
    });
  });

  test("the example is the tutorial's recipe on the prose corpus, with every key commented", () => {
    const { recipe, notes } = loadRecipe(EXAMPLE, [], { env: {} });
    const tutorial = loadRecipe(TUTORIAL, [], { env: {} }).recipe;
    expect(notes).toEqual([]);
    const { model_name_or_path, dataset_dir, ...rest } = recipe;
    expect(tutorial).toMatchObject(rest);
    expect(dataset_dir).toBe("examples/data");
    expect(model_name_or_path).not.toBe("");
    const lines = readFileSync(EXAMPLE, "utf8").split("\n");
    lines.forEach((line, index) => {
      if (/^\w+:/.test(line)) expect(lines[index - 1], line).toMatch(/^# .{10,}/);
    });
  });
});

describe("values", () => {
  test.each<[string, keyof RecipeInput, unknown]>([
    ["learning_rate: 1e-4", "learning_rate", 1e-4],
    ["learning_rate: 1", "learning_rate", 1],
    ["lora_rank: 16.0", "lora_rank", 16],
    ["bf16: yes", "bf16", true],
    ["bf16: Off", "bf16", false],
    ["seed: null", "seed", 42],
    ["lora_alpha: 0", "lora_alpha", 16],
    ["lora_alpha: 5", "lora_alpha", 5],
    ["lora_alpha: null\nlora_rank: 4", "lora_alpha", 8],
    ["lora_target: q_proj, v_proj", "lora_target", ["q_proj", "v_proj"]],
    ["lora_target: [q_proj, v_proj]", "lora_target", ["q_proj", "v_proj"]],
    ["additional_target: embed_tokens,lm_head", "additional_target", ["embed_tokens", "lm_head"]],
    ["save_strategy: no", "save_strategy", "no"],
    ["eval_strategy: no", "eval_strategy", "no"],
    ["resume_from_checkpoint: true", "resume_from_checkpoint", true],
    ["resume_from_checkpoint: no", "resume_from_checkpoint", null],
    ["resume_from_checkpoint: out/checkpoint-5", "resume_from_checkpoint", "out/checkpoint-5"],
    ["include_num_input_tokens_seen: true", "include_num_input_tokens_seen", "all"],
    ["include_num_input_tokens_seen: non_padding", "include_num_input_tokens_seen", "non_padding"],
    ["optim: adamw_torch", "optim", "adamw_torch"],
    ["optim: adamw_hf", "optim", "adamw_torch"],
    ["optim: of_a_program", "optim", "of_a_program"],
    ["optim_args: momentum=0.9,nesterov=true", "optim_args", "momentum=0.9,nesterov=true"],
    ["warmup_steps: 0.25", "warmup_steps", 0.25],
    ["warmup_steps: 20", "warmup_steps", 20],
    ["warmup_steps: 20\nwarmup_ratio: 0.0", "warmup_steps", 0],
    ["packing: true", "cutoff_len", 2047],
    ["packing: true\ncutoff_len: 512", "cutoff_len", 511],
    ["packing: false", "cutoff_len", 2048],
    ["packing: null", "cutoff_len", 2048],
    ["packing: null", "packing", true],
    ["packing: no", "packing", false],
    ["no_cuda: true", "use_cpu", true],
    ["logging_steps: 0.1", "logging_steps", 0.1],
    ["report_to: [none]", "report_to", []],
    ["report_to: all", "report_to", ["all"]],
    ["report_to: wandb, tensorboard", "report_to", ["wandb", "tensorboard"]],
    ["use_swanlab: true", "report_to", ["swanlab"]],
    ["tf32: true", "tf32", true],
    ["rope_scaling: yarn", "rope_scaling", "yarn"],
    ["rope_parameters: {rope_type: yarn, factor: 4}", "rope_parameters", { rope_type: "yarn", factor: 4 }],
    ["dataset_dir: ${oc.env:HERE,examples}/data", "dataset_dir", "examples/data"],
    ["output_dir: out/r${lora_rank}\nlora_rank: 4", "output_dir", "out/r4"],
    ["output_dir: out/${learning_rate}\nlearning_rate: 1.0e-4", "output_dir", "out/0.0001"],
  ])("%s", (lines, key, wanted) => {
    expect(load(lines).recipe[key]).toEqual(wanted);
  });

  test("a variable of the environment is read as the key wants it", () => {
    const env = { RANK: "32", RATE: "1e-5", CPU: "yes", NAME: "7" };
    const { recipe } = load(
      "lora_rank: ${oc.env:RANK}\nlearning_rate: ${oc.env:RATE}\nuse_cpu: ${oc.env:CPU}\noutput_dir: ${oc.env:NAME}\n",
      [],
      { env },
    );
    expect(recipe).toMatchObject({ lora_rank: 32, learning_rate: 1e-5, use_cpu: true, output_dir: "7" });
  });

  test("overrides go over the file, the last one wins", () => {
    const { recipe, given } = load("lora_rank: 4\n", [
      "lora_rank=16",
      "lora_rank=32",
      "learning_rate=2e-5",
      "dataset=[a, b]",
    ]);
    expect(recipe).toMatchObject({ lora_rank: 32, lora_alpha: 64, learning_rate: 2e-5, dataset: ["a", "b"] });
    expect(given.has("learning_rate")).toBe(true);
  });

  test("a resolved recipe shares nothing with the schema", () => {
    load("").recipe.lora_target.push("x");
    expect(load("").recipe.lora_target).toEqual(["all"]);
  });

  test("JSON works like YAML", () => {
    const file = write(
      JSON.stringify({
        model_name_or_path: "m",
        do_train: true,
        stage: "pt",
        dataset: ["a"],
        learning_rate: 1e-4,
      }),
      "r.json",
    );
    expect(loadRecipe(file, ["lora_rank=2"], { env: {} }).recipe).toMatchObject({
      dataset: ["a"],
      learning_rate: 1e-4,
      lora_rank: 2,
    });
  });

  test("a program need not say do_train", () => {
    const { recipe, notes } = resolveRecipe(
      { model_name_or_path: "m", dataset: "a, b", learning_rate: 1e-3 },
      { env: {} },
    );
    expect(recipe).toMatchObject({ do_train: true, dataset: ["a", "b"], learning_rate: 1e-3 });
    expect(notes).toEqual([]);
    expect(
      mistake(() =>
        resolveRecipe({ model_name_or_path: "m", dataset: "a", lora_rank: "x" as never }, { env: {} }),
      ),
    ).toBe('recipe: lora_rank: expected an integer, at least 1, received "x"');
    expect(
      mistake(() => resolveRecipe({ model_name_or_path: "m", dataset: "a", do_train: false }, { env: {} })),
    ).toBe("recipe: nothing to do: set do_train: true");
  });
});

describe("notes", () => {
  test.each([
    [
      "torch_compile: true",
      "recipe.yaml:5: torch_compile has no effect here: there is no compiler to switch on",
    ],
    [
      "packing: true\ncutoff_len: 1024",
      /recipe.yaml:5: packing: true written out makes blocks of 1023 tokens.*for 1024$/,
    ],
    ["swanlab_project: x", "recipe.yaml:5: swanlab_project has no effect without use_swanlab: true"],
    ["warmup_ratio: 0.1\nwarmup_steps: 5", /recipe.yaml:5: warmup_ratio takes precedence over warmup_steps/],
    [
      "finetuning_type: full\nlora_rank: 16\nlora_dropout: 0.1",
      "recipe.yaml:6: lora_rank, lora_dropout have no effect with finetuning_type: full",
    ],
    [
      "freeze_trainable_layers: 3",
      "recipe.yaml:5: freeze_trainable_layers has no effect with finetuning_type: lora",
    ],
  ])("%s", (lines, wanted) => {
    const { notes } = load(lines);
    expect(notes).toHaveLength(1);
    const note = notes[0]?.replaceAll(`${folder}/`, "");
    if (typeof wanted === "string") expect(note).toBe(wanted);
    else expect(note).toMatch(wanted);
  });

  test.each([
    "torch_compile: false",
    "galore_rank: 8",
    "eval_steps: 100\nper_device_eval_batch_size: 1\neval_strategy: no\nval_size: 0.0",
    "deepspeed: null",
    "lr_scheduler_kwargs: {}",
    "finetuning_type: full\nlora_target: all\nlora_rank: 8",
    "gradient_checkpointing: true",
    "hub_token: ''\n".replace("''", "abc"),
    "disable_tqdm: null",
  ])("none for %s", (lines) => {
    expect(load(lines).notes).toEqual([]);
  });

  test("a file without stage is pt, and says so", () => {
    const { notes } = loadRecipe(write("model_name_or_path: m\ndo_train: true\ndataset: a\n"), [], {
      env: {},
    });
    expect(notes).toEqual([expect.stringMatching(/stage is not given; taken as pt/)]);
  });
});

describe("mistakes", () => {
  test.each([
    // unknown keys
    [
      "lora_rnk: 8",
      "recipe.yaml:5: unknown key lora_rnk; did you mean lora_rank? (ALLOW_EXTRA_ARGS=1 in the environment lets unknown keys pass)",
    ],
    ["leraning_rate: 8", /did you mean learning_rate\?/],
    ["evaluation_strategy: steps", /did you mean eval_strategy\?/],
    ["cutoff-len: 5", /did you mean cutoff_len\?/],
    ["Lora_Rank: 5", /did you mean lora_rank\?/],
    ["yes: 1", /unknown key yes/],
    ["__proto__: 1", /unknown key __proto__/],
    ["constructor: 1", /unknown key constructor/],
    // types
    ["\nlora_rank: eight", 'recipe.yaml:6: lora_rank: expected an integer, at least 1, received "eight"'],
    ['lora_rank: "8"', 'recipe.yaml:5: lora_rank: expected an integer, at least 1, received "8"'],
    ["lora_rank: 8.5", /expected an integer, at least 1, received 8.5/],
    ["lora_rank: true", /expected an integer.*received true/],
    [
      "hf_hub_token: 12345",
      "recipe.yaml:5: hf_hub_token: expected text (put it in quotes), received a value that is not shown",
    ],
    ["lora_rank: [8]", /received \[8\]/],
    ["learning_rate: 1e", /expected a number, at least 0, received "1e"/],
    ["learning_rate: .nan", /received NaN/],
    ["learning_rate: .inf", /received Infinity/],
    ["bf16: y", /expected true or false, received "y"/],
    ["bf16: 1", /expected true or false, received 1/],
    ["output_dir: 2024", /output_dir: expected text \(put it in quotes\), received 2024/],
    ["output_dir: ''", /output_dir: expected text, received ""/],
    ["dataset: 5", /dataset: expected a list, or text separated by commas, received 5/],
    ["dataset: a,,b", /dataset: expected a list without empty items/],
    ["dataset: [a, 5]", /dataset: expected a list of texts \(put each in quotes\)/],
    ["rope_parameters: yarn", /expected a mapping such as/],
    ["rope_parameters: {factr: 4}", /only the names rope_type/],
    [
      "rope_parameters: {rope_type: longrope}",
      /rope_type to be one of default, linear, dynamic, yarn, llama3/,
    ],
    ["resume_from_checkpoint: 5", /expected the path of a checkpoint, true, or null, received 5/],
    ["output_dir: ???", /still to be filled in/],
    // values
    ["lora_rank: 0", /at least 1, received 0/],
    ["learning_rate: -1e-4", /at least 0, received -0.0001/],
    ["lora_dropout: 1.0", /at least 0 and below 1, received 1/],
    ["warmup_ratio: 1.0", /warmup_ratio: expected a number, at least 0 and below 1, received 1/],
    ["warmup_steps: -1", /warmup_steps/],
    ["warmup_steps: 1.5", /expected an integer, or a share below 1, received 1.5/],
    ["logging_steps: 0", /not 0, received 0/],
    ["save_steps: 2.5", /received 2.5/],
    ["max_samples: 0", /at least 1, received 0/],
    ["num_train_epochs: 0", /above 0, received 0/],
    ["cutoff_len: 1", /at least 2, received 1/],
    ["neat_packing: true\npacking: false", /neat_packing: it keeps packed documents apart.*remove one/],
    [
      "neat_packing: true\nstreaming: true\nmax_steps: 2",
      /blocks of a stream do not say where documents begin/,
    ],
    ["neat_packing: true\ntokenized_path: x", /tokenized_path do not say where documents begin; remove one/],
    ["packing: true\ncutoff_len: 2", /cutoff_len: expected at least 3 with packing: true, received 2/],
    ["gradient_accumulation_steps: 0", /at least 1, received 0/],
    ["seed: -1", /seed/],
    ["adam_beta2: 1", /below 1, received 1/],
    ["finetuning_type: freeze\nfreeze_trainable_layers: 0", /integer other than 0/],
    [
      "finetuning_type: lroa",
      'recipe.yaml:5: finetuning_type: expected one of lora, freeze, full, received "lroa"',
    ],
    ["lr_scheduler_type: cosin", /expected one of linear, cosine, .*greedy, received "cosin"/],
    // refused
    [
      "use_llama_pro: true",
      "recipe.yaml:5: use_llama_pro: true is refused: it is not in this version; remove it",
    ],
    ["deepspeed: ds_z3.json", /recipe.yaml:5: deepspeed: there is no file ds_z3.json/],
    ["fsdp: full_shard offload", /recipe.yaml:5: fsdp.*is refused: offload is not built/],
    [
      "quantization_bit: 3",
      /recipe\.yaml:5: quantization_bit: 3 bits are not a format of bitsandbytes'; set .*: 4 or 8/,
    ],
    ["quantization_bit: 4\nquantization_type: int4", /quantization_type: expected one of nf4, fp4/],
    [
      "quantization_bit: 4\nquantization_method: hqq",
      /quantization_method: hqq is not built in; set .*: bnb/,
    ],
    ["quantization_bit: 4\nfinetuning_type: full", /quantization_bit: needs finetuning_type: lora, not full/],
    [
      "quantization_bit: 4\nfinetuning_type: freeze",
      /quantization_bit: needs finetuning_type: lora, not freeze/,
    ],
    ["quantization_bit: 4\npissa_init: true", /pissa_init: a quantized weight has no singular vectors/],
    [
      "quantization_bit: 4\nresize_vocab: true",
      /resize_vocab: the tables of a quantized model are not resized/,
    ],
    [
      "quantization_bit: 4\nadapter_name_or_path: a,b",
      /adapter_name_or_path: a quantized model takes one adapter/,
    ],
    [
      "quantization_bit: 4\nadapter_name_or_path: a\ncreate_new_adapter: true",
      /create_new_adapter: the adapter before it cannot be merged into a quantized model/,
    ],
    ["quantization_bit: 4\newc_lambda: 1\newc_dataset: a", /ewc_lambda: a quantized weight has no gradient/],
    ["layer_offload: disk\nfinetuning_type: full", /layer_offload: needs finetuning_type: lora, not full/],
    [
      "layer_offload: disk\nquantization_bit: 4",
      /layer_offload: quantized weights are not .* quantization_bit/,
    ],
    ["layer_offload: disk\npissa_init: true", /layer_offload: remove pissa_init: its weights are no file's/],
    ["fp8: true\nquantization_bit: 4", /fp8: the frozen layers have a format already; .* quantization_bit/],
    ["fp8: true\nquantization_compute: int8", /fp8: .* already; remove it or quantization_compute/],
    ["fp8: true\nfinetuning_type: lora\npissa_init: true", /remove pissa_init or fp8/],
    ["fp8: true\nadapter_name_or_path: a,b", /adapter_name_or_path: a model of fp8 takes one adapter/],
    ["fp8: true\nlayer_offload: disk", /layer_offload: quantized weights are not .* or fp8/],
    ["fp8: true\nfp8_backend: te", /fp8_backend: .*no library is needed for them; set fp8_backend: auto/],
    ["fp8: true\nfp8_backend: msamp", /fp8_backend: .*set fp8_backend: auto; available: auto, torchao/],
    ["quantization_compute: int4", /quantization_compute: expected one of int8/],
    [
      "quantization_compute: int8\nquantization_bit: 8",
      /quantization_compute: has a format for the weights already; remove it or quantization_bit/,
    ],
    [
      "quantization_compute: int8\nfinetuning_type: full",
      /quantization_compute: needs finetuning_type: lora, not full/,
    ],
    ["quantization_compute: int8\npissa_init: true", /remove pissa_init or quantization_compute/],
    [
      "quantization_compute: int8\nadapter_name_or_path: a,b",
      /adapter_name_or_path: a model of quantization_compute takes one adapter/,
    ],
    ["quantization_bit: 4\ntrain_from_scratch: true", /train_from_scratch: weights that nobody has trained/],
    ["val_size: 0.1\neval_dataset: a", /recipe\.yaml:\d+: val_size: it excludes eval_dataset; keep one/],
    ["val_size: -1", /val_size: expected a number, at least 0/],
    ["streaming: true", /recipe\.yaml:\d+: streaming: a stream has no known end; set max_steps too/],
    ["streaming: true\nmax_steps: 5\nmax_samples: 3", /max_samples: it excludes streaming/],
    ["mix_strategy: interleave", /mix_strategy: expected one of concat, interleave_under/],
    ["interleave_probs: 0.5,0.5", /recipe\.yaml:\d+: interleave_probs: it has no meaning with mix_strategy/],
    ["mix_strategy: interleave_over\ninterleave_probs: 0.5,0.5", /interleave_probs: 2 for the 1 of dataset/],
    ["mix_strategy: interleave_over\ninterleave_probs: 0.9", /interleave_probs: they sum to 0.9; make/],
    ["mix_strategy: interleave_over\ninterleave_probs: half", /interleave_probs: expected numbers such as/],
    ["optim: [adamw_torch]", /optim: expected the name of an optimizer, received/],
    ["adafactor: true", /adafactor: true is refused: write optim: adafactor instead/],
    [
      "report_to: comet_ml",
      /report_to: "comet_ml" is refused: comet_ml is not built in; choose some of tensorboard, /,
    ],
    ["report_to: [tensorboard, neptune]", /report_to.*neptune is not built in/],
    ["report_to: wand", /report_to: expected none, all, or some of tensorboard, .*, received "wand"/],
    ["finetuning_type: oft", /"oft" is refused/],
    ["dataset_dir: REMOTE:org/x", /is refused: dataset_info.json of a repository is not fetched/],
    ["load_best_model_at_end: true", /needs eval_strategy \(no\) and save_strategy \(steps\) to be the same/],
    [
      "load_best_model_at_end: true\neval_strategy: steps\neval_steps: 3\nsave_steps: 10",
      "recipe.yaml:5: load_best_model_at_end: needs save_steps (10) to be a multiple of eval_steps (3)",
    ],
    ["early_stopping_steps: 3", /early_stopping_steps: needs evaluations while it trains; set eval_strategy/],
    ["early_stopping_steps: 3\neval_strategy: epoch", /needs a metric; set metric_for_best_model: loss/],
    ["lr_scheduler_type: greedy", /lr_scheduler_type: greedy needs evaluations while it trains/],
    ["save_strategy: best", /save_strategy: best needs evaluations/],
    ["bf16_full_eval: true\nfp16_full_eval: true", /exclude each other/],
    ["train_sampling_strategy: sequential", /is refused: for blocks in order use disable_shuffling: true/],
    // contradictions
    ["bf16: true\nfp16: true", "recipe.yaml:6: bf16 and fp16 exclude each other; keep one of them"],
    ["fp16: true\npure_bf16: true", "recipe.yaml:5: pure_bf16 and fp16 exclude each other; keep one of them"],
    ["rope_scaling: yarn\nrope_parameters: {rope_type: yarn}", /exclude each other/],
    ["finetuning_type: full\nuse_dora: true", /:6: use_dora needs finetuning_type: lora, not full/],
    ["finetuning_type: freeze\nloraplus_lr_ratio: 4", /loraplus_lr_ratio needs finetuning_type: lora/],
    [
      "pissa_init: true\npissa_convert: true\nuse_dora: true",
      /pissa_convert and use_dora exclude each other/,
    ],
    ["finetuning_type: full\nadapter_name_or_path: a", /needs finetuning_type: lora, not full/],
    // YAML
    ["lora_rank: 8\nlora_rank: 8", "recipe.yaml:6: lora_rank is given twice; keep one of the two"],
    ["\tlora_rank: 8", "recipe.yaml:5: a tab is used for indentation; YAML takes spaces only"],
    ["rope_parameters:\n\tfactor: 8", "recipe.yaml:6: a tab is used for indentation; YAML takes spaces only"],
    ["lora_target: [a, b", /^recipe.yaml:\d+: this is not YAML: /],
    ["lora_rank: 8: 9", /^recipe.yaml:5: this is not YAML: /],
    ["---\na: 1", /^recipe.yaml:5: a second document begins here/],
    [
      "output_dir: ${nope}",
      /recipe.yaml:5: output_dir: \$\{nope\} refers to a key that is not in the recipe/,
    ],
    ["output_dir: ${oc.env:NOPE}", /the environment has no NOPE; set it, or write \$\{oc.env:NOPE,default\}/],
    [
      "output_dir: ${logging_dir}\nlogging_dir: ${output_dir}",
      /refers to itself \(output_dir -> logging_dir -> output_dir\)/,
    ],
    ["output_dir: ${now:%Y}", /\$\{now:...\} is not understood/],
    ["output_dir: ${oc.env:X", /without its closing brace/],
    ["lora_rank: ${oc.env:X,abc}", /lora_rank: expected an integer, at least 1, received "abc"/],
  ])("%s", (lines, wanted) => {
    const message = mistake(() => {
      // A key of the base may be given again by the case.
      const names = new Set([...lines.matchAll(/^(\w+):/gm)].map((match) => match[1]));
      const base = BASE.split("\n")
        .map((line) => (names.has(line.split(":")[0]) ? "" : line))
        .join("\n");
      expect(base.split("\n")).toHaveLength(BASE_LINES + 1);
      loadRecipe(write(base + lines), [], { env: {} });
    });
    if (typeof wanted === "string") expect(message).toBe(wanted);
    else expect(message).toMatch(wanted);
  });

  test.each([
    ["", "recipe.yaml: model_name_or_path is missing; set it to the model's folder"],
    ["model_name_or_path: m\n", "recipe.yaml: nothing to do: set do_train: true"],
    ["model_name_or_path: m\ndo_train: false\n", "recipe.yaml:2: nothing to do: set do_train: true"],
    [
      "model_name_or_path: m\ndo_train: true\n",
      "recipe.yaml: dataset is missing; set it to a name in dataset_info.json",
    ],
    ["- a\n", "recipe.yaml: expected lines of `key: value`"],
    [
      "model_name_or_path: m\nstage: sft\n",
      'recipe.yaml:2: stage: "sft" is refused: only incremental pre-training is done here; available: pt',
    ],
  ])("a whole recipe %j", (text, wanted) => {
    expect(mistake(() => loadRecipe(write(text), [], { env: {} }))).toBe(wanted);
  });

  test("an override is named by itself", () => {
    expect(mistake(() => load("", ["lora_rank=x"]))).toBe(
      'override lora_rank=x: lora_rank: expected an integer, at least 1, received "x"',
    );
    expect(mistake(() => load("", ["--lora_rank", "8"]))).toMatch(/has the form key=value, without dashes/);
    expect(mistake(() => load("", ["lora_rnk=8"]))).toMatch(
      /^override lora_rnk=8: unknown key lora_rnk; did you mean lora_rank/,
    );
  });

  test("files that cannot be read", () => {
    expect(mistake(() => loadRecipe(join(folder, "absent.yaml")))).toBe(
      "absent.yaml: there is no such recipe file; check its path and the folder that you are in",
    );
    expect(mistake(() => loadRecipe(folder))).toMatch(/this is a folder/);
    expect(mistake(() => loadRecipe(write(new Uint8Array([0x61, 0x3a, 0xff]))))).toMatch(/not UTF-8/);
    expect(mistake(() => loadRecipe(write("{", "r.json")))).toMatch(
      /^r.json:1: malformed JSON \(it ends in the middle/,
    );
    expect(mistake(() => loadRecipe(write("[1]", "r.json")))).toMatch(/one object/);
  });

  test("an alias that multiplies itself is stopped", () => {
    const lines = ["a: &a [1,2,3,4,5,6,7,8,9,0]"];
    for (let i = 0; i < 8; i++) {
      const name = String.fromCharCode(97 + i);
      const next = String.fromCharCode(98 + i);
      lines.push(`${next}: &${next} [${`*${name},`.repeat(10)}]`);
    }
    expect(mistake(() => loadRecipe(write(lines.join("\n"))))).toMatch(/more than 10000 values/);
  });
});

describe("the environment", () => {
  test.each(["1", "true", "y", "TRUE"])(
    "ALLOW_EXTRA_ARGS=%s lets unknown keys pass and names them",
    (ALLOW_EXTRA_ARGS) => {
      const { notes } = load("lora_rnk: 8\n", [], { env: { ALLOW_EXTRA_ARGS } });
      expect(notes).toEqual([expect.stringMatching(/:5: lora_rnk is not a known key and is ignored/)]);
    },
  );
  test("ALLOW_EXTRA_ARGS=0 does not", () => {
    expect(() => load("lora_rnk: 8\n", [], { env: { ALLOW_EXTRA_ARGS: "0" } })).toThrow(UserError);
  });
  test("what several processes cannot do is refused where there are several", () => {
    const several = { env: { WORLD_SIZE: "2" } };
    expect(() => load("streaming: true\nmax_steps: 3\n", [], several)).not.toThrow();
    expect(mistake(() => load("average_tokens_across_devices: false\n", [], several))).toMatch(
      /average_tokens_across_devices: the loss of several processes/,
    );
    expect(mistake(() => load("ddp_backend: mpi\n", [], several))).toMatch(
      /:5: ddp_backend: mpi is not built; processes talk by nccl on GPUs and by gloo on the processor/,
    );
    for (const backend of ["gloo", "nccl"])
      expect(load(`ddp_backend: ${backend}\n`, [], several).notes).toEqual([]);
    expect(load("ddp_timeout: 180000000\n", [], several).recipe.ddp_timeout).toBe(180_000_000);
  });
});

describe("export and chat", () => {
  test("need no data, and read a training recipe too", () => {
    const chat = loadRecipe(write("model_name_or_path: m\nadapter_name_or_path: a\ntemperature: 0\n"), [], {
      for: "chat",
      env: {},
    });
    expect(chat.recipe).toMatchObject({
      adapter_name_or_path: ["a"],
      do_sample: false,
      top_k: 50,
      max_new_tokens: 1024,
    });
    const again = loadRecipe(
      TUTORIAL,
      ["adapter_name_or_path=a", "use_llama_pro=true", "report_to=neptune"],
      {
        for: "chat",
        env: {},
      },
    );
    expect(again.recipe.adapter_name_or_path).toEqual(["a"]);
    expect(again.notes).toEqual([]);
  });
  test("export needs its folder", () => {
    expect(mistake(() => loadRecipe(write("model_name_or_path: m\n"), [], { for: "export", env: {} }))).toBe(
      "recipe.yaml: export_dir is missing; set it to the folder for the merged model",
    );
    const { recipe } = loadRecipe(write("model_name_or_path: m\nexport_dir: out\nexport_size: 2\n"), [], {
      for: "export",
      env: {},
    });
    expect(recipe).toMatchObject({ export_dir: "out", export_size: 2, export_device: "cpu" });
  });
  test.each([
    ["export", "export_quantization_bit: 4", /is refused: an export is not quantized/],
    ["export", "export_legacy_format: true", /is refused/],
    ["chat", "num_beams: 4", /is refused: there is no beam search/],
    ["chat", "quantization_bit: 2", /2 bits are not a format of bitsandbytes/],
    [
      "export",
      "quantization_bit: 4\nadapter_name_or_path: a",
      /cannot be merged into a quantized model; remove/,
    ],
    ["chat", "infer_backend: vllm", /is refused/],
    ["chat", "top_p: 0", /above 0 and at most 1/],
    ["chat", "lora_rank: x", /expected an integer/],
  ] as const)("%s: %s", (command, line, wanted) => {
    const text = `model_name_or_path: m\nexport_dir: out\n${line}\n`;
    expect(mistake(() => loadRecipe(write(text), [], { for: command, env: {} }))).toMatch(wanted);
  });
  test("what only another command reads is skipped", () => {
    expect(() => load("num_beams: 4\nexport_quantization_bit: 4\n")).not.toThrow();
  });
});
