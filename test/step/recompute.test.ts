// Gradient checkpointing in its kinds, in memory and on the disk: the same run, bit for bit, whatever is computed again.
import { readdirSync, readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { type RecipeInput, resolveRecipe } from "../../lib/config/index.js";
import { recallable, recalling, remembering, shapeOnly } from "../../lib/nn/index.js";
import { DiskStore } from "../../lib/step/activations/activation-store.js";
import { empty, randn, type Tensor } from "../../lib/torch/index.js";
import { folder, history, plain, type Ran, run, weightsFile } from "../train/runs.js";

const BASE: RecipeInput = { max_steps: 3, logging_steps: 1, gradient_accumulation_steps: 2, save_steps: 100 };
const METHODS: Record<string, RecipeInput> = {
  lora: BASE,
  "lora, bf16": { ...BASE, bf16: true, model_name_or_path: "model-bfloat16" },
  "lora with dropout": { ...BASE, lora_dropout: 0.1 },
  "lora with dropout, bf16": { ...BASE, lora_dropout: 0.1, bf16: true, model_name_or_path: "model-bfloat16" },
  "lora on some layers": { ...BASE, lora_target: "v_proj,down_proj", bf16: true },
  DoRA: { ...BASE, use_dora: true },
  "lora and whole tables": { ...BASE, additional_target: "embed_tokens,lm_head" },
  "documents apart": { ...BASE, neat_packing: true, bf16: true },
  full: { ...BASE, finetuning_type: "full" },
  "full, bf16, noise": { ...BASE, finetuning_type: "full", bf16: true, neftune_noise_alpha: 5 },
  "full, pure_bf16": {
    ...BASE,
    finetuning_type: "full",
    pure_bf16: true,
    model_name_or_path: "model-bfloat16",
  },
  freeze: { ...BASE, finetuning_type: "freeze", freeze_trainable_layers: 1, bf16: true },
};
const KINDS: Record<string, RecipeInput> = {
  "whole layers": { gradient_checkpointing: true },
  selective: { gradient_checkpointing: "selective" },
  "whole layers, on the disk": { gradient_checkpointing: true, activation_offload: "disk" },
  "selective, on the disk": { gradient_checkpointing: "selective", activation_offload: "disk" },
};

const outcome = ({ dir }: Ran): unknown => ({
  weights: readFileSync(weightsFile(dir)).toString("base64"),
  history: history(dir).map(plain),
});

describe.each(Object.entries(METHODS))("%s", (_, keys) => {
  let kept: unknown;
  beforeAll(async () => {
    kept = outcome(await run({ ...keys, gradient_checkpointing: false }));
  });

  it.each(Object.entries(KINDS))("%s: the run that keeps everything", async (_, kind) => {
    const ran = await run({ ...keys, ...kind });
    expect(outcome(ran)).toEqual(kept);
    expect(readdirSync(ran.dir).filter((name) => name.startsWith(".activations"))).toEqual([]);
  });
});

describe("what a second pass takes from the first", () => {
  it("computes nothing expensive twice", () => {
    let computed = 0;
    const make = (): Tensor[] => {
      computed++;
      return [randn([2])];
    };
    const body = (): Tensor =>
      recallable<Tensor>(
        () => make()[0] as Tensor,
        make,
        ([one]) => one as Tensor,
      );
    const results: Tensor[][] = [];
    const first = remembering(results, "expensive", body).tolist();
    expect(recalling(results, "expensive", body).tolist()).toEqual(first);
    expect(computed).toBe(1);
    body();
    expect(computed).toBe(2);
  });

  it("or nothing whose values no gradient asks for, where only shapes are kept", () => {
    const count = { inner: 0, last: 0 };
    const product = (name: keyof typeof count): Tensor => {
      const make = (): Tensor => {
        count[name]++;
        return randn([2, 3]);
      };
      return recallable<Tensor>(
        make,
        () => [make()],
        ([one]) => one as Tensor,
      );
    };
    const body = (): Tensor => {
      product("inner");
      return shapeOnly(() => product("last"));
    };
    const results: Tensor[][] = [];
    remembering(results, "shapes", body);
    expect(recalling(results, "shapes", body).shape).toEqual([2, 3]);
    expect(count).toEqual({ inner: 2, last: 1 });
    expect(results.length).toBe(1);
  });

  it("a second pass that asks for more is an error", () => {
    const body = (): unknown =>
      recallable<unknown>(
        () => 0,
        () => [empty([1])],
        () => 1,
      );
    expect(() => recalling([], "expensive", body)).toThrow(/more results than the first has kept/);
  });
});

describe("the file of activations", () => {
  it("takes elements away and brings the same bytes back", () => {
    const store = new DiskStore(folder());
    const tensors = [randn([3, 4]), randn([5]).to("bfloat16"), randn([1]).expand([7])];
    const before = tensors.map((one) => one.tolist());
    store.put(0, tensors);
    expect(tensors.map((one) => one.numel())).toEqual([0, 0, 7]);
    store.take(0);
    expect(tensors.map((one) => one.tolist())).toEqual(before);
    store.close();
  });
});

it("two keys that contradict each other are refused", () => {
  const keys: RecipeInput = {
    model_name_or_path: "m",
    stage: "pt",
    do_train: true,
    dataset: "a",
    output_dir: "o",
    disable_gradient_checkpointing: true,
    gradient_checkpointing: "selective",
  };
  expect(() => resolveRecipe(keys)).toThrow(
    /gradient_checkpointing: selective and disable_gradient_checkpointing: true contradict each other/,
  );
});
