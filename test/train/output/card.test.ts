// README.md against the cards that transformers 5.6 and PEFT wrote (test/fixtures/output).
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import type { LogEntry } from "../../../lib/train/checkpoint/trainer-state.js";
import { parseTrainerState } from "../../../lib/train/checkpoint/trainer-state.js";
import { type CardRecipe, modelCard } from "../../../lib/train/output/card.js";

const fixture = (name: string) =>
  readFileSync(new URL(`../../fixtures/output/${name}`, import.meta.url), "utf8");

/** What a loaded recipe holds for the keys that its file leaves out. */
const DEFAULTS = {
  per_device_eval_batch_size: 8,
  seed: 42,
  optim: "adamw_torch_fused",
  optim_args: null,
  adam_beta1: 0.9,
  adam_beta2: 0.999,
  adam_epsilon: 1e-8,
  max_steps: -1,
  num_train_epochs: 3,
};
const recipeOf = (run: string): CardRecipe => ({ ...DEFAULTS, ...parse(fixture(`${run}/recipe.yaml`)) });
const cardOf = (run: string, change: Partial<CardRecipe> = {}) =>
  modelCard({
    recipe: { ...recipeOf(run), ...change },
    history: parseTrainerState(fixture(`${run}/trainer_state.json`), run).log_history,
    versions: [
      ["qwen-pt", "0.1.0"],
      ["libtorch", "2.13.0"],
    ],
  });
const matter = (card: string) => parse(card.split("---\n")[1] ?? "");
const headings = (card: string) => card.split("\n").filter((line) => line.startsWith("#"));

describe.each(["lora", "full"])("the card of a %s run", (run) => {
  const reference = fixture(`${run}/README.md`);
  const card = cardOf(run);

  it("has transformers' sections in order", () => expect(headings(card)).toEqual(headings(reference)));

  it("has the front matter's keys and values", () => {
    const { tags: referenceTags, ...expected } = matter(reference);
    const { tags, pipeline_tag, ...found } = matter(card);
    expect({ ...found, ...(run === "lora" ? { pipeline_tag } : {}) }).toEqual(expected);
    expect(pipeline_tag).toBe("text-generation");
    const program = new Set(["llama-factory", "generated_from_trainer"]);
    for (const tag of referenceTags.filter((one: string) => !program.has(one))) expect(tags).toContain(tag);
    expect(tags).toContain("qwen-pt");
  });

  it("lists the same hyperparameters", () => {
    const section = (text: string) => text.split("during training:\n")[1]?.split("\n\n")[0];
    expect(section(card)).toBe(
      section(reference)?.replace("OptimizerNames.ADAMW_TORCH_FUSED", "adamw_torch_fused"),
    );
  });

  it("names base model and data", () => {
    expect(card).toContain("This model is a fine-tuned version of `model` on the data1 dataset.\n");
    expect(card).toContain("- qwen-pt 0.1.0\n- libtorch 2.13.0\n");
  });
});

describe("the card", () => {
  it("tabulates the losses that were logged, at most twenty", () => {
    const table = cardOf("lora").split("### Training results\n\n")[1]?.split("\n\n")[0]?.split("\n") ?? [];
    expect(table[0]).toBe("| Training Loss | Epoch | Step |");
    expect(table[1]).toBe("|:-------------:|:-----:|:----:|");
    expect(table[2]).toBe("| 5.3521        | 0.16  | 2    |");
    expect(table.at(-1)).toBe("| 5.3482        | 2.96  | 38   |");
    expect(table).toHaveLength(2 + 19);
    const history = Array.from({ length: 500 }, (_, i) => ({ loss: 1, epoch: i, step: i }));
    const long = modelCard({ recipe: recipeOf("full"), history, versions: [] });
    expect(long.match(/^\| 1\.0 /gm)).toHaveLength(20);
    expect(long).toMatch(/\| 1\.0 {11}\| 499\.0 \| 499 {2}\|/);
  });

  it("says an optimizer's settings as transformers does", () => {
    const adam =
      "- optimizer: Use adamw_torch_fused with betas=(0.9,0.999) and epsilon=1e-08 and optimizer_args=";
    expect(cardOf("lora")).toContain(`${adam}No additional optimizer arguments\n`);
    const sgd = cardOf("lora", { optim: "sgd", optim_args: "momentum=0.9" });
    expect(sgd).toContain("- optimizer: Use sgd and the args are:\nmomentum=0.9\n");
  });

  it("tabulates evaluations where there are any", () => {
    const history: LogEntry[] = [
      { loss: 2.34567, step: 1, epoch: 1 },
      { eval_loss: 2.5, eval_runtime: 1, step: 1, epoch: 1 },
    ];
    const card = modelCard({ recipe: recipeOf("full"), history, versions: [] });
    expect(card).toContain("evaluation set:\n- Loss: 2.5\n");
    expect(card).toContain("| 2.3457        | 1.0   | 1    | 2.5             |");
  });

  it("links a model of the hub, and only that", () => {
    expect(cardOf("lora", { model_name_or_path: "Qwen/Qwen3-0.6B" })).toContain(
      "[Qwen/Qwen3-0.6B](https://huggingface.co/Qwen/Qwen3-0.6B)",
    );
    expect(cardOf("lora", { model_name_or_path: "../models/qwen3" })).not.toContain("](https://");
  });

  it("quotes what YAML would misread", () => {
    const odd = matter(cardOf("lora", { model_name_or_path: "models: #1", output_dir: "saves/1e3" }));
    expect(odd.base_model).toBe("models: #1");
    expect(odd["model-index"]).toEqual([{ name: "1e3", results: [] }]);
  });

  it("says several datasets, from scratch, fp16", () => {
    const card = cardOf("full", { dataset: "a, b,c", train_from_scratch: true, fp16: true });
    expect(card).toContain(
      "trained from scratch, with the configuration of `model`, on the a, the b and the c datasets.",
    );
    expect(card).toContain("- mixed_precision_training: Native AMP\n");
  });
});
