// Micro-steps as graphs, by a stand-in that records a body and runs it again at every replay: what is copied in, when a
// shape is recorded, how the scale of a window is made good. What a card's own graphs do, only a card shows.
import { readFileSync } from "node:fs";
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { RecipeInput } from "../../../lib/config/index.js";
import type { TrainEvent } from "../../../lib/events.js";
import {
  initializeWeights,
  parseConfig,
  Qwen3ForCausalLM,
} from "../../../lib/models/families/qwen3/index.js";
import { addLora } from "../../../lib/peft/index.js";
import { microStepLoss } from "../../../lib/step/index.js";
import { inputsOf } from "../../../lib/step/micro-step.js";
import {
  type GraphRecorder,
  type graphRecorder,
  keep,
  liveTensors,
  manualSeed,
  scope,
  type Tensor,
} from "../../../lib/torch/index.js";
import { native } from "../../../lib/torch/native.js";
import { GraphedSteps } from "../../../lib/train/loop/graphed-steps.js";
import { runRecipe } from "../../../lib/train/run.js";
import { distance, folder, history, loaded, plain, weightsFile } from "../runs.js";

const counts = { recorded: 0, replayed: 0 };
const standIn: GraphRecorder = {
  record(body) {
    counts.recorded++;
    let result: Tensor | undefined;
    return {
      replay() {
        counts.replayed++;
        result?.dispose();
        result = keep(scope(body));
        return result;
      },
      dispose: () => result?.dispose(),
    };
  },
};

vi.mock("../../../lib/torch/accelerator/graph.js", async (original) => ({
  ...(await original<object>()),
  graphRecorder: vi.fn(() => standIn),
}));
beforeEach(() => void Object.assign(counts, { recorded: 0, replayed: 0 }));

async function ran(keys: RecipeInput) {
  const dir = folder();
  const events: TrainEvent[] = [];
  const recipe = { max_steps: 3, logging_steps: 1, save_steps: 100, gradient_accumulation_steps: 4, ...keys };
  await runRecipe(loaded({ ...recipe, output_dir: dir }), { onEvent: (event) => void events.push(event) });
  const said = events.flatMap((event) =>
    event.type === "message" && event.text.startsWith("cuda_graphs") ? [event.text] : [],
  );
  return { said, history: history(dir).map(plain), weights: weightsFile(dir) };
}

describe("a run by graphs", () => {
  it.each<[string, RecipeInput, number]>([
    ["LoRA", { gradient_checkpointing: false }, 1],
    ["LoRA, recomputed", { gradient_checkpointing: true }, 1],
    ["LoRA, selective, bf16", { gradient_checkpointing: "selective", bf16: true }, 1],
    ["LoRA with dropout", { gradient_checkpointing: false, lora_dropout: 0.1 }, 1],
    ["float16's scale", { gradient_checkpointing: false, fp16: true }, 1],
    ["the last layers", { finetuning_type: "freeze", freeze_trainable_layers: 1 }, 1],
  ])("%s: is the run without them, bit for bit", async (_, keys, recorded) => {
    const plainly = await ran(keys);
    const graphed = await ran({ ...keys, cuda_graphs: true });
    expect(graphed.said).toEqual([]);
    expect([counts.recorded, counts.replayed]).toEqual([recorded, 10]); // of 12 micro-steps
    expect(graphed.history).toEqual(plainly.history);
    expect(readFileSync(graphed.weights).equals(readFileSync(plainly.weights))).toBe(true);
  });

  it("documents of other lengths have other scales and other graphs", async () => {
    const keys = { neat_packing: true, gradient_checkpointing: false, max_steps: 6 };
    const plainly = await ran(keys);
    const graphed = await ran({ ...keys, cuda_graphs: true });
    expect(counts.recorded).toBeGreaterThan(0);
    expect(distance(graphed.weights, plainly.weights)).toBeLessThan(1e-5);
    for (const [at, entry] of plainly.history.entries())
      if ("loss" in entry) expect(graphed.history[at]?.["loss"]).toBeCloseTo(entry["loss"] as number, 4);
  });

  it.each<[RegExp, RecipeInput]>([
    [/the embedding trains/, { finetuning_type: "full" }],
    [/dropout is drawn twice alike/, { lora_dropout: 0.1, gradient_checkpointing: true }],
    [/activation_offload: disk moves/, { activation_offload: "disk", gradient_checkpointing: true }],
  ])("that cannot be says why: %s", async (why, keys) => {
    const { said } = await ran({ ...keys, cuda_graphs: true, max_steps: 1 });
    expect(said).toEqual([expect.stringMatching(why)]);
    expect(counts.recorded).toBe(0);
  });
});

it("inputs of a batch show the model one token, for the positions' dtype", () => {
  const model = new Qwen3ForCausalLM(
    parseConfig({
      ...{ vocab_size: 64, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 1, head_dim: 8 },
      ...{ num_attention_heads: 4, num_key_value_heads: 2, model_type: "qwen3", tie_word_embeddings: true },
    }),
    { device: "cpu", dtype: "bfloat16" },
  );
  const embed = vi.spyOn(model, "embed");
  const inputIds = Int32Array.from({ length: 16 }, (_, at) => at);
  const documents = Int32Array.of(0, 3, 8, 16);
  for (const apart of [{}, { documents }]) {
    const batch = { inputIds, labels: inputIds, attentionMask: undefined, batch: 2, length: 8, ...apart };
    const { positions } = inputsOf(model, batch, { device: "cpu", compute: undefined });
    expect((positions as unknown as { cos: Tensor }).cos.dtype).toBe("bfloat16");
  }
  expect(embed.mock.calls.map(([ids]) => ids.numel())).toEqual([1, 1]);
});

describe("the steps of a model", () => {
  const config = parseConfig({
    ...{ vocab_size: 64, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 2, head_dim: 8 },
    ...{ num_attention_heads: 4, num_key_value_heads: 2, model_type: "qwen3", tie_word_embeddings: true },
  });
  const batchOf = (length: number, first = 0) => {
    const ids = Int32Array.from({ length: 2 * length }, (_, at) => (at * 5 + first) % 64);
    return { inputIds: ids, labels: ids, attentionMask: undefined, batch: 2, length };
  };
  const made = (device: string) => {
    const model = new Qwen3ForCausalLM(config, { device: device === "meta" ? "meta" : "cpu" });
    manualSeed(3);
    if (device !== "meta") initializeWeights(model);
    addLora(model, { rank: 2 });
    model.train();
    return { model, trained: model.parameters().filter(({ requiresGrad }) => requiresGrad) };
  };
  const how = (device: string) => ({ device, compute: undefined, checkpointing: false as const });

  it("record each shape at its third micro-step, at most eight of them, and hold their gradients", () => {
    const { model, trained } = made("cpu");
    const live = liveTensors();
    const steps = new GraphedSteps(model, trained, standIn);
    const window = (first: number): void => {
      steps.startWindow();
      const held = trained.map(({ grad }) => grad as Tensor);
      for (let length = 4; length < 14; length++) steps.microStep(batchOf(length, first), how("cpu"), 0.5);
      steps.endWindow([]);
      expect(trained.every(({ grad }, at) => grad?.equal(held[at] as Tensor))).toBe(true);
    };
    for (let first = 0; first < 4; first++) scope(() => window(first));
    expect(counts).toEqual({ recorded: 8, replayed: 16 });
    steps.dispose();
    for (const one of trained) one.grad = undefined;
    expect(liveTensors() - live).toBeLessThan(3); // the last table of angles
  });

  it("of another scale are made good at the window's end", () => {
    const { model, trained } = made("cpu");
    const steps = new GraphedSteps(model, trained, standIn);
    const window = (scale: number): [number, Tensor[]] => {
      steps.startWindow();
      const losses = [1, 2, 3].map((first) => steps.microStep(batchOf(6, first), how("cpu"), scale));
      steps.endWindow(losses);
      return [
        losses.reduce((sum, loss) => sum + Number(loss.item()), 0),
        trained.map(({ grad }) => (grad as Tensor).clone()),
      ];
    };
    window(0); // nothing to go by
    window(1 / 16);
    const [loss, gradients] = window(1 / 10);
    for (const one of trained) one.grad = undefined;
    let expected = 0;
    for (const first of [1, 2, 3])
      expected += Number(microStepLoss(model, batchOf(6, first), { ...how("cpu"), scale: 1 / 10 }).item());
    expect(loss).toBeCloseTo(expected, 5);
    for (const [at, { grad }] of trained.entries())
      expect(
        gradients[at]
          ?.sub(grad as Tensor)
          .abs()
          .max()
          .item(),
      ).toBeLessThan(1e-6);
  });

  it("bring nothing to the device and wait for nothing while they are recorded", () => {
    const { model, trained } = made("meta");
    const seen: object[] = [];
    const watching: GraphRecorder = {
      record(body) {
        native().startRecording();
        const result = keep(scope(body));
        const { uploads, waitedUploads, downloads } = native().stopRecording();
        seen.push({ uploads, waitedUploads, downloads });
        return { replay: () => result, dispose: () => result.dispose() };
      },
    };
    const steps = new GraphedSteps(model, trained, watching);
    steps.startWindow();
    const documents = Int32Array.of(0, 3, 12);
    for (let at = 0; at < 3; at++)
      for (const more of [{}, { documents }]) steps.microStep({ ...batchOf(6), ...more }, how("meta"), 1);
    expect(seen).toEqual([0, 1].map(() => ({ uploads: 0, waitedUploads: 0, downloads: 0 })));
  });
});

it("without a CUDA device, or the library, there is a line", async () => {
  const { graphRecorder: real } = await vi.importActual<{ graphRecorder: typeof graphRecorder }>(
    "../../../lib/torch/accelerator/graph.js",
  );
  expect(real("cpu")).toMatch(/^cpu has no graphs/);
  expect(real("cuda:0")).toMatch(/is not built; install nvidia-cuda-crt and nvidia-cuda-cccl/);
  expect(native().openGraphs("/nowhere/graphs.so")).toMatch(/nowhere\/graphs\.so: cannot open/);
});
