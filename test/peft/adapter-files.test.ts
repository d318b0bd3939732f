// PEFT's two files: written as PEFT writes them, read back, refused where they ask for more than is supported.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { UserError } from "../../lib/errors.js";
import {
  adapters,
  addLora,
  loadAdapter,
  loadAdapterState,
  mergeAdapter,
  SavedModule,
  saveAdapter,
} from "../../lib/peft/index.js";
import type { Tensor } from "../../lib/torch/index.js";
import { liveTensors, loadSafetensors, ones, saveSafetensors } from "../../lib/torch/index.js";
import { collect } from "../fixtures/collect.js";
import * as fixture from "../fixtures/model/read.js";
import { python } from "../train/python.js";

const LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
const temporary = (): string => mkdtempSync(join(tmpdir(), "qwen-pt-"));
const read = (dir: string): Record<string, unknown> =>
  JSON.parse(readFileSync(join(dir, "adapter_config.json"), "utf8"));

function copy(change: (config: Record<string, unknown>) => void, adapter = "adapter"): string {
  const dir = temporary();
  cpSync(fixture.path(adapter), dir, { recursive: true });
  const config = read(dir);
  change(config);
  writeFileSync(join(dir, "adapter_config.json"), JSON.stringify(config));
  return dir;
}

describe("saving", () => {
  it.each(["adapter", "adapter-saved-modules"])("writes %s's own bytes again", (name) => {
    const model = fixture.model("tied");
    loadAdapter(model, fixture.path(name));
    const dir = temporary();
    saveAdapter(model, dir, { baseModel: "tied" });
    expect(read(dir)).toEqual(read(fixture.path(name)));
    expect(Object.keys(read(dir))).toEqual(Object.keys(read(fixture.path(name))));
    const bytes = (folder: string): Buffer => readFileSync(join(folder, "adapter_model.safetensors"));
    const keys = (folder: string): string[] => [
      ...loadSafetensors(join(folder, "adapter_model.safetensors")).keys(),
    ];
    expect(keys(dir)).toEqual(keys(fixture.path(name)));
    expect(
      bytes(dir)
        .subarray(-20000)
        .equals(bytes(fixture.path(name)).subarray(-20000)),
    ).toBe(true);
  });

  it("adapts the chosen layers alone, which PEFT finds in layers_to_transform", () => {
    const model = fixture.model("tied");
    addLora(model, { rank: 3, layers: [1] });
    const dir = temporary();
    saveAdapter(model, dir, { baseModel: fixture.path("tied") });
    expect(read(dir)).toMatchObject({ layers_to_transform: [1] });
    const ours = [...adapters(model).keys()];
    expect(ours).toHaveLength(LINEARS.length);
    const peft = python(
      `import json, sys, warnings
warnings.simplefilter("error")
from transformers import AutoModelForCausalLM
from peft import PeftModel
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(sys.argv[1]), sys.argv[2])
names = [n for n, m in model.base_model.model.named_modules() if hasattr(m, "lora_A")]
print(json.dumps(names))`,
      fixture.path("tied"),
      dir,
    );
    expect([...(peft as string[])].sort()).toEqual([...ours].sort());
    const again = fixture.model("tied");
    loadAdapter(again, dir);
    expect([...adapters(again).keys()]).toEqual(ours);
    expect(() => addLora(fixture.model("tied"), { rank: 3, layers: [2] })).toThrow(
      "layers: layer 2 has no target; there are 0, 1",
    );
  });

  it("names the layers that `all` meant", () => {
    const model = fixture.model("tied");
    addLora(model, { rank: 3 });
    const dir = temporary();
    saveAdapter(model, dir, { baseModel: "Qwen/Qwen3-0.6B" });
    expect(read(dir)).toMatchObject({
      r: 3,
      lora_alpha: 6,
      target_modules: LINEARS,
      base_model_name_or_path: "Qwen/Qwen3-0.6B",
      modules_to_save: null,
    });
  });
});

describe("loading", () => {
  it("freezes everything unless it is to be trained", () => {
    const model = fixture.model("tied");
    loadAdapter(model, fixture.path("adapter"));
    expect(model.parameters().some((p) => p.requiresGrad)).toBe(false);
  });

  it("takes a regular expression and all-linear for target_modules", () => {
    const regex = fixture.model("tied");
    const dir = copy((config) => (config["target_modules"] = ".*\\.(q|k|v|o|gate|up|down)_proj"));
    loadAdapter(regex, dir);
    expect(adapters(regex).size).toBe(14);
    const all = fixture.model("tied");
    loadAdapter(
      all,
      copy((config) => (config["target_modules"] = "all-linear")),
    );
    expect(adapters(all).size).toBe(14);
  });

  it("takes lists copied from other models, of which one name fits, as PEFT does", () => {
    const listed = ["query_key_value", "W_pack", ...LINEARS];
    const dir = copy((config) => {
      config["target_modules"] = listed;
      config["layers_to_transform"] = [0, 1, 31];
      config["modules_to_save"] = ["wte"];
    });
    const model = fixture.model("tied");
    loadAdapter(model, dir);
    expect(adapters(model).size).toBe(14);
    const again = temporary();
    saveAdapter(model, again);
    expect(read(again)).toMatchObject({ r: 4, target_modules: listed, base_model_name_or_path: "tied" });
  });

  it("computes in the base model's dtype where nothing is trained, and trains in float32", () => {
    for (const [options, dtype] of [
      [{}, "bfloat16"],
      [{ trainable: true }, "float32"],
    ] as const) {
      const model = fixture.model("tied").to({ dtype: "bfloat16" });
      loadAdapter(model, fixture.path("adapter-saved-modules"), options);
      const saved = [...adapters(model).values()].filter((module) => module instanceof SavedModule);
      expect(saved.length).toBeGreaterThan(0);
      for (const { weight } of saved) expect(weight?.dtype).toBe(dtype);
    }
  });

  it("scales by alpha over the root of the rank for use_rslora", () => {
    const model = fixture.model("tied");
    loadAdapter(
      model,
      copy((config) => (config["use_rslora"] = true)),
    );
    expect([...adapters(model).values()][0]).toMatchObject({ scaling: 4 });
  });

  it("restores a state into a wrapped model, holding nothing of the file", () => {
    const model = fixture.model("tied");
    addLora(model, { rank: 4 });
    collect();
    const live = liveTensors();
    loadAdapterState(model, fixture.path("adapter"));
    expect(liveTensors()).toBe(live);
    const expected = loadSafetensors(fixture.path("adapter", "adapter_model.safetensors"));
    const made = model.stateDict().get("model.layers.1.mlp.down_proj.lora_B.weight");
    expect(
      fixture.distance(made, expected.get("base_model.model.model.layers.1.mlp.down_proj.lora_B.weight")),
    ).toBe(0);
  });
});

it("a model has one adapter at a time, and is saved with the one it has", () => {
  const model = fixture.model("tied");
  expect(() => saveAdapter(model, temporary())).toThrow(
    "the model has no adapter to save: addLora or loadAdapter",
  );
  addLora(model, { rank: 3, dropout: 0.25 });
  expect(() => addLora(model, { rank: 3 })).toThrow(
    "the model has an adapter already: merge it first (mergeAdapter)",
  );
  expect(() => loadAdapter(model, fixture.path("adapter"))).toThrow("the model has an adapter already");
  const dir = temporary();
  saveAdapter(model, dir);
  expect(read(dir)).toMatchObject({ r: 3, lora_alpha: 6, lora_dropout: 0.25, base_model_name_or_path: null });
  mergeAdapter(model);
  expect(() => saveAdapter(model, dir)).toThrow(UserError);
  addLora(model, { rank: 2 });
  saveAdapter(model, dir);
  expect(read(dir)).toMatchObject({ r: 2 });
});

describe("refuses, in one line with file and key,", () => {
  const open = (dir: string): unknown => loadAdapter(fixture.model("tied"), dir);

  it.each([
    ["peft_type", "LOHA", 'peft_type: "LOHA" is not supported'],
    ["use_qalora", true, "use_qalora: true is not supported"],
    ["rank_pattern", { q_proj: 2 }, 'rank_pattern: {"q_proj":2} is not supported'],
    ["layers_to_transform", ["0"], "layers_to_transform: a list of layers' numbers is needed"],
    ["trainable_token_indices", [-1], "trainable_token_indices"],
    ["lora_bias", true, "lora_bias"],
    ["bias", "all", 'bias: "all" is not supported'],
    ["init_lora_weights", "olora", 'init_lora_weights: "olora" changes the base weights'],
    ["r", 0, "r: 0 is not a valid number"],
    ["r", 1e18, "r: 1000000000000000000 is not a valid number"],
    ["lora_dropout", "x", 'lora_dropout: "x" is not a valid number'],
    ["modules_to_save", "lm_head", "modules_to_save: a list of names"],
    ["target_modules", "(", 'target_modules: "(" is not a regular expression'],
    ["target_modules", null, "target_modules: a list of names"],
    [
      "target_modules",
      ["nope"],
      "adapter_config.json: target_modules: no linear layer is called nope; the model has q_",
    ],
    ["target_modules", "nope", "adapter_config.json: target_modules: /^(?:nope)$/ matches no linear layer"],
    ["layers_to_transform", [7], "adapter_config.json: layers_to_transform: layer 7 has no target"],
  ])("%s: %j", (key, value, message) => {
    const dir = copy((config) => (config[key] = value));
    expect(() => open(dir)).toThrow(UserError);
    expect(() => open(dir)).toThrow(message);
  });

  it("a missing or broken file, and a pickle", () => {
    const dir = temporary();
    expect(() => open(dir)).toThrow("adapter_config.json is missing; ");
    writeFileSync(join(dir, "adapter_config.json"), "{");
    expect(() => open(dir)).toThrow("adapter_config.json:1: malformed JSON");
    const pickled = copy(() => undefined);
    rmSync(join(pickled, "adapter_model.safetensors"));
    writeFileSync(join(pickled, "adapter_model.bin"), "");
    expect(() => open(pickled)).toThrow("adapter_model.safetensors: missing; adapter_model.bin is a pickle");
  });

  it.each([
    [
      "an unknown tensor",
      (t: Map<string, Tensor>) => t.set("base_model.model.x", ones([1])),
      'unexpected tensor "base_model.model.x"',
    ],
    [
      "a missing one",
      (t: Map<string, Tensor>) => t.delete([...t.keys()][0]!),
      'no tensor "base_model.model.model.layers.0.mlp.down_proj.lora_A.weight"',
    ],
    [
      "another rank",
      (t: Map<string, Tensor>) => t.set([...t.keys()][0]!, ones([5, 48])),
      "shape [5,48] where the model asks for [4,48]",
    ],
  ] as const)("%s", (_, change, message) => {
    const dir = copy(() => undefined);
    const tensors = loadSafetensors(join(dir, "adapter_model.safetensors"));
    change(tensors);
    saveSafetensors(join(dir, "adapter_model.safetensors"), tensors);
    expect(() => open(dir)).toThrow(UserError);
    expect(() => open(dir)).toThrow(message);
  });
});
