// A toy family comes in through the public door: its config.json, its blocks and its sizes in one object. A recipe trains
// it with LoRA and whole, resumes it and estimates it, and nothing else knows of it.
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { RecipeInput } from "../../../lib/config/index.js";
import { UserError } from "../../../lib/errors.js";
import {
  type FamilyModel,
  initializeWeights,
  loadModel,
  type ModelConfig,
  type ModelFamily,
  registerFamily,
  saveModel,
} from "../../../lib/index.js";
import { readModelConfig } from "../../../lib/models/index.js";
import { Embedding, Linear, Module, RMSNorm } from "../../../lib/nn/index.js";
import {
  arange,
  type DType,
  loadSafetensors,
  manualSeed,
  scope,
  type Tensor,
} from "../../../lib/torch/index.js";
import { estimateMemory, shapesOf } from "../../../lib/train/estimate/memory.js";
import { fixture, folder, loaded, only, run, stopIn, weightsFile } from "../../train/runs.js";

/** A position sees the mean of those up to it: no attention. */
class ToyBlock extends Module {
  input_norm: RMSNorm;
  mixer: Linear;

  constructor(width: number, dtype: DType) {
    super();
    this.input_norm = new RMSNorm(width, 1e-6, { dtype, device: "meta" });
    this.mixer = new Linear(width, width, { dtype, device: "meta" });
  }

  forward(hidden: Tensor, counts: Tensor): Tensor {
    const seen = this.input_norm.forward(hidden).cumsum(1).div(counts);
    return hidden.add(this.mixer.forward(seen));
  }
}

class ToyBody extends Module {
  embed_tokens: Embedding;
  layers: ToyBlock[];
  norm: RMSNorm;

  constructor({ vocab_size, hidden_size: width, num_hidden_layers: count }: ModelConfig, dtype: DType) {
    super();
    this.embed_tokens = new Embedding(vocab_size, width, { dtype, device: "meta" });
    this.layers = Array.from({ length: count }, () => new ToyBlock(width, dtype));
    this.norm = new RMSNorm(width, 1e-6, { dtype, device: "meta" });
  }
}

class ToyModel extends Module implements FamilyModel {
  model: ToyBody;
  lm_head: Linear;

  constructor(
    readonly config: ModelConfig,
    { dtype = "float32" }: { dtype?: DType } = {},
  ) {
    super();
    this.model = new ToyBody(config, dtype);
    this.lm_head = new Linear(config.hidden_size, config.vocab_size, { dtype, device: "meta" });
  }

  get layers(): ToyBlock[] {
    return this.model.layers;
  }
  get inputEmbedding(): Embedding {
    return this.model.embed_tokens;
  }
  get outputHead(): Linear {
    return this.lm_head;
  }
  get headWeight(): Tensor | undefined {
    return this.lm_head instanceof Linear ? this.lm_head.weight : undefined;
  }
  embed(ids: Tensor): Tensor {
    return this.model.embed_tokens.forward(ids);
  }
  rope(length: number, hidden: Tensor): Tensor {
    return arange(1, length + 1, 1, { device: hidden.device }).unsqueeze(-1);
  }
  norm(hidden: Tensor): Tensor {
    return this.model.norm.forward(hidden);
  }
  head(normed: Tensor): Tensor {
    return this.lm_head.forward(normed);
  }
  forward({ inputIds }: { inputIds: Tensor }): Tensor {
    let hidden = this.embed(inputIds);
    const counts = this.rope(inputIds.size(1), hidden);
    for (const layer of this.layers) hidden = layer.forward(hidden, counts);
    return this.head(this.norm(hidden));
  }
  configJson(dtype: DType): Record<string, unknown> {
    return { ...this.config.raw, dtype };
  }
}

const toy: ModelFamily = {
  models: "toys",
  parseConfig: (raw) => {
    const { width, layers, vocabulary } = raw as Record<string, number>;
    if (width === undefined) throw new UserError("config.json: width: is missing");
    return {
      vocab_size: vocabulary ?? 0,
      hidden_size: width,
      num_hidden_layers: layers ?? 1,
      tie_word_embeddings: false,
      initializer_range: 0.2,
      pad_token_id: undefined,
      eos_token_id: [0],
      dtype: "float32",
      raw: raw as Record<string, unknown>,
    };
  },
  build: (config, options) => new ToyModel(config, options),
  blockShape: ({ hidden_size: hidden }) => ({
    hidden,
    heads: 1,
    kvHeads: 1,
    headDim: hidden,
    intermediate: hidden,
  }),
  loraTargets: ["mixer"],
};

const dir = folder();
const keys = (more: RecipeInput): RecipeInput => ({
  model_name_or_path: dir,
  max_steps: 2,
  save_steps: 1,
  ...more,
});

beforeAll(() => {
  registerFamily("toy", toy);
  const config = { model_type: "toy", width: 16, layers: 2, vocabulary: 384 };
  writeFileSync(path.join(dir, "config.json"), JSON.stringify(config));
  for (const file of ["tokenizer.json", "tokenizer_config.json"])
    copyFileSync(fixture("model", file), path.join(dir, file));
  manualSeed(1);
  const model = new ToyModel(toy.parseConfig(config, "config.json"));
  initializeWeights(model);
  saveModel(model, dir);
});

describe("a registered family", () => {
  it.each(["lora", "full"] as const)(
    "trains two steps with %s, the same with blocks computed again",
    async (tuning) => {
      const kept = await run(
        keys({ finetuning_type: tuning, gradient_checkpointing: false, learning_rate: 0.01 }),
      );
      const again = await run(
        keys({ finetuning_type: tuning, gradient_checkpointing: true, learning_rate: 0.01 }),
      );
      const losses = only(kept.events, "step").map(({ loss }) => loss);
      expect(losses).toHaveLength(2);
      expect(losses[0]).toBeGreaterThan(1);
      expect(only(again.events, "step").map(({ loss }) => loss)).toEqual(losses);
      scope(() => {
        const names = [...loadSafetensors(weightsFile(kept.dir)).keys()].sort();
        const wraps = (layer: number) =>
          ["A", "B"].map((part) => `base_model.model.model.layers.${layer}.mixer.lora_${part}.weight`);
        if (tuning === "lora") expect(names).toEqual([...wraps(0), ...wraps(1)]);
        else expect(names).toContain("model.layers.1.mixer.weight");
      });
    },
  );

  it("resumes bit for bit", async () => {
    const bytes = (of: string) => readFileSync(weightsFile(of)).toString("base64");
    const whole = await run(keys({ finetuning_type: "full" }));
    const first = await run(keys({ finetuning_type: "full" }), stopIn(2, 1));
    const resumed = { finetuning_type: "full", output_dir: first.dir, overwrite_output_dir: false };
    const second = await run(keys(resumed as RecipeInput));
    expect(bytes(second.dir)).toBe(bytes(whole.dir));
    expect(readModelConfig(second.dir).hidden_size).toBe(16);
    expect(loadModel(second.dir).layers).toHaveLength(2);
  });

  it("is estimated by its sizes", () => {
    const { recipe } = loaded(keys({ finetuning_type: "full" }));
    const estimate = estimateMemory(shapesOf(recipe, readModelConfig(dir)), recipe, false);
    expect(estimate.weights).toBe(4 * (2 * 384 * 16 + 2 * (16 * 16 + 16) + 16));
    expect(estimate.activations).toBeGreaterThan(0);
  });

  it("says what it cannot do", async () => {
    await expect(run(keys({ rope_scaling: "yarn" }))).rejects.toThrow(
      "rope_scaling: its positions cannot be scaled (toys); remove it",
    );
    const heads = keys({ finetuning_type: "freeze", freeze_trainable_heads: "0:0" });
    await expect(run(heads)).rejects.toThrow(
      "freeze_trainable_heads: single heads cannot be trained of toys",
    );
  });
});

it("a model of no family is refused with those there are", () => {
  const other = folder();
  writeFileSync(path.join(other, "config.json"), JSON.stringify({ model_type: "mamba" }));
  expect(() => readModelConfig(other)).toThrow(
    /config\.json: model_type: "mamba" is not supported; supported are dense Qwen3 models .*; toys$/,
  );
  expect(() => registerFamily("qwen3", toy)).toThrow('there is a family "qwen3" already');
});
