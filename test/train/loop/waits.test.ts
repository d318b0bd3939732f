// How often a step waits for its device: every value that JavaScript reads and every copy to the host, counted where
// they enter the addon.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { RecipeInput } from "../../../lib/config/index.js";
import { parseConfig, Qwen3ForCausalLM } from "../../../lib/models/families/qwen3/index.js";
import { addLora, full } from "../../../lib/peft/index.js";
import { microStepLoss } from "../../../lib/step/micro-step.js";
import { readScalars } from "../../../lib/step/read-scalars.js";
import { liveTensors, tensor } from "../../../lib/torch/index.js";
import { native } from "../../../lib/torch/native.js";
import { runRecipe } from "../../../lib/train/run.js";
import { folder, loaded } from "../runs.js";

let seen: string[];
beforeEach(() => {
  seen = [];
  const addon = native();
  for (const name of ["tensorItem", "tensorToBytes"] as const) {
    const real = addon[name] as (...args: unknown[]) => never;
    vi.spyOn(addon, name).mockImplementation((...args: unknown[]) => {
      seen.push("read");
      return real(...args);
    });
  }
});
afterEach(() => vi.restoreAllMocks());

/** What happened from the end of one step to the end of the next: its micro-steps, its reads. */
async function steps(keys: RecipeInput): Promise<string[]> {
  const recipe: RecipeInput = {
    max_steps: 4,
    gradient_accumulation_steps: 2,
    save_strategy: "no",
    logging_steps: 1,
    gradient_checkpointing: true,
    ...keys,
    output_dir: folder(),
  };
  await runRecipe(loaded(recipe), {
    onEvent: ({ type }) => void seen.push(type),
  });
  const happened = seen.filter((type) => ["read", "microStep", "step"].includes(type)).join(" ");
  return happened.split(/(?<= step) /).slice(0, 4);
}

const STEP = "microStep microStep read step";

describe("a step waits once, after its last micro-step", () => {
  it.each([
    ["LoRA", {}],
    ["full", { finetuning_type: "full" }],
    ["recomputing nothing", { gradient_checkpointing: false }],
    ["without clipping", { max_grad_norm: 0 }],
    ["float16's scale", { fp16: true }],
    ["with dropout", { lora_dropout: 0.1 }],
    ["documents packed apart", { neat_packing: true }],
  ] as const)("%s", async (_, keys) => {
    // before the first, the order of the epoch's blocks is drawn, on the processor
    expect(await steps(keys)).toEqual([`read ${STEP}`, STEP, STEP, STEP]);
  });
});

describe("what a micro-step brings to its device", () => {
  const config = {
    ...{ vocab_size: 64, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 2, head_dim: 8 },
    ...{ num_attention_heads: 4, num_key_value_heads: 2, model_type: "qwen3", tie_word_embeddings: false },
  };
  const ids = Int32Array.from({ length: 16 }, (_, at) => at);
  const packed = { documents: Int32Array.of(0, 3, 16) };

  it.each([
    ["LoRA", 2, {}],
    ["LoRA, documents", 5, packed], // positions, their frequencies, and where documents begin
    ["full", 4, {}], // an embedding that trains adds up the rows of each id
  ] as const)("%s: %i copies, none waited for, and none back", (kind, uploads, more) => {
    const model = new Qwen3ForCausalLM(parseConfig(config));
    if (kind === "full") full(model);
    else addLora(model, { rank: 2 });
    model.to({ device: "meta" }).train();
    const step = () =>
      microStepLoss(
        model,
        { inputIds: ids, labels: ids, attentionMask: undefined, batch: 2, length: 8, ...more },
        { device: "meta", compute: undefined, checkpointing: false, scale: 1 },
      );
    step(); // the first makes tables of angles
    native().startRecording();
    step();
    const { waitedUploads, downloads, ...recorded } = native().stopRecording();
    expect([recorded.uploads, waitedUploads, downloads]).toEqual([uploads, 0, 0]);
  });
});

it("values of several dtypes are read exactly, and nothing is left over", () => {
  const values = [tensor(1 / 3, { dtype: "float64" }), tensor(1 / 3), tensor(1 / 3, { dtype: "bfloat16" })];
  const live = liveTensors();
  expect(readScalars(values)).toEqual([1 / 3, Math.fround(1 / 3), 0.333984375]);
  expect(readScalars(values.slice(1))).toEqual([Math.fround(1 / 3), 0.333984375]);
  expect([readScalars([]), liveTensors()]).toEqual([[], live]);
});
