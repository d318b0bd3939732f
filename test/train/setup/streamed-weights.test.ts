// Weights that stay in their file (layer_offload): the same gradients to the bit, in the memory of a few blocks.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseConfig } from "../../../lib/models/families/qwen3/config.js";
import { buildEmptyModel, initializeWeights, loadModel, saveModel } from "../../../lib/models/index.js";
import { addLora } from "../../../lib/peft/index.js";
import { microStep } from "../../../lib/step/micro-step.js";
import { type Passage, setPassage } from "../../../lib/step/passage.js";
import { manualSeed, type Tensor } from "../../../lib/torch/index.js";
import { StreamedWeights } from "../../../lib/train/setup/streamed-weights.js";
import { run, weightsFile } from "../runs.js";

const BLOCKS = 12;
// 5.3 M parameters a block, of 4 bytes: 21 MB
const config = parseConfig({
  architectures: ["Qwen3ForCausalLM"],
  model_type: "qwen3",
  vocab_size: 64,
  hidden_size: 512,
  intermediate_size: 2560,
  num_hidden_layers: BLOCKS,
  num_attention_heads: 8,
  num_key_value_heads: 8,
  head_dim: 64,
  hidden_act: "silu",
  max_position_embeddings: 128,
  rms_norm_eps: 1e-6,
  rope_theta: 10_000,
  tie_word_embeddings: true,
  attention_bias: false,
  dtype: "float32",
});

const room = mkdtempSync(path.join(tmpdir(), "streamed-"));
afterAll(() => rmSync(room, { recursive: true }));
beforeAll(() => {
  manualSeed(1);
  const model = buildEmptyModel(config);
  initializeWeights(model, "float32");
  saveModel(model, room);
  for (const parameter of model.parameters()) parameter.dispose();
});

/** Bytes of files' pages that are in this process's memory. */
const filePages = (): number =>
  1024 * Number(/RssFile:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]);

/** A step's gradients, and how much larger the files' pages became during it. */
function step(isStreamed: boolean, checkpointing: boolean | "selective") {
  const model = loadModel(room, config);
  model.requiresGrad_(false);
  manualSeed(2);
  addLora(model, { rank: 2 });
  model.train();
  const before = filePages();
  let most = 0;
  const watching = (passage: Partial<Passage>): Passage => ({
    enter: (part, direction) => passage.enter?.(part, direction),
    leave(part, direction) {
      most = Math.max(most, filePages() - before);
      passage.leave?.(part, direction);
    },
    end: () => passage.end?.(),
  });
  setPassage(model, watching(isStreamed ? new StreamedWeights(model) : {}));
  const inputIds = Int32Array.from({ length: 32 }, (_, i) => (i * 7) % 64);
  const batch = { inputIds, labels: inputIds, attentionMask: undefined, batch: 1, length: 32 };
  microStep(model, batch, { device: "cpu", compute: undefined, scale: 1 / 32, checkpointing });
  const gradients = [...model.namedParameters()]
    .filter(([, { requiresGrad }]) => requiresGrad)
    .map(([name, { grad }]) => [name, Buffer.from((grad as Tensor).toBytes()).toString("base64")]);
  for (const parameter of model.parameters()) parameter.dispose();
  return { most, gradients };
}

describe.skipIf(process.platform !== "linux")("weights in their file", () => {
  it.each([false, "selective", true] as const)("with gradient_checkpointing %s", (checkpointing) => {
    const [whole, streamed] = [step(false, checkpointing), step(true, checkpointing)];
    expect(streamed.gradients).toEqual(whole.gradients);
    const block = 4 * 5.3e6;
    expect(whole.most).toBeGreaterThan(0.9 * BLOCKS * block);
    // one that computes, and what the kernel maps around a page that is touched
    expect(streamed.most).toBeLessThan(2.5 * block);
  });

  it("leave a recipe's adapter as it is without them", async () => {
    const keys = { max_steps: 2, model_name_or_path: "model-bfloat16", bf16: true } as const;
    const [whole, streamed] = [await run(keys), await run({ ...keys, layer_offload: "disk" })];
    expect(readFileSync(weightsFile(streamed.dir))).toEqual(readFileSync(weightsFile(whole.dir)));
  });
});
