// Checkpoints: single and sharded, every dtype, redundant and wrong tensors, weights from scratch, saved weights.

import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { UserError } from "../../../../lib/errors.js";
import {
  initializeWeights,
  loadModel,
  parseConfig,
  Qwen3ForCausalLM,
  readConfig,
  saveModel,
} from "../../../../lib/models/index.js";
import type { Tensor } from "../../../../lib/torch/index.js";
import {
  getRngState,
  liveTensors,
  loadSafetensors,
  manualSeed,
  ones,
  randn,
  saveSafetensors,
  tensor,
  zeros,
} from "../../../../lib/torch/index.js";
import { collect } from "../../../fixtures/collect.js";
import * as fixture from "../../../fixtures/model/read.js";

const temporary = (): string => mkdtempSync(join(tmpdir(), "qwen-pt-"));
const load = (dir: string): Qwen3ForCausalLM => loadModel<Qwen3ForCausalLM>(dir);

const digest = (t: Tensor): string =>
  createHash("sha256").update(new Uint8Array(t.detach().contiguous().toBytes())).digest("hex").slice(0, 24);

function sameWeights(a: Qwen3ForCausalLM, b: Qwen3ForCausalLM): void {
  expect([...a.stateDict().keys()]).toEqual([...b.stateDict().keys()]);
  for (const [name, tensor] of b.namedParameters())
    expect(digest(a.stateDict().get(name)!), name).toBe(digest(tensor));
}

/** A copy of a fixture whose tensors were changed. */
function changed(name: string, change: (tensors: Map<string, Tensor>) => void): string {
  const dir = temporary();
  cpSync(fixture.path(name), dir, { recursive: true });
  const tensors = loadSafetensors(join(dir, "model.safetensors"));
  change(tensors);
  saveSafetensors(join(dir, "model.safetensors"), tensors);
  return dir;
}

describe("loading", () => {
  it("names parameters as the checkpoint does, in the order of the model", () => {
    const names = [...load(fixture.path("untied")).stateDict().keys()];
    expect([...names].sort()).toEqual(
      [...loadSafetensors(fixture.path("untied", "model.safetensors")).keys()].sort(),
    );
    expect(names.slice(0, 4)).toEqual([
      "model.embed_tokens.weight",
      "model.layers.0.self_attn.q_proj.weight",
      "model.layers.0.self_attn.q_proj.bias",
      "model.layers.0.self_attn.k_proj.weight",
    ]);
  });

  it.each([
    ["tied", "float32"],
    ["tied-bfloat16", "bfloat16"],
    ["tied-float16", "float16"],
  ] as const)("keeps the dtype of %s", (name, dtype) => {
    const model = load(fixture.path(name));
    for (const parameter of model.parameters()) expect(parameter.dtype).toBe(dtype);
    for (const parameter of model.parameters()) expect(parameter.requiresGrad).toBe(false);
  });

  it("ties the head to the embedding, and accepts a redundant lm_head.weight", () => {
    const copied = changed("tied", (tensors) =>
      tensors.set("lm_head.weight", tensors.get("model.embed_tokens.weight") as Tensor),
    );
    const notes: string[] = [];
    const model = loadModel<Qwen3ForCausalLM>(copied, readConfig(copied), {
      onNote: (text) => notes.push(text),
    });
    expect(model.headWeight).toBe(model.model.embed_tokens.weight);
    expect(notes).toEqual([]);
    sameWeights(model, load(fixture.path("tied")));
  });

  it("keeps a tied model's lm_head.weight that is not the embedding, says so, and saves it", () => {
    manualSeed(4);
    const head = randn([96, 32]);
    const dir = changed("tied", (tensors) => tensors.set("lm_head.weight", head));
    const notes: string[] = [];
    const model = loadModel<Qwen3ForCausalLM>(dir, readConfig(dir), { onNote: (text) => notes.push(text) });
    expect(notes).toHaveLength(1);
    expect(notes[0]).toMatch(/tie_word_embeddings: true, but lm_head.weight differs/);
    expect(digest(model.headWeight as Tensor)).toBe(digest(head));
    expect(model.config.tie_word_embeddings).toBe(false);
    // what the same files mean where config.json says that they are two
    const apart = loadModel<Qwen3ForCausalLM>(dir, { ...readConfig(dir), tie_word_embeddings: false });
    const inputIds = tensor([3, 14, 15, 92], { dtype: "int64" }).unsqueeze(0);
    expect(model.forward({ inputIds }).tolist()).toEqual(apart.forward({ inputIds }).tolist());
    const saved = temporary();
    saveModel(model, saved);
    expect(readConfig(saved).tie_word_embeddings).toBe(false);
    sameWeights(load(saved), model);
  });

  it("leaves no tensor behind but the parameters", () => {
    const model = load(fixture.path("tied"));
    collect();
    const live = liveTensors();
    const again = load(fixture.path("tied"));
    expect(liveTensors() - live).toBe(again.parameters().length);
    for (const parameter of [...again.parameters(), ...model.parameters()]) parameter.dispose();
  });

  it.each([
    [
      "a missing tensor",
      "tied",
      (t: Map<string, Tensor>) => t.delete("model.norm.weight"),
      'no tensor "model.norm.weight"',
    ],
    [
      "an unknown tensor",
      "tied",
      (t: Map<string, Tensor>) => t.set("model.extra", ones([2])),
      'model.safetensors: unexpected tensor "model.extra"',
    ],
    [
      "a shape that does not fit",
      "tied",
      (t: Map<string, Tensor>) => t.set("model.norm.weight", ones([31])),
      "model.safetensors: model.norm.weight: shape [31] where config.json asks for [32]",
    ],
    [
      "a dtype that is no weight's",
      "tied",
      (t: Map<string, Tensor>) => t.set("model.norm.weight", zeros([32], { dtype: "int64" })),
      "model.norm.weight: dtype int64",
    ],
    [
      "an untied model without a head",
      "untied",
      (t: Map<string, Tensor>) => t.delete("lm_head.weight"),
      'no tensor "lm_head.weight"',
    ],
  ] as const)("refuses %s in one line", (_, name, change, message) => {
    const dir = changed(name, change);
    expect(() => load(dir)).toThrow(UserError);
    expect(() => load(dir)).toThrow(message);
  });

  it("refuses a folder without weights, and pickled ones", () => {
    const dir = temporary();
    cpSync(fixture.path("tied", "config.json"), join(dir, "config.json"));
    expect(() => load(dir)).toThrow(`${dir}: no model.safetensors and no model.safetensors.index.json`);
    writeFileSync(join(dir, "pytorch_model.bin"), "");
    expect(() => load(dir)).toThrow("pytorch_model.bin: pickled weights are not read");
  });
});

describe("shards", () => {
  function sharded(): string {
    const dir = temporary();
    saveModel(load(fixture.path("untied")), dir, { maxShardGigabytes: 40e-6 });
    return dir;
  }
  const edit = (dir: string, change: (index: { weight_map: Record<string, string> }) => void): void => {
    const file = join(dir, "model.safetensors.index.json");
    const index = JSON.parse(readFileSync(file, "utf8"));
    change(index);
    writeFileSync(file, JSON.stringify(index));
  };

  it("are written within the limit and read back", () => {
    const dir = sharded();
    const files = readdirSync(dir).sort();
    expect(files).toContain("model-00001-of-00003.safetensors");
    expect(existsSync(join(dir, "model.safetensors"))).toBe(false);
    const index = JSON.parse(readFileSync(join(dir, "model.safetensors.index.json"), "utf8"));
    const whole = load(fixture.path("untied"));
    expect(index.metadata.total_size).toBe(whole.parameters().reduce((sum, p) => sum + p.numel() * 4, 0));
    sameWeights(load(dir), whole);
  });

  it.each([
    [
      "a shard that is gone",
      (dir: string) => rmSync(join(dir, "model-00002-of-00003.safetensors")),
      "model-00002-of-00003.safetensors: missing",
    ],
    [
      "a path that leaves the folder",
      (dir: string) => edit(dir, (i) => (i.weight_map["lm_head.weight"] = "../x.safetensors")),
      'weight_map."lm_head.weight": a safetensors file name is needed, not "../x.safetensors"',
    ],
    [
      "a pickle",
      (dir: string) => edit(dir, (i) => (i.weight_map["lm_head.weight"] = "x.bin")),
      'a safetensors file name is needed, not "x.bin"',
    ],
    [
      "a drive",
      (dir: string) => edit(dir, (i) => (i.weight_map["lm_head.weight"] = "C:x.safetensors")),
      "a safetensors file name is needed",
    ],
    [
      "a tensor that its shard lacks",
      (dir: string) =>
        edit(dir, (i) => (i.weight_map["model.norm.weight"] = "model-00001-of-00003.safetensors")),
      'has no tensor "model.norm.weight"',
    ],
    [
      "a tensor that the index leaves out",
      (dir: string) => edit(dir, (i) => delete i.weight_map["model.norm.weight"]),
      'holds the tensor "model.norm.weight"',
    ],
    [
      "no weight_map",
      (dir: string) => writeFileSync(join(dir, "model.safetensors.index.json"), "{}"),
      "weight_map: is missing; download it again",
    ],
    [
      "broken JSON",
      (dir: string) => writeFileSync(join(dir, "model.safetensors.index.json"), "{"),
      "index.json:1: malformed JSON",
    ],
  ] as const)("refuse %s", (_, harm, message) => {
    const dir = sharded();
    harm(dir);
    expect(() => load(dir)).toThrow(UserError);
    expect(() => load(dir)).toThrow(message);
  });
});

describe("saving", () => {
  it("writes one file and config.json, tied head left out, in the dtype asked for", () => {
    const dir = temporary();
    saveModel(load(fixture.path("tied")), dir, { dtype: "bfloat16" });
    expect(readdirSync(dir).sort()).toEqual(["config.json", "model.safetensors"]);
    expect(JSON.parse(readFileSync(join(dir, "config.json"), "utf8"))).toMatchObject({
      dtype: "bfloat16",
      tie_word_embeddings: true,
    });
    sameWeights(load(dir), load(fixture.path("tied-bfloat16")));
  });

  it("unties config.json where the head is no longer the embedding", () => {
    const dir = temporary();
    const model = load(fixture.path("tied"));
    (model.lm_head as unknown as { weight: Tensor }).weight = model.headWeight!.mul(2);
    saveModel(model, dir);
    expect(readConfig(dir).tie_word_embeddings).toBe(false);
    expect(fixture.distance(load(dir).headWeight, model.headWeight)).toBe(0);
  });
});

describe("from scratch", () => {
  const { draws } = fixture.json<{ draws: Record<string, Record<string, string>> }>("lists");
  const variants = {
    tied: {},
    untied: { tie_word_embeddings: false },
    bias: { attention_bias: true, pad_token_id: 3 },
  };

  it.each(
    Object.keys(variants).flatMap((name) =>
      (["float32", "bfloat16"] as const).map((dtype) => [name, dtype] as const),
    ),
  )(
    "%s in %s draws transformers' weights, bit for bit, and leaves its generator as transformers does",
    (name, dtype) => {
      const raw = { ...readConfig(fixture.path("tied")).raw, ...variants[name as keyof typeof variants] };
      const model = new Qwen3ForCausalLM(parseConfig(raw));
      manualSeed(42);
      initializeWeights(model, dtype);
      const made = Object.fromEntries([...model.namedParameters()].map(([key, p]) => [key, digest(p)]));
      expect({ ...made, "": digest(getRngState()) }).toEqual(draws[`scratch.${name}.${dtype}`]);
    },
  );
});
