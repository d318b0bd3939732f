// A step of every dense size of Qwen3 on the `meta` device, where tensors have shapes and no values: nothing in it
// assumes the processor, and nothing in it reads a value, for there is none. What a step brings to the host goes
// through one place (read-scalars.ts), which is counted here.
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { RecipeInput } from "../../lib/config/index.js";
import { parseConfig, Qwen3ForCausalLM } from "../../lib/models/families/qwen3/index.js";
import { addLora, full } from "../../lib/peft/index.js";
import type * as Reading from "../../lib/step/read-scalars.js";
import type { DType, Tensor } from "../../lib/torch/index.js";
import { Trainer } from "../../lib/train/loop/trainer.js";
import { QWEN3_SIZES } from "../fixtures/qwen3-sizes.js";
import { folder, loaded } from "../train/runs.js";

const read: number[] = [];
vi.mock("../../lib/step/read-scalars.js", async (original) => {
  const real = await original<typeof Reading>();
  const readScalars = (tensors: readonly Tensor[]): number[] => {
    read.push(tensors.length);
    return tensors[0]?.device === "meta" ? tensors.map(() => 1) : real.readScalars(tensors);
  };
  return { ...real, readScalars };
});
beforeEach(() => read.splice(0));

const TOKENS = 256;

function modelOf(config: object, kind: "lora" | "full", dtype: DType = "float32"): Qwen3ForCausalLM {
  const model = new Qwen3ForCausalLM(parseConfig({ ...config }), { dtype });
  if (kind === "lora") addLora(model, { rank: 8 });
  else full(model);
  return model.train();
}

function trainerOf(model: Qwen3ForCausalLM, keys: RecipeInput, documents = false): Trainer {
  const { recipe } = loaded({
    max_steps: 1,
    gradient_accumulation_steps: 2,
    save_strategy: "no",
    ...keys,
    output_dir: folder(),
  });
  const starts = () => Int32Array.of(0, 20, 200);
  const blocks = {
    length: 8,
    tokens: 8 * TOKENS,
    get: () => new Int32Array(TOKENS),
    ...(documents && { starts }),
  };
  return new Trainer({ recipe, model, blocks, padId: 0, device: "meta", save: () => {} });
}

describe.each(Object.entries(QWEN3_SIZES))("Qwen3-%s on meta", (_, { config, parameters }) => {
  it("has as many parameters as its checkpoint", () => {
    const model = new Qwen3ForCausalLM(parseConfig({ ...config }));
    expect([...model.parameters()].reduce((sum, one) => sum + one.numel(), 0)).toBe(parameters);
  });

  it.each([
    ["lora", false],
    ["lora", true],
    ["full", false],
    ["full", true],
  ] as const)("trains: %s, recomputing nothing %s", async (kind, disable_gradient_checkpointing) => {
    const model = modelOf(config, kind);
    const trainer = trainerOf(model, { disable_gradient_checkpointing });
    await trainer.run();
    expect(trainer.progress.step).toBe(1);
    const trained = [...model.parameters()].filter(({ requiresGrad }) => requiresGrad);
    expect(trainer.optimizer.stateDict().size).toBe(3 * trained.length);
    expect(read).toEqual([3]);
  });
});

it.each(["float32", "bfloat16", "float64"] as const)("documents packed apart, in %s", async (dtype) => {
  const model = modelOf(QWEN3_SIZES["0.6B"].config, "full", dtype);
  const trainer = trainerOf(model, { disable_gradient_checkpointing: true }, true);
  await trainer.run();
  expect(trainer.progress.step).toBe(1);
});
