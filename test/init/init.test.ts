// `qwen-pt init`: the recipe that it writes is read and trained, its data is found, and nothing of the user's is lost.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { quantizedConfig } from "../../lib/assembly/quantized.js";
import { dispatch } from "../../lib/cli/dispatch.js";
import type { Host } from "../../lib/cli/terminal/host.js";
import { loadRecipe } from "../../lib/config/index.js";
import {
  costOf,
  METHODS,
  memoryNeeded,
  parametersIn,
  planData,
  recipeText,
  type Saving,
  savingFor,
  scalar,
  suggestMethod,
} from "../../lib/init/index.js";
import { parseConfig } from "../../lib/models/index.js";
import { estimateMemory, runRecipe, shapesOf } from "../../lib/train/index.js";
import { tinyModel } from "../api/room.js";
import { FakeHost } from "../cli/program.js";
import { QWEN3_SIZES } from "../fixtures/qwen3-sizes.js";
import { loaded } from "../train/runs.js";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(path.join(os.tmpdir(), "qwen-pt-init-test-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const at = (...names: string[]) => path.join(dir, ...names);
const write = (name: string, text: string) => {
  mkdirSync(path.dirname(at(name)), { recursive: true });
  writeFileSync(at(name), text);
};
const json = (name: string) => JSON.parse(readFileSync(at(name), "utf8"));
const verse = Array.from({ length: 40 }, (_, i) =>
  JSON.stringify({ text: `春眠不覺曉，處處聞啼鳥。夜來風雨聲，花落知多少。${i}` }),
);

async function init(...args: string[]) {
  const host = new FakeHost();
  const code = await dispatch(["init", ...args], host);
  return { code, out: host.text, err: host.errors };
}

describe("without questions", () => {
  it("writes a recipe that trains as it stands", async () => {
    write("texts/verse.jsonl", `${verse.join("\n")}\n`);
    mkdirSync(at("model"));
    tinyModel(at("model"));
    const recipe = at("recipe.yaml");
    const options = ["--model", at("model"), "--data", at("texts/verse.jsonl"), "--output", at("out")];
    const { code, out, err } = await init(recipe, "--yes", ...options);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(
      /^data: verse: .*dataset_info\.json is written\n.*recipe\.yaml is written\. Now: qwen-pt train /,
    );
    expect(json("texts/dataset_info.json")).toEqual({
      verse: { file_name: "verse.jsonl", columns: { prompt: "text" } },
    });
    const loaded = loadRecipe(recipe, [
      "max_steps=3",
      "cutoff_len=32",
      "gradient_accumulation_steps=1",
      "bf16=false",
    ]);
    expect(loaded.notes).toEqual([]);
    expect(loaded.recipe).toMatchObject({
      finetuning_type: "lora",
      dataset: ["verse"],
      do_train: true,
      lora_rank: 8,
    });
    const result = await runRecipe(loaded);
    expect(result.steps).toBe(3);
    expect(existsSync(at("out/adapter_model.safetensors"))).toBe(true);
  });

  it.each(["lora", "freeze", "full"] as const)("--method %s is read without a note", async (method) => {
    write("verse.jsonl", verse.join("\n"));
    const { code } = await init(at("r.yaml"), "--yes", "--data", at("verse.jsonl"), "--method", method);
    expect(code).toBe(0);
    const { recipe, notes } = loadRecipe(at("r.yaml"));
    expect(notes).toEqual([]);
    expect(recipe).toMatchObject({ finetuning_type: method, model_name_or_path: "Qwen/Qwen3-0.6B" });
    expect(recipe.output_dir).toBe(`saves/Qwen3-0.6B/${method}/pretrain`);
  });

  it("comments every section, and every line of YAML is a key that the schema knows", async () => {
    const answers = {
      model: "m",
      datasetDir: "d",
      datasets: ["a", "b"],
      method: "lora" as const,
      output: "o",
    };
    const text = recipeText(answers, { bf16: true, isCard: false });
    expect(text.match(/^###/gm)?.length).toBe(5);
    expect(text.split("\n").filter((line) => line.startsWith("#")).length).toBeGreaterThan(15);
    expect(text).toContain("dataset: a,b\n");
    expect(text).toMatch(/# Compute in bfloat16\.\nbf16: true\n$/);
    const old = recipeText(answers, { bf16: false, isCard: true });
    expect(old).toMatch(/# Compute in bfloat16\. This card has no instructions for it\.\nbf16: false\n$/);
  });

  it("does not overwrite without --force, and then keeps what is in dataset_info.json", async () => {
    write("verse.jsonl", verse.join("\n"));
    write("prose.txt", "one\ntwo\n");
    write("dataset_info.json", JSON.stringify({ old: { file_name: "old.json", note: "kept" } }));
    write("r.yaml", "mine: 1\n");
    const refused = await init(at("r.yaml"), "--yes", "--data", at("verse.jsonl"));
    expect(refused).toEqual({
      code: 1,
      out: "",
      err: expect.stringMatching(/^error: init: .*r\.yaml exists: .*--force\n$/),
    });
    expect(readFileSync(at("r.yaml"), "utf8")).toBe("mine: 1\n");
    expect(Object.keys(json("dataset_info.json"))).toEqual(["old"]);
    expect((await init(at("r.yaml"), "--yes", "--force", "--data", at("verse.jsonl"))).code).toBe(0);
    expect((await init(at("s.yaml"), "--yes", "--data", at("prose.txt"))).code).toBe(0);
    expect(json("dataset_info.json")).toEqual({
      old: { file_name: "old.json", note: "kept" },
      verse: { file_name: "verse.jsonl", columns: { prompt: "text" } },
      prose: { file_name: "prose.txt", columns: { prompt: "text" } },
    });
  });

  it.each<[string, string[], RegExp]>([
    [
      "a path that is not there",
      ["--data", "nowhere.jsonl"],
      /nowhere\.jsonl: there is no such file or folder/,
    ],
    [
      "a method that is none",
      ["--data", ".", "--method", "qlora"],
      /--method qlora: it is one of lora, freeze, full/,
    ],
    ["an option that is none", ["--rank", "8"], /init has no option --rank: it has --model, --data/],
    ["a key", ["r.yaml", "lora_rank=8"], /write keys into the recipe once it is there/],
    ["another ending", ["recipe.json", "--data", "."], /a recipe's name ends in \.yaml/],
  ])("%s is refused in one line, and nothing is written", async (_, args, line) => {
    const { code, err } = await init("--yes", ...args);
    expect([code, err]).toEqual([1, expect.stringMatching(line)]);
    expect(err.trimEnd()).not.toContain("\n");
    expect(existsSync("recipe.yaml")).toBe(false);
  });
});

describe("the data behind a path", () => {
  it.each<[string, string, unknown]>([
    ["a.jsonl", '{"content": "x", "id": 3}\n', { file_name: "a.jsonl", columns: { prompt: "content" } }],
    ["a.json", '[{"instruction": "x", "input": "", "output": "y"}]', { file_name: "a.json" }],
    ["a.csv", "body,n\nhello,1\n", { file_name: "a.csv", columns: { prompt: "body" } }],
    ["a.jsonl", '{"verse": "x", "n": 1}\n', { file_name: "a.jsonl", columns: { prompt: "verse" } }],
    [
      "a.jsonl",
      '{"conversations": [{"from": "human", "value": "x"}]}\n',
      { file_name: "a.jsonl", formatting: "sharegpt" },
    ],
    [
      "a.jsonl",
      '{"messages": [{"role": "user", "content": "x"}]}\n',
      expect.objectContaining({ formatting: "openai" }),
    ],
  ])("%s %s", async (name, text, entry) => {
    write(name, text);
    const plan = await planData(at(name));
    expect(plan).toMatchObject({ dir, names: ["a"] });
    expect(plan.info).toEqual({ a: entry });
  });

  it("a folder with dataset_info.json: its datasets that are there", async () => {
    write(
      "dataset_info.json",
      JSON.stringify({
        a: { file_name: "a.jsonl" },
        gone: { file_name: "gone.jsonl" },
        hub: { hf_hub_url: "o/n" },
      }),
    );
    write("a.jsonl", verse[0]);
    expect(await planData(dir)).toEqual({ dir, names: ["a"], found: expect.stringContaining("a of ") });
  });

  it("a folder of Markdown, with folders in it: one dataset, a document a file; a single .md too", async () => {
    write("notes.md", "# A\n\ntext\n");
    write("more.txt", "text\n");
    mkdirSync(at("chapters"));
    write("chapters/one.md", "text\n");
    const plan = await planData(dir);
    const [name] = plan.names as [string];
    expect(plan.info).toEqual({ [name]: { file_name: ".", whole_file: true } });
    expect(plan.found).toContain("3 documents");
    expect((await planData(at("notes.md"))).info).toEqual({
      notes: { file_name: "notes.md", whole_file: true },
    });
  });

  it("a folder of files: each a dataset, two of one name told apart", async () => {
    write("x.jsonl", verse[0]);
    write("x.txt", "text\n");
    write("picture.png", "");
    const plan = await planData(dir);
    expect(plan.names).toEqual(["x", "x_2"]);
    expect(Object.keys(plan.info!)).toEqual(["x", "x_2"]);
  });

  it("asks for the column where several hold text, and takes it", async () => {
    write("a.jsonl", '{"title": "x", "verse": "y", "n": 1}\n');
    await expect(planData(at("a.jsonl"))).rejects.toThrow(
      /which column holds the text\? the rows have: title, verse, n; name it with --column/,
    );
    expect((await planData(at("a.jsonl"), "verse")).info).toEqual({
      a: { file_name: "a.jsonl", columns: { prompt: "verse" } },
    });
    await expect(planData(at("a.jsonl"), "n")).rejects.toThrow(/column n holds no text/);
  });

  it.each<[string, string, RegExp]>([
    ["a.jsonl", "", /has no rows/],
    ["a.jsonl", "{broken\n", /a\.jsonl:1: malformed JSON/],
    ["dataset_info.json", "[]", /must be an object/],
    ["a.png", "", /is not of a type that is read/],
  ])("%s %j is refused", async (name, text, line) => {
    write(name, text);
    await expect(planData(at(name))).rejects.toThrow(line);
  });
});

describe("memory", () => {
  const GIB = 1024 ** 3;
  it.each(Object.entries(QWEN3_SIZES))(
    "of Qwen3-%s is what a run's estimate says",
    (_, { config, parameters }) => {
      const settings = parseConfig({ ...config, dtype: "bfloat16" });
      for (const finetuning_type of METHODS) {
        const keys = { finetuning_type, cutoff_len: 1024, per_device_train_batch_size: 1, bf16: true };
        Object.assign(keys, { lora_rank: 8, lora_target: "all", freeze_trainable_layers: 2 });
        const { recipe } = loaded(keys);
        const { total } = estimateMemory(shapesOf(recipe, settings), recipe, true);
        expect(Math.abs(memoryNeeded(finetuning_type, parameters) / total - 1)).toBeLessThan(0.01);
        if (finetuning_type !== "lora") continue;
        for (const saving of [{ quantization_bit: 4 }, { layer_offload: "disk" }] as const) {
          const { recipe: saved } = loaded({ ...keys, ...saving });
          const { total: less } = estimateMemory(
            shapesOf(saved, quantizedConfig(saved, settings, "bfloat16")),
            saved,
            true,
          );
          const [key] = Object.keys(saving) as [Saving];
          expect(Math.abs(memoryNeeded("lora", parameters, key) / less - 1)).toBeLessThan(0.03);
        }
      }
    },
  );

  it("reads a model's size from its name", () => {
    expect(parametersIn("Qwen/Qwen3-0.6B")).toBe(0.6e9);
    expect(parametersIn("models/Qwen3-8B-Base")).toBe(8e9);
    expect(parametersIn("tiny-20M")).toBe(20e6);
    expect(parametersIn("saves/mine")).toBeUndefined();
  });

  it("says what a choice costs", () => {
    const machine = { memory: 24 * GIB, isCard: true, bf16: true };
    expect(costOf("lora", 0.6e9, machine)).toBe("about 1.7 GiB of 24 GiB on the card");
    expect(costOf("full", 8e9, machine)).toMatch(/: too much$/);
    expect(suggestMethod(8e9, machine)).toEqual({ method: "lora", fits: true });
    expect(suggestMethod(32e9, machine).fits).toBe(false);
  });

  it("proposes 4 bits where 16 do not fit, else the model's file on a processor", () => {
    const machine = { memory: 24 * GIB, isCard: false, bf16: true };
    expect(savingFor("lora", 8e9, machine)).toBeUndefined();
    expect(savingFor("full", 32e9, machine)).toBeUndefined();
    expect(savingFor("lora", undefined, machine)).toBeUndefined();
    expect(savingFor("lora", 32e9, machine)).toBe("quantization_bit");
    expect(savingFor("lora", 32e9, { ...machine, memory: 12 * GIB })).toBe("layer_offload");
    expect(savingFor("lora", 32e9, { ...machine, memory: 12 * GIB, isCard: true })).toBeUndefined();
    for (const saving of ["quantization_bit", "layer_offload"] as const) {
      const text = recipeText(
        { model: "m", method: "lora", saving, output: "o", datasets: ["d"], datasetDir: "." },
        machine,
      );
      expect(text).toContain(
        saving === "quantization_bit" ? "\nquantization_bit: 4\n" : "\nlayer_offload: disk\n",
      );
      write("recipe.yaml", text);
      expect(loadRecipe(at("recipe.yaml"), [], { env: {} }).recipe[saving]).not.toBeNull();
    }
  });
});

describe("YAML", () => {
  it.each(["plain", "a b", "C:\\data", "yes", "3", "#x", "a: b", "春", "x~/y", "it's", '"', "-x", "a,b"])(
    "%s survives",
    (text) => {
      write(
        "x.yaml",
        `stage: pt\ndo_train: true\nmodel_name_or_path: ${scalar(text)}\ndataset: d\noutput_dir: o\n`,
      );
      expect(loadRecipe(at("x.yaml")).recipe.model_name_or_path).toBe(text);
    },
  );
});

describe("with questions", () => {
  /** A terminal whose user answers each question when it appears. */
  function terminal(answers: [question: RegExp, keys: string][]): { host: Host; shown: () => string } {
    const input = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => input });
    const output = Object.assign(new PassThrough(), { isTTY: true, columns: 100, rows: 40 });
    let shown = "";
    let fresh = "";
    output.on("data", (data) => {
      shown += data;
      fresh += data;
      if (!answers[0]?.[0].test(fresh)) return;
      const [, keys] = answers.shift()!;
      fresh = "";
      setTimeout(() => input.write(keys), 30);
    });
    const fake = new FakeHost();
    const host = Object.assign(Object.create(fake) as Host, { out: output, input });
    return { host, shown: () => shown };
  }
  const enter = "\r";

  /** What `init` offers is what lies about there. */
  async function within<T>(folder: string, run: () => Promise<T>): Promise<T> {
    const before = process.cwd();
    process.chdir(folder);
    try {
      return await run();
    } finally {
      process.chdir(before);
    }
  }

  it("four answers make a recipe; a wrong path is asked again", async () => {
    write("verse.jsonl", verse.join("\n"));
    const { host, shown } = terminal([
      [/Which model/, enter],
      [/Which data/, `${at("nothing")}${enter}`],
      [/no such file[\s\S]*Which data/, `${at("verse.jsonl")}${enter}`],
      [/Which method/, `\u001b[B${enter}`], // down: freeze
      [/Where to write/, `${at("out")}${enter}`],
    ]);
    const empty = at("empty");
    mkdirSync(empty);
    expect(await within(empty, () => dispatch(["init", at("asked.yaml")], host))).toBe(0);
    expect(shown()).toMatch(/about 1\.7 GiB of \d+ GiB/);
    expect(loadRecipe(at("asked.yaml")).recipe).toMatchObject({
      model_name_or_path: "Qwen/Qwen3-0.6B",
      finetuning_type: "freeze",
      dataset_dir: dir,
      dataset: ["verse"],
      output_dir: at("out"),
    });
  });

  it("files that are there are offered, and what is typed is not added to a proposal", async () => {
    write("verse.jsonl", verse.join("\n"));
    for (const name of ["README.md", "package.json", "CMakeLists.txt", "empty.jsonl"])
      write(name, name === "empty.jsonl" ? "" : "{}");
    const { host, shown } = terminal([
      [/Which model/, `models/mine${enter}`],
      [/Which data[\s\S]*verse\.jsonl[\s\S]*another file/, enter],
      [/Which method/, enter],
      [/Where to write/, enter],
    ]);
    expect(await within(dir, () => dispatch(["init", at("offered.yaml")], host))).toBe(0);
    expect(shown()).not.toMatch(/README|package\.json|empty\.jsonl|CMakeLists/);
    expect(loadRecipe(at("offered.yaml")).recipe).toMatchObject({
      model_name_or_path: "models/mine",
      dataset: ["verse"],
      output_dir: expect.stringMatching(/^saves\/mine\//),
    });
  });

  it("Ctrl-C leaves, and nothing is written", async () => {
    write("verse.jsonl", verse.join("\n"));
    const { host } = terminal([[/Which model/, "\u0003"]]);
    expect(await dispatch(["init", at("asked.yaml"), "--data", at("verse.jsonl")], host)).toBe(130);
    expect([existsSync(at("asked.yaml")), existsSync(at("dataset_info.json"))]).toEqual([false, false]);
  });
});
