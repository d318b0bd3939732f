// Which parameters train under `freeze` and `full`, against LLaMA-Factory's own function.
import { describe, expect, it } from "vitest";
import { freeze, full } from "../../lib/peft/index.js";
import { liveTensors, noGrad } from "../../lib/torch/index.js";
import { collect } from "../fixtures/collect.js";
import * as fixture from "../fixtures/model/read.js";

interface Case {
  layers: number;
  modules: string[];
  extra: string[] | null;
  trainable: string[];
}

const { freezing } = fixture.json<{ freezing: Case[] }>("lists");

it.each(freezing)(
  "freeze: $layers layers, $modules, extra $extra",
  ({ layers, modules, extra, trainable }) => {
    const model = fixture.model("untied");
    freeze(
      model,
      { trainableLayers: layers, trainableModules: modules, extraModules: extra ?? [] },
      "float32",
    );
    expect([...model.namedParameters()].filter(([, p]) => p.requiresGrad).map(([name]) => name)).toEqual(
      trainable,
    );
  },
);

it("widens what trains, and only that", () => {
  const model = fixture.model("tied-bfloat16");
  freeze(model, { trainableLayers: 1 }, "float32");
  for (const p of model.parameters()) expect(p.dtype).toBe(p.requiresGrad ? "float32" : "bfloat16");
});

it("keeps the dtype where none is asked for (pure_bf16)", () => {
  const model = fixture.model("tied-bfloat16");
  full(model);
  for (const p of model.parameters())
    expect([p.dtype, p.requiresGrad, p.isLeaf]).toEqual(["bfloat16", true, true]);
});

it("gives trained weights their own memory, and leaves ties alone", () => {
  const model = fixture.model("tied");
  const loaded = model.model.embed_tokens.weight.dataPointer;
  full(model, "float32");
  expect(model.model.embed_tokens.weight.dataPointer).not.toBe(loaded);
  expect(model.headWeight).toBe(model.model.embed_tokens.weight);
  noGrad(() => model.model.embed_tokens.weight.zero_());
  expect(fixture.distance(fixture.model("tied").headWeight, model.headWeight)).toBeGreaterThan(0);
});

it("leaves no handle behind that would keep the old weights", () => {
  const model = fixture.model("tied");
  collect();
  const before = liveTensors();
  full(model, "float64");
  expect(liveTensors()).toBe(before);
});

describe("chosen parts", () => {
  const trained = (config: Parameters<typeof freeze>[1]): string[] => {
    const model = fixture.model("tied");
    freeze(model, { trainableLayers: 0, ...config }, "float32");
    return [...model.namedParameters()].filter(([, p]) => p.requiresGrad).map(([name]) => name);
  };

  it("layers by their numbers, with the modules of freeze_trainable_modules", () => {
    expect(trained({ layerIds: [0], trainableModules: ["input_layernorm"] })).toEqual([
      "model.layers.0.input_layernorm.weight",
    ]);
    expect(trained({ layerIds: [1] })).toEqual(trained({ trainableLayers: 1 }));
  });

  it("parameters whose whole names match a glob", () => {
    expect(trained({ patterns: ["*.1.mlp.??_proj.weight", "model.norm*"] })).toEqual([
      "model.layers.1.mlp.up_proj.weight",
      "model.norm.weight",
    ]);
    // nothing is a substring here, and a dot is a dot
    expect(trained({ patterns: ["model?norm?weight"] })).toEqual(["model.norm.weight"]);
  });

  it.each([
    [{ layerIds: [0, 2] }, "freeze_trainable_layer_ids: there is no layer 2; the model has 2, from 0 to 1"],
    [
      { patterns: ["norm"] },
      'freeze_trainable_patterns: "norm" matches no parameter; names are such as model.embed',
    ],
    [
      { layerIds: [1], names: ["model.layers.1.self_attn.q_proj.weight"] },
      "freeze_trainable_heads: model.layers.1.self_attn.q_proj.weight is trained whole by another freeze_* key",
    ],
  ])("%o is refused", (config, message) => {
    expect(() => trained(config)).toThrow(message);
  });
});

describe("refuses a name that does not exist, with the choices,", () => {
  it("inside layers", () => {
    expect(() => freeze(fixture.model("tied"), { trainableModules: ["ffn"] }, "float32")).toThrow(
      'freeze_trainable_modules: "ffn" is not found; choose from self_attn, mlp, input_layernorm, post_attention_layernorm, all',
    );
  });
  it("outside them; a tied head is no separate module", () => {
    expect(() => freeze(fixture.model("tied"), { extraModules: ["lm_head"] }, "float32")).toThrow(
      'freeze_extra_modules: "lm_head" is not found; choose from embed_tokens, norm',
    );
  });
});
