// A base in 4 bits and the adapter that was trained over it, in transformers, PEFT and bitsandbytes: what `export` wrote
// loads there, what they quantize themselves is the same, and the adapter fits either, with the logits that it has here.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { resolveRecipe } from "../../lib/config/index.js";
import { train } from "../../lib/index.js";
import { exportModel } from "../../lib/inference/export.js";
import { openModel } from "../../lib/inference/open-model.js";
import { loadSafetensors, noGrad, saveSafetensors, type Tensor, tensor } from "../../lib/torch/index.js";
import { distance } from "../fixtures/model/read.js";

const python = process.env.QWEN_PT_PYTHON ?? "";
const here = import.meta.dirname;
const root = mkdtempSync(path.join(tmpdir(), "qwen-pt-bitsandbytes-"));
const base = path.join(here, "../../examples/model");
const at = (name: string): string => path.join(root, name);
const ids = tensor(
  BigInt64Array.from({ length: 24 }, (_, i) => BigInt(100 + 7 * i)),
  { shape: [1, 24] },
);
const quantize = {
  model_name_or_path: base,
  quantization_bit: 4,
  quantization_type: "nf4",
  double_quantization: true,
} as const;

beforeAll(async () => {
  await train({
    ...quantize,
    dataset: "prose",
    dataset_dir: path.join(here, "../../examples/data"),
    output_dir: at("adapter"),
    max_samples: 10,
    cutoff_len: 64,
    stage: "pt",
    max_steps: 6,
    learning_rate: 1e-2,
    upcast_layernorm: false,
    report_to: "none",
  });
  await exportModel(resolveRecipe({ ...quantize, export_dir: at("nf4") }, { for: "export" }).recipe);
  saveSafetensors(at("ids"), { ids });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

function theirs(model: string, adapter: string): Tensor {
  const out = at("logits");
  const kinds = execFileSync(python, [path.join(here, "logits_4bit.py"), model, adapter, at("ids"), out], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
    env: { ...process.env, HF_HUB_OFFLINE: "1" },
  });
  expect(kinds).toContain("Linear4bit");
  return loadSafetensors(out).get("logits") as Tensor;
}

it.each([
  ["what export wrote", () => at("nf4"), "none"],
  ["what export wrote, with the adapter", () => at("nf4"), "adapter"],
  ["what they quantize themselves, with the adapter", () => base, "adapter"],
] as const)("%s has the same logits", async (_, model, adapter) => {
  const adapters = adapter === "none" ? [] : [at(adapter)];
  // they round nothing to bfloat16 before they quantize to float32
  const { model: ours } = await openModel({ model: model(), quantize, adapters, dtype: "float32" });
  const logits = noGrad(() => ours.forward({ inputIds: ids }));
  expect(distance(logits, theirs(model(), adapter === "none" ? "none" : at(adapter)))).toBeLessThan(1e-5);
});
