// `fp8: true` on the embedded model: losses beside bfloat16's, on the data that comes with the package. What is rounded
// and how: test/nn/quantized/float8.test.ts.
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { cardProblem } from "../../../lib/assembly/float8.js";
import type { RecipeInput } from "../../../lib/config/index.js";
import { folder, run } from "../runs.js";

const examples = fileURLToPath(new URL("../../../examples/", import.meta.url));
const STEPS = 10;

async function losses(keys: RecipeInput): Promise<{ losses: number[]; said: string[] }> {
  const { events } = await run({
    model_name_or_path: path.join(examples, "model"),
    dataset_dir: path.join(examples, "data"),
    dataset: "poetry",
    output_dir: folder(),
    cutoff_len: 256,
    per_device_train_batch_size: 2,
    gradient_accumulation_steps: 1,
    max_samples: 200,
    max_steps: STEPS,
    save_strategy: "no",
    plot_loss: false,
    use_cpu: true,
    bf16: true,
    ...keys,
  });
  return {
    losses: events.flatMap((event) => (event.type === "step" ? [event.loss] : [])),
    said: events.flatMap((event) => (event.type === "message" ? [event.text] : [])),
  };
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

describe("losses with fp8", () => {
  it.each([
    ["lora", { finetuning_type: "lora", lora_target: "all", learning_rate: 1e-3 }],
    ["full", { finetuning_type: "full", learning_rate: 3e-4 }],
  ] as const)("%s: each within four thousandths of bf16, their mean within one", async (_, keys) => {
    const [half, eight] = [await losses(keys), await losses({ ...keys, fp8: true })];
    expect(eight.losses).toHaveLength(STEPS);
    const apart = eight.losses.map((loss, i) => Math.abs(loss / (half.losses[i] as number) - 1));
    expect(Math.max(...apart)).toBeGreaterThan(1e-5);
    expect(Math.max(...apart)).toBeLessThan(4e-3);
    expect(Math.abs(mean(eight.losses) / mean(half.losses) - 1)).toBeLessThan(1e-3);
    expect(eight.said.join("\n")).toMatch(/fp8: a processor multiplies what the 8-bit floats stand for/);
  });
});

describe("a card for fp8", () => {
  it("is of compute capability 8.9 or more, or one that nobody knows", () => {
    expect([89, 90, 120, 0].map(cardProblem)).toEqual([undefined, undefined, undefined, undefined]);
    expect(cardProblem(86)).toBe(
      "fp8: this card's compute capability is 8.6, and products of 8-bit floats need 8.9 or more: remove fp8 (bf16: true is next), or train on another card",
    );
  });
});
