// A base in 4 bits for reading: opened with the adapter that was trained over it, written by `export`, and what is refused.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { resolveRecipe } from "../../lib/config/index.js";
import { exportModel } from "../../lib/inference/export.js";
import { openModel } from "../../lib/inference/open-model.js";
import type { FamilyModel } from "../../lib/models/index.js";
import { Linear4bit } from "../../lib/nn/index.js";
import { loadAdapter } from "../../lib/peft/index.js";
import { loadSafetensors, noGrad, type Tensor, tensor } from "../../lib/torch/index.js";
import { distance } from "../fixtures/model/read.js";
import { fixture, folder, run } from "../train/runs.js";

const room = mkdtempSync(path.join(tmpdir(), "quantized-"));
afterAll(() => rmSync(room, { recursive: true }));
const model = fixture("model");
const NF4 = {
  model_name_or_path: model,
  quantization_bit: 4,
  quantization_type: "nf4",
  double_quantization: true,
} as const;
const ids = tensor(
  BigInt64Array.from({ length: 12 }, (_, i) => BigInt(i + 3)),
  { shape: [1, 12] },
);
const logits = (of: FamilyModel): Tensor => noGrad(() => of.eval().forward({ inputIds: ids }));

describe("a base in 4 bits", () => {
  it("takes the adapter that was trained over it; the original base takes it too, with other logits", async () => {
    const { dir } = await run({ quantization_bit: 4, max_steps: 4, learning_rate: 1e-2 });
    const { model: opened } = await openModel({ model, quantize: NF4, adapters: [dir] });
    const { model: plain } = await openModel({ model, adapters: [dir] });
    const apart = distance(logits(opened), logits(plain));
    expect(apart).toBeGreaterThan(1e-3);
    expect(apart).toBeLessThan(0.5);
    // the values of the codes in plain layers: the same model
    const base = (await openModel({ model })).model;
    for (const [name, module] of opened.namedModules())
      if (module instanceof Linear4bit) {
        const weight = base.stateDict().get(`${name.replace(".base_layer", "")}.weight`) as Tensor;
        noGrad(() => weight.copy_(module.values()));
      }
    loadAdapter(base, dir);
    expect(distance(logits(opened), logits(base))).toBeLessThan(1e-5);
  });

  it("is written by export, and merged into by nothing", async () => {
    const { dir } = await run({ quantization_bit: 4, max_steps: 1 });
    const out = path.join(room, "exported");
    await exportModel(resolveRecipe({ ...NF4, export_dir: out }, { for: "export" }).recipe);
    const config = JSON.parse(readFileSync(path.join(out, "config.json"), "utf8"));
    expect(config.quantization_config).toMatchObject({
      quant_method: "bitsandbytes",
      bnb_4bit_quant_type: "nf4",
    });
    const names = [...loadSafetensors(path.join(out, "model.safetensors")).keys()];
    expect(names).toContain("model.layers.0.mlp.up_proj.weight.quant_state.bitsandbytes__nf4");
    const [first, second] = [await openModel({ model: out }), await openModel({ model, quantize: NF4 })];
    expect(distance(logits(first.model), logits(second.model))).toBe(0);
    await expect(openModel({ model: out, adapters: [dir], merge: true })).rejects.toThrow(
      /is quantized: no adapter is merged into it; merge into the model's original weights instead/,
    );
    await expect(openModel({ model: out, adapters: [dir, dir] })).rejects.toThrow(
      /no adapter is merged into it/,
    );
  });
});

describe("a checkpoint that is quantized already", () => {
  const trained = (keys: object) =>
    run({ model_name_or_path: quantized(), max_steps: 1, ...keys } as Parameters<typeof run>[0]);
  let made: string | undefined;
  function quantized(): string {
    return made as string;
  }

  it("is trained on by lora alone, and says so before any data is read", async () => {
    made = path.join(folder(), "nf4");
    await exportModel(resolveRecipe({ ...NF4, export_dir: made }, { for: "export" }).recipe);
    const { events } = await trained({ quantization_bit: 4 });
    expect(JSON.stringify(events)).toMatch(
      /quantization_bit has no effect: .* is quantized already \(nf4, double/,
    );
    for (const [keys, message] of [
      [
        { finetuning_type: "full" },
        /finetuning_type: .* is quantized: it is trained by lora alone, not full/,
      ],
      [{ pissa_init: true }, /pissa_init: .* is quantized: it has no singular vectors/],
      [{ resize_vocab: true }, /resize_vocab: .* is quantized: its tables are not resized/],
      [{ extend_vocab: 10 }, /extend_vocab: .* is quantized: its tables are not resized/],
      [
        { quantization_bit: 4, quantization_type: "fp4" },
        /quantization_type: fp4: .* quantized already, to nf4/,
      ],
      [{ fp8: true }, /fp8: .* is quantized already \(nf4, double quantization\); remove fp8/],
      [
        { quantization_compute: "int8" },
        /quantization_compute: int8: .* is quantized already \(nf4, double quantization\); remove it/,
      ],
    ] as const)
      await expect(trained(keys)).rejects.toThrow(message);
  });
});
