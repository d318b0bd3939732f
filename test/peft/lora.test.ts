// LoRA against PEFT 0.18.1: initial draws, logits, gradients, updates, dropout, autocast, merge, whole modules.
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { Qwen3ForCausalLM } from "../../lib/models/families/qwen3/index.js";
import { Linear } from "../../lib/nn/index.js";
import { AdamW, decayGroups } from "../../lib/optim/index.js";
import { adapters, addLora, type LoraLinear, loadAdapter, mergeAdapter } from "../../lib/peft/index.js";
import type { Tensor } from "../../lib/torch/index.js";
import { autocast, getRngState, manualSeed, noGrad, scope } from "../../lib/torch/index.js";
import * as fixture from "../fixtures/model/read.js";

const ids = fixture.tensors("tied-float32").get("ids")!;
const more = fixture.tensors("lora-more");

/** `...q_proj.lora_A.weight` as PEFT's parameter names have it; a saved copy under its module's own name. */
function plain(name: string): string {
  return name.replace(".modules_to_save.", ".");
}

function trainable(model: Qwen3ForCausalLM): [string, Tensor][] {
  return [...model.namedParameters()].filter(([, p]) => p.requiresGrad).map(([name, p]) => [plain(name), p]);
}

function withAdapter(base: string, adapter = "adapter", dtype?: "float64"): Qwen3ForCausalLM {
  const model = fixture.model(base, dtype);
  loadAdapter(model, fixture.path(adapter), { trainable: true });
  return model.train() as Qwen3ForCausalLM;
}

const digest = (t: Tensor): string =>
  createHash("sha256").update(new Uint8Array(t.detach().contiguous().toBytes())).digest("hex").slice(0, 24);

describe("a new adapter", () => {
  const { draws } = fixture.json<{ draws: Record<string, Record<string, string>> }>("lists");

  it.each(["tied", "tied-bfloat16", "tied-float16"])(
    "on %s has PEFT's initial weights, bit for bit",
    (base) => {
      const model = fixture.model(base);
      manualSeed(42);
      addLora(model, { rank: 4 });
      const expected = draws[`lora.${base}`]!;
      const made = Object.fromEntries(trainable(model).map(([name, p]) => [name, digest(p)]));
      expect({ ...made, "": digest(getRngState()) }).toEqual(expected);
    },
  );

  it("trains A and B alone, in float32, and changes nothing at first", () => {
    const model = fixture.model("tied-bfloat16");
    const before = noGrad(() => model.forward({ inputIds: ids }));
    addLora(model, { rank: 4 });
    for (const [name, p] of model.namedParameters()) {
      expect(p.requiresGrad).toBe(name.includes("lora_"));
      expect(p.dtype).toBe(name.includes("lora_") ? "float32" : "bfloat16");
    }
    expect(
      fixture.distance(
        noGrad(() => model.forward({ inputIds: ids })),
        before,
      ),
    ).toBe(0);
  });

  it("wraps every linear layer but the head for `all`", () => {
    const model = fixture.model("untied");
    addLora(model, { rank: 2 });
    expect(adapters(model).size).toBe(14);
    expect(model.lm_head).toBeInstanceOf(Linear);
  });

  it("takes names by the ends of paths, and an alpha of 0 as not given", () => {
    const model = fixture.model("tied");
    addLora(model, { rank: 2, alpha: 0, targets: ["q_proj", "model.layers.1.mlp.up_proj"] });
    expect([...adapters(model).keys()]).toEqual([
      "model.layers.0.self_attn.q_proj",
      "model.layers.1.self_attn.q_proj",
      "model.layers.1.mlp.up_proj",
    ]);
    expect((model.find("model.layers.1.mlp.up_proj") as LoraLinear).scaling).toBe(2);
  });

  it("refuses what does not exist, with the choices", () => {
    const model = fixture.model("tied");
    expect(() => addLora(model, { rank: 2, targets: ["q_proj", "qproj"] })).toThrow(
      "targets: no linear layer is called qproj; choose from q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, lm_head, or all",
    );
    expect(() => addLora(model, { rank: 2, modulesToSave: ["embed"] })).toThrow(
      "modulesToSave: no module is called embed; choose from model, embed_tokens",
    );
    expect(() => addLora(model, { rank: 0 })).toThrow("rank: 0");
    expect(() => addLora(model, { rank: 2, dropout: 1 })).toThrow("dropout: 1");
    expect(adapters(model).size).toBe(0);
  });
});

describe.each([
  ["float32", 1e-5, 1e-4],
  ["float64", 1e-9, 1e-9],
] as const)("a PEFT adapter in %s", (dtype, once, updates) => {
  const expected = fixture.tensors(`lora-${dtype}`);
  const wide = dtype === "float64" ? dtype : undefined;

  it("gives PEFT's logits, loss and gradients", () => {
    const model = withAdapter("tied", "adapter", wide);
    const { loss, logits } = fixture.lossOf(model, ids);
    loss.backward();
    const forward = fixture.worst([
      ["logits", logits, expected.get("logits")],
      ["loss", loss, expected.get("loss")],
    ]);
    const gradients = fixture.worst(
      trainable(model).map(([name, p]) => [name, p.grad, expected.get(`grad.${name}`)]),
    );
    fixture.report(`LoRA ${dtype} logits, loss`, forward);
    fixture.report(`LoRA ${dtype} gradients of A and B`, gradients);
    expect(gradients.count).toBe(28);
    expect(forward.distance).toBeLessThan(once);
    expect(gradients.distance).toBeLessThan(once);
  });

  it("moves by PEFT's three AdamW steps", () => {
    const model = withAdapter("tied", "adapter", wide);
    const optimizer = new AdamW(decayGroups(model.namedParameters(), 0.1), { learningRate: 1e-2 });
    for (let step = 0; step < 3; step++) {
      optimizer.zeroGrad();
      scope(() => fixture.lossOf(model, ids).loss.backward());
      optimizer.step();
    }
    const updated = fixture.worst(
      trainable(model).map(([name, p]) => [name, p, expected.get(`updated.${name}`)]),
    );
    fixture.report(`LoRA ${dtype} three AdamW updates`, updated);
    expect(updated.distance).toBeLessThan(updates);
  });
});

describe("beside the plain case", () => {
  it("drops the same elements as PEFT from the same generator", () => {
    const model = fixture.model("tied");
    manualSeed(42);
    addLora(model, { rank: 4, dropout: 0.3 });
    randomise(model, 9);
    model.train();
    manualSeed(11);
    const logits = noGrad(() => model.forward({ inputIds: ids }));
    const result = fixture.worst([["logits", logits, more.get("dropout.logits")]]);
    fixture.report("LoRA with dropout, logits", result);
    expect(result.distance).toBeLessThan(1e-5);
    expect(
      fixture.distance(
        noGrad(() => model.eval().forward({ inputIds: ids })),
        logits,
      ),
    ).toBeGreaterThan(1e-3);
  });

  it("computes what PEFT computes under autocast on a bfloat16 base", () => {
    const model = withAdapter("tied-bfloat16");
    const { loss, logits } = autocast("bfloat16", () => fixture.lossOf(model, ids));
    loss.backward();
    // Two right ways to round differ in the last bits everywhere, so both are held against the exact result.
    const wide = withAdapter("tied-bfloat16", "adapter", "float64");
    const exact = fixture.lossOf(wide, ids);
    exact.loss.backward();
    const grads = new Map(trainable(wide).map(([name, p]) => [name, p.grad]));
    const far = (of: (name: string) => Tensor | undefined): ReturnType<typeof fixture.worst> =>
      fixture.worst([
        ["loss", of("loss"), exact.loss],
        ["logits", of("logits"), exact.logits],
        ...[...grads].map(
          ([name, grad]) =>
            [name, of(`grad.${name}`), grad] as [string, Tensor | undefined, Tensor | undefined],
        ),
      ]);
    const ours = new Map<string, Tensor | undefined>([
      ["loss", loss],
      ["logits", logits],
      ...trainable(model).map(([name, p]) => [`grad.${name}`, p.grad] as const),
    ]);
    const result = far((name) => ours.get(name));
    const allowed = far((name) => more.get(`autocast.${name}`));
    fixture.report("LoRA bf16 autocast logits, loss, gradients", result);
    fixture.report("  (PEFT's)", allowed);
    expect(result.distance).toBeLessThan(1.2 * allowed.distance);
  });

  it("merges as PEFT does", () => {
    const model = withAdapter("tied");
    mergeAdapter(model);
    expect(adapters(model).size).toBe(0);
    const result = fixture.worst([
      ["logits", noGrad(() => model.eval().forward({ inputIds: ids })), more.get("merged.logits")],
      ...["model.layers.0.self_attn.q_proj.weight", "model.layers.1.mlp.down_proj.weight"].map(
        (name) => [name, model.stateDict().get(name), more.get(`merged.${name}`)] as [string, Tensor, Tensor],
      ),
    ]);
    fixture.report("LoRA merged weights, logits", result);
    expect(result.distance).toBeLessThan(1e-5);
  });

  it("trains copies of whole modules apart from a tie", () => {
    const model = withAdapter("tied", "adapter-saved-modules");
    const { loss, logits } = fixture.lossOf(model, ids);
    loss.backward();
    const parameters = new Map(trainable(model));
    const result = fixture.worst([
      ["logits", logits, more.get("saved.logits")],
      ...["model.embed_tokens.weight", "lm_head.weight"].map(
        (name) =>
          [name, parameters.get(name)?.grad, more.get(`saved.grad.${name}`)] as [string, Tensor, Tensor],
      ),
    ]);
    fixture.report("LoRA with trained embedding and head", result);
    expect(result.distance).toBeLessThan(1e-5);
    expect(model.headWeight).toBe(parameters.get("lm_head.weight"));
    mergeAdapter(model);
    expect(model.stateDict().has("lm_head.weight")).toBe(true);
  });

  it("leaves the head of a tied model alone where the embedding alone is trained", () => {
    const model = fixture.model("tied");
    addLora(model, { rank: 2, modulesToSave: ["embed_tokens"] });
    const copy = trainable(model).find(([name]) => name === "model.embed_tokens.weight")![1];
    const head = model.headWeight!;
    expect(head.requiresGrad).toBe(false);
    noGrad(() => copy.add_(1));
    expect(fixture.distance(head, fixture.model("tied").headWeight)).toBe(0);
    mergeAdapter(model);
    expect(fixture.distance(model.headWeight, head)).toBe(0);
    expect(fixture.distance(model.model.embed_tokens.weight, head.add(1))).toBeLessThan(1e-6);
  });
});

/** make.py's randomise_adapter: the same draws in the same order. */
function randomise(model: Qwen3ForCausalLM, seed: number): void {
  manualSeed(seed);
  noGrad(() => {
    for (const [name, p] of model.namedParameters()) if (name.includes("lora_")) p.normal_().mul_(0.1);
  });
}
