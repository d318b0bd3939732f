// Checkpoints of 4 and 8 bits: those that transformers and bitsandbytes saved are loaded, with their logits; plain ones are
// quantized while they are loaded, to the same bytes; what is saved here is what they save; what does not fit is refused.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  loadModel,
  type Qwen3Config,
  type Qwen3ForCausalLM,
  readConfig,
  saveModel,
} from "../../../../lib/models/index.js";
import { Linear, Linear4bit, Linear8bit } from "../../../../lib/nn/index.js";
import { loadSafetensors, noGrad, saveSafetensors, type Tensor } from "../../../../lib/torch/index.js";
import * as plain from "../../../fixtures/model/read.js";
import * as fixture from "../../../fixtures/quantized/read.js";

const logits = fixture.tensors("logits");
const room = mkdtempSync(join(tmpdir(), "quantized-"));
afterAll(() => rmSync(room, { recursive: true }));

const bytes = (t: Tensor): string => Buffer.from(t.contiguous().toBytes()).toString("hex");
const kinds = ["nf4", "fp4"] as const;
const run = (model: Qwen3ForCausalLM): Tensor =>
  noGrad(() => model.eval().forward({ inputIds: logits.get("ids") as Tensor })).float();

/** The configuration of a plain folder, to be loaded in 4 bits. */
function quantizing(kind: (typeof kinds)[number]): Qwen3Config {
  const config = readConfig(plain.path("tied-bfloat16"));
  return { ...config, quantization: { type: kind, nested: kind === "nf4", run: 64, skipped: [] } };
}

function equalStates(a: ReadonlyMap<string, Tensor>, b: ReadonlyMap<string, Tensor>): void {
  expect([...a.keys()].sort()).toEqual([...b.keys()].sort());
  for (const [name, tensor] of a) expect([name, bytes(tensor)]).toEqual([name, bytes(b.get(name) as Tensor)]);
}

describe.each(kinds)("a checkpoint of %s", (kind) => {
  it("that bitsandbytes saved has its logits", () => {
    const model = loadModel<Qwen3ForCausalLM>(fixture.path(kind));
    const wide = loadModel<Qwen3ForCausalLM>(fixture.path(kind), undefined, { dtype: "float32" });
    expect(plain.distance(run(wide), logits.get(`${kind}.float32`))).toBeLessThan(1e-5);
    expect(plain.distance(run(model), logits.get(kind))).toBeLessThan(2e-2); // two ways of rounding to bfloat16
    expect(model.find("model.layers.0.mlp.up_proj")).toBeInstanceOf(Linear4bit);
    expect(model.lm_head).toBeInstanceOf(Linear);
  });

  it("made of a plain one while it is loaded is the same, byte for byte", () => {
    const made = loadModel<Qwen3ForCausalLM>(plain.path("tied-bfloat16"), quantizing(kind));
    equalStates(made.stateDict(), loadSafetensors(fixture.path(kind, "model.safetensors")));
  });

  it("is saved as transformers saves it, and loads again", () => {
    const dir = join(room, `saved-${kind}`);
    saveModel(loadModel<Qwen3ForCausalLM>(plain.path("tied-bfloat16"), quantizing(kind)), dir);
    equalStates(
      loadSafetensors(join(dir, "model.safetensors")),
      loadSafetensors(fixture.path(kind, "model.safetensors")),
    );
    const config = (folder: string) => JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
    const { llm_int8_threshold: _, ...theirs } = config(fixture.path(kind)).quantization_config;
    expect(config(dir).quantization_config).toEqual(theirs);
    expect(bytes(run(loadModel<Qwen3ForCausalLM>(dir)))).toBe(
      bytes(run(loadModel<Qwen3ForCausalLM>(fixture.path(kind)))),
    );
  });
});

describe("a checkpoint of int8", () => {
  const quantizing8: Qwen3Config = {
    ...readConfig(plain.path("tied-bfloat16")),
    quantization: { type: "int8", threshold: 6, skipped: [] },
  };

  it("that bitsandbytes saved has its logits, as it reads and as it trains", () => {
    const trained = (model: Qwen3ForCausalLM): Tensor =>
      noGrad(() => model.train().forward({ inputIds: logits.get("ids") as Tensor })).float();
    const model = loadModel<Qwen3ForCausalLM>(fixture.path("int8"));
    const wide = loadModel<Qwen3ForCausalLM>(fixture.path("int8"), undefined, { dtype: "float32" });
    expect(plain.distance(trained(wide), logits.get("int8.float32.trained"))).toBeLessThan(1e-5);
    // an input whose last bit is another's may round to another of 255 steps
    expect(plain.distance(run(wide), logits.get("int8.float32"))).toBeLessThan(2e-3);
    expect(plain.distance(run(wide), logits.get("int8.float32.trained"))).toBeGreaterThan(4e-3);
    // two ways of rounding to bfloat16, and of what those round to 8 bits
    expect(plain.distance(run(model), logits.get("int8"))).toBeLessThan(4e-2);
    expect(model.find("model.layers.0.mlp.up_proj")).toBeInstanceOf(Linear8bit);
    expect(model.lm_head).toBeInstanceOf(Linear);
  });

  it("made of a plain one while it is loaded is the same, and is saved as transformers saves it", () => {
    const dir = join(room, "saved-int8");
    const made = loadModel<Qwen3ForCausalLM>(plain.path("tied-bfloat16"), quantizing8);
    const theirs = loadSafetensors(fixture.path("int8", "model.safetensors"));
    equalStates(made.stateDict(), theirs);
    saveModel(made, dir);
    equalStates(loadSafetensors(join(dir, "model.safetensors")), theirs);
    const config = (folder: string) =>
      JSON.parse(readFileSync(join(folder, "config.json"), "utf8")).quantization_config;
    expect(config(dir)).toEqual(config(fixture.path("int8")));
    expect(bytes(run(loadModel<Qwen3ForCausalLM>(dir)))).toBe(
      bytes(run(loadModel<Qwen3ForCausalLM>(fixture.path("int8")))),
    );
  });

  it("is refused without its scales, and where config.json says 4 bits", () => {
    const dir = join(room, "int8-damaged");
    cpSync(fixture.path("int8"), dir, { recursive: true });
    const file = join(dir, "model.safetensors");
    const tensors = [...loadSafetensors(fixture.path("int8", "model.safetensors"))];
    rmSync(file);
    saveSafetensors(
      file,
      tensors.filter(([name]) => name !== "model.layers.0.mlp.up_proj.SCB"),
    );
    expect(() => loadModel<Qwen3ForCausalLM>(dir)).toThrow(
      /up_proj\.SCB: missing: the scales of the codes; copy/,
    );
    const config = join(dir, "config.json");
    writeFileSync(
      config,
      readFileSync(config, "utf8").replace('"load_in_8bit": true', '"load_in_4bit": true'),
    );
    expect(() => loadModel<Qwen3ForCausalLM>(dir)).toThrow(
      /codes without the tensors that they are read with/,
    );
  });
});

describe("a checkpoint of 4 bits is refused", () => {
  const key = "model.layers.0.mlp.up_proj.weight";
  const cases: [what: string, change: (tensors: Map<string, Tensor>) => void, message: RegExp][] = [
    [
      "without a scale",
      (t) => t.delete(`${key}.absmax`),
      /up_proj\.weight\.absmax: missing; copy or download/,
    ],
    [
      "without any state",
      (t) => {
        for (const name of [...t.keys()]) if (name.startsWith(`${key}.`)) t.delete(name);
      },
      /codes without the tensors that they are read with/,
    ],
    [
      "with another's scales",
      (t) => t.set(`${key}.absmax`, t.get("model.layers.0.self_attn.q_proj.weight.absmax") as Tensor),
      /weight\.absmax: uint8 \[32\] where 24 of uint8 belong/,
    ],
    [
      "with other levels",
      (t) =>
        t.set(
          `${key}.quant_map`,
          noGrad(() => (t.get(`${key}.quant_map`) as Tensor).mul(2)),
        ),
      /quant_map: other levels than bitsandbytes' nf4/,
    ],
    [
      "with a state that is no JSON",
      (t) =>
        t.set(
          `${key}.quant_state.bitsandbytes__nf4`,
          (t.get(`${key}.quant_state.bitsandbytes__nf4`) as Tensor).narrow(0, 0, 20),
        ),
      /is no JSON object/,
    ],
    [
      "with codes cut short",
      (t) => t.set(key, (t.get(key) as Tensor).narrow(0, 0, 100)),
      /100 bytes of codes where shape \[48,32\] asks for 768/,
    ],
    [
      "with a tensor that nothing reads",
      (t) => t.set(`${key}.zeros`, t.get(key) as Tensor),
      /up_proj\.weight\.zeros: unexpected; it is no part of a weight of nf4/,
    ],
  ];

  it.each(cases)("%s", (what, change, message) => {
    const dir = join(room, what.replaceAll(" ", "-"));
    cpSync(fixture.path("nf4"), dir, { recursive: true });
    const tensors = new Map(loadSafetensors(fixture.path("nf4", "model.safetensors")));
    change(tensors);
    rmSync(join(dir, "model.safetensors"));
    saveSafetensors(
      join(dir, "model.safetensors"),
      [...tensors].map(([name, t]) => [name, t.contiguous()] as const),
    );
    expect(() => loadModel<Qwen3ForCausalLM>(dir)).toThrow(message);
  });

  it("with a config.json of another type", () => {
    const dir = join(room, "other-type");
    cpSync(fixture.path("nf4"), dir, { recursive: true });
    const file = join(dir, "config.json");
    writeFileSync(file, readFileSync(file, "utf8").replace('"nf4"', '"fp4"'));
    expect(() => loadModel<Qwen3ForCausalLM>(dir)).toThrow(
      /quant_state\.bitsandbytes__fp4: missing; config\.json and the weights/,
    );
  });
});
