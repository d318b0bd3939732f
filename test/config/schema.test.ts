// The schema against the arguments of LLaMA-Factory and transformers (arguments.json, which write_arguments.py wrote),
// and what every key must say about itself.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { describeKey, listKeys, nearestKey, recipeJsonSchema } from "../../lib/config/index.js";
import { Mismatch } from "../../lib/config/key.js";
import { editDistance } from "../../lib/config/nearest.js";
import { SCHEMA } from "../../lib/config/schema.js";

const reference = JSON.parse(
  readFileSync(new URL("../fixtures/config/arguments.json", import.meta.url), "utf8"),
) as { defaults: Record<string, unknown>; older: string[] };

// Where our default is written otherwise; each has a reason.
const OTHERWISE: Record<string, unknown> = {
  stage: "pt", // the only one here
  model_name_or_path: "", // required
  export_dir: "", // required by export
  dataset: [], // required by train
  packing: true, // null becomes true in stage pt
  lora_alpha: 0, // null and 0 become twice the rank
  output_dir: "trainer_output", // transformers fills it in
  report_to: [], // "none"
  lora_target: ["all"],
  freeze_trainable_modules: ["all"],
  galore_target: ["all"],
  apollo_target: ["all"],
  oft_target: ["all"],
  debug: null, // "" is no text
  gradient_checkpointing: null, // what memory allows; LLaMA-Factory has its own key for it
};

describe("the schema", () => {
  test("knows every argument with LLaMA-Factory's default", () => {
    const ours = Object.fromEntries(
      Object.keys(reference.defaults).map((name) => [name, SCHEMA.get(name)?.default]),
    );
    expect(Object.keys(reference.defaults).length).toBeGreaterThan(340);
    expect(ours).toEqual({ ...reference.defaults, ...OTHERWISE });
  });

  test("knows every argument that transformers 4.57 takes besides", () => {
    expect(reference.older.filter((name) => !SCHEMA.has(name))).toEqual([]);
  });

  test("says of every key what it is", () => {
    for (const key of listKeys()) {
      expect(key.doc, key.name).toMatch(/^[^\n]{5,}[.]$/);
      expect(key.type, key.name).not.toBe("");
      expect(key.default, key.name).not.toBe("");
      expect(key.commands.length, key.name).toBeGreaterThan(0);
      if (key.class === "working") expect(key.reason, key.name).toBeUndefined();
      else expect(key.reason, key.name).toMatch(/^[^\n]{5,}[^.]$/);
    }
  });

  test("takes every key's own default and nothing of another type", () => {
    for (const [name, key] of SCHEMA) {
      if (key.default !== null && key.default !== "")
        expect(key.read(key.default), name).toEqual(key.default);
      if (key.type !== "any value") expect(() => key.read(Symbol("other")), name).toThrow(Mismatch);
    }
  });

  test("has keys of every class and group", () => {
    const groups = new Set(listKeys().map((key) => key.group));
    expect([...groups].sort()).toEqual([
      "data",
      "generation",
      "incremental",
      "method",
      "model",
      "output",
      "training",
    ]);
    const count = (wanted: string) => listKeys().filter((key) => key.class === wanted).length;
    expect(count("working")).toBeGreaterThan(70);
    expect(count("refused")).toBeGreaterThan(30);
  });
});

describe("descriptions", () => {
  test("of a key", () => {
    expect(describeKey("lora_alpha")).toEqual({
      name: "lora_alpha",
      group: "method",
      class: "working",
      type: "an integer, at least 0",
      default: "twice lora_rank",
      doc: "LoRA's update is scaled by lora_alpha / lora_rank; 0 means twice the rank.",
      commands: ["train"],
    });
    expect(describeKey("lora_rnk")).toBeUndefined();
  });

  test.each([
    ["lora_rnk", "lora_rank"],
    ["cutof_len", "cutoff_len"],
    ["batch_size", "per_device_train_batch_size"],
    ["warmup_ration", "warmup_ratio"],
    ["datset", "dataset"],
    ["lora-rank", "lora_rank"],
  ])("the key nearest to %s is %s", (name, wanted) => expect(nearestKey(name)).toBe(wanted));

  test.each([
    ["", "", 0],
    ["", "abc", 3],
    ["kitten", "sitting", 3],
    ["ab", "ba", 1],
    ["lora_rank", "lora_rank", 0],
  ])("from %j to %j it takes %i letters", (a, b, wanted) => expect(editDistance(a, b)).toBe(wanted));

  // node scripts/generate/recipe-docs.mjs writes both.
  test("docs/recipe.schema.json and docs/recipe.md are up to date", () => {
    const doc = (name: string) => readFileSync(new URL(`../../docs/${name}`, import.meta.url), "utf8");
    expect(JSON.parse(doc("recipe.schema.json"))).toEqual(recipeJsonSchema());
    const rows = doc("recipe.md")
      .split("\n")
      .filter((line) => line.startsWith("| `"));
    const cell = (words: string) => words.replaceAll("|", "\\|").replaceAll("<", "&lt;");
    expect(rows.length).toBe(listKeys().length);
    for (const { name, type, doc, reason, default: value } of listKeys()) {
      const cells = [`\`${name}\``, cell(type), cell(value), cell(doc), ...(reason ? [cell(reason)] : [])];
      expect(rows).toContain(`| ${cells.join(" | ")} |`);
    }
  });

  test("as a JSON Schema", () => {
    const schema = recipeJsonSchema() as { properties: Record<string, Record<string, unknown>> };
    expect(schema.properties.lora_rank).toEqual({
      description: "Rank of the LoRA matrices.",
      type: ["integer", "null"],
      minimum: 1,
      default: 8,
    });
    expect(schema.properties.lr_scheduler_type?.enum).toContain("cosine");
    expect(schema.properties.use_galore).toBeUndefined();
  });
});
