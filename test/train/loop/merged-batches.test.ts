// merge_micro_batches: a window's micro-batches computed as one, beside the same run that computes each alone.
import { describe, expect, it } from "vitest";
import type { RecipeInput } from "../../../lib/config/index.js";
import { joinBatches } from "../../../lib/data/index.js";
import type { TrainEvent } from "../../../lib/events.js";
import { parseConfig, Qwen3ForCausalLM } from "../../../lib/models/families/qwen3/index.js";
import { mergeBatches } from "../../../lib/train/batches/merged-batches.js";
import { batchesAtOnce } from "../../../lib/train/estimate/choose-checkpointing.js";
import { runRecipe } from "../../../lib/train/run.js";
import { distance, folder, history, loaded, weightsFile } from "../runs.js";

async function ran(keys: RecipeInput) {
  const dir = folder();
  let micros = 0;
  const recipe = {
    ...{ max_steps: 3, logging_steps: 1, save_steps: 100, gradient_accumulation_steps: 4 },
    ...{ per_device_train_batch_size: 2, learning_rate: 1e-3 },
    ...keys,
    output_dir: dir,
  };
  await runRecipe(loaded(recipe), {
    onEvent: ({ type }) => {
      if (type === "microStep") micros++;
    },
  });
  return { micros, history: history(dir), weights: weightsFile(dir) };
}

describe.each<[string, RecipeInput]>([
  ["LoRA", {}],
  ["documents apart", { neat_packing: true }],
  ["full, block by block", { finetuning_type: "full", gradient_checkpointing: true, learning_rate: 1e-4 }],
  ["from a stream", { streaming: true, max_samples: null }],
])("%s", (_, keys) => {
  it("the same losses and weights but for the order of sums, in fewer passes", async () => {
    const alone = await ran(keys);
    const merged = await ran({ ...keys, merge_micro_batches: true });
    expect(merged.micros).toBeLessThan(alone.micros / 2);
    expect(merged.history.length).toBe(alone.history.length);
    for (const [at, entry] of alone.history.entries()) {
      const own = merged.history[at] as typeof entry;
      for (const name of ["loss", "grad_norm"])
        if (name in entry) expect(own[name], name).toBeCloseTo(entry[name] as number, 4);
    }
    expect(distance(merged.weights, alone.weights)).toBeLessThan(1e-4);
  });
});

describe("what is joined", () => {
  const batch = (length: number, rows = 1, more = {}) => ({
    ...{ inputIds: new Int32Array(rows * length).fill(7), labels: new Int32Array(rows * length).fill(7) },
    ...{ attentionMask: undefined, batch: rows, length, ...more },
  });

  it("neighbours of one length and one source, as many as are allowed", () => {
    const sizes = (batches: ReturnType<typeof batch>[], most: number) =>
      mergeBatches(batches, most).map(({ batch: rows, length }) => `${rows}x${length}`);
    const four = [batch(8), batch(8, 2), batch(8), batch(5)];
    expect(sizes(four, 1)).toEqual(["1x8", "2x8", "1x8", "1x5"]);
    expect(sizes(four, 2)).toEqual(["3x8", "1x8", "1x5"]);
    expect(sizes(four, 9)).toEqual(["4x8", "1x5"]);
    expect(sizes([batch(8, 1, { source: 0 }), batch(8, 1, { source: 1 })], 9)).toEqual(["1x8", "1x8"]);
    expect(sizes([batch(8, 1, { part: { tokens: 8 } }), batch(8)], 9)).toEqual(["1x8", "1x8"]);
  });

  it("documents are counted through, padding is remembered", () => {
    const one = batch(4, 1, { documents: Int32Array.of(0, 3, 4) });
    const two = batch(4, 1, { documents: Int32Array.of(0, 4), attentionMask: Int32Array.of(1, 1, 1, 0) });
    const joined = joinBatches([one, two]);
    expect([...(joined.documents ?? [])]).toEqual([0, 3, 4, 8]);
    expect([...(joined.attentionMask ?? [])]).toEqual([1, 1, 1, 1, 1, 1, 1, 0]);
    expect(() => joinBatches([])).toThrow(RangeError);
  });

  it("as many as memory allows, which is said", () => {
    const { recipe } = loaded({
      merge_micro_batches: true,
      gradient_accumulation_steps: 8,
      output_dir: folder(),
    });
    const model = new Qwen3ForCausalLM(
      parseConfig({
        ...{ model_type: "qwen3", vocab_size: 512, hidden_size: 64, intermediate_size: 128 },
        ...{ num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 16 },
      }),
    );
    const said: TrainEvent[] = [];
    const most = (available: number | undefined) =>
      batchesAtOnce(model, recipe, false, "cuda:0", (event) => void said.push(event), available);
    expect([most(1e12), most(0), most(undefined)]).toEqual([8, 1, 1]);
    const some = [1e6, 2e6, 4e6, 8e6, 16e6, 32e6, 64e6].map(most);
    expect(some).toEqual([...some].sort((a, b) => a - b));
    expect(said.map((event) => (event as { text: string }).text).slice(0, 3)).toEqual([
      expect.stringMatching(/^merge_micro_batches: 8 of 8 at once, of 1,?000/),
      expect.stringMatching(/1 of 8 at once/),
      expect.stringMatching(/each alone \(free memory of cuda:0 is unknown\)/),
    ]);
  });
});
