// config.json: every dense size, both spellings, and a clear line for everything else.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { UserError } from "../../../../lib/errors.js";
import {
  parseConfig,
  readConfig,
  scaleRope,
  writeConfig,
} from "../../../../lib/models/families/qwen3/index.js";

const small = {
  architectures: ["Qwen3ForCausalLM"],
  model_type: "qwen3",
  vocab_size: 96,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
};

/** As published: transformers 4's spelling. */
const published = (
  hidden: number,
  intermediate: number,
  layers: number,
  heads: number,
  tied: boolean,
): object => ({
  architectures: ["Qwen3ForCausalLM"],
  attention_bias: false,
  attention_dropout: 0.0,
  bos_token_id: 151643,
  eos_token_id: 151645,
  head_dim: 128,
  hidden_act: "silu",
  hidden_size: hidden,
  initializer_range: 0.02,
  intermediate_size: intermediate,
  max_position_embeddings: 40960,
  max_window_layers: layers,
  model_type: "qwen3",
  num_attention_heads: heads,
  num_hidden_layers: layers,
  num_key_value_heads: 8,
  rms_norm_eps: 1e-6,
  rope_scaling: null,
  rope_theta: 1000000,
  sliding_window: null,
  tie_word_embeddings: tied,
  torch_dtype: "bfloat16",
  transformers_version: "4.51.0",
  use_cache: true,
  use_sliding_window: false,
  vocab_size: 151936,
});

describe("every dense size", () => {
  it.each([
    ["0.6B", 1024, 3072, 28, 16, true],
    ["1.7B", 2048, 6144, 28, 16, true],
    ["4B", 2560, 9728, 36, 32, true],
    ["8B", 4096, 12288, 36, 32, false],
    ["14B", 5120, 17408, 40, 40, false],
    ["32B", 5120, 25600, 64, 64, false],
  ] as const)("%s", (_, hidden, intermediate, layers, heads, tied) => {
    const config = parseConfig(published(hidden, intermediate, layers, heads, tied));
    expect(config).toMatchObject({
      hidden_size: hidden,
      num_hidden_layers: layers,
      head_dim: 128,
      tie_word_embeddings: tied,
      dtype: "bfloat16",
      eos_token_id: [151645],
      rope: { rope_type: "default", rope_theta: 1000000 },
    });
    const written = writeConfig(config, "bfloat16");
    expect(written).toEqual({ ...published(hidden, intermediate, layers, heads, tied) });
  });
});

describe("spellings", () => {
  it("reads transformers 4 and 5 alike", () => {
    const old = parseConfig({
      ...small,
      torch_dtype: "float16",
      rope_theta: 5e5,
      rope_scaling: { type: "linear", factor: 4 },
    });
    const now = parseConfig({
      ...small,
      dtype: "float16",
      rope_parameters: { rope_type: "linear", factor: 4, rope_theta: 5e5 },
    });
    expect(now.rope).toEqual({ rope_type: "linear", rope_theta: 5e5, factor: 4 });
    expect({ ...old, raw: 0 }).toEqual({ ...now, raw: 0 });
    expect(writeConfig(old, "float32")).toMatchObject({
      torch_dtype: "float32",
      rope_theta: 5e5,
      rope_scaling: { rope_type: "linear", factor: 4 },
    });
    expect(writeConfig(now, "float32")).toMatchObject({
      dtype: "float32",
      rope_parameters: { rope_type: "linear", factor: 4, rope_theta: 5e5 },
    });
  });

  it("takes transformers' defaults for absent keys, and keeps keys it does not know", () => {
    const config = parseConfig({ ...small, mine: [1] });
    expect(config).toMatchObject({
      max_position_embeddings: 32768,
      rms_norm_eps: 1e-6,
      tie_word_embeddings: false,
      rope: { rope_theta: 10000 },
    });
    expect(writeConfig(config, "bfloat16")["mine"]).toEqual([1]);
  });

  it("takes the original length from max_position_embeddings for yarn without one", () => {
    const { rope } = parseConfig({
      ...small,
      max_position_embeddings: 64,
      rope_scaling: { rope_type: "yarn", factor: 2 },
    });
    expect(rope).toMatchObject({ original_max_position_embeddings: 64, factor: 2, truncate: true });
  });
});

describe("refuses, in one line with file and key,", () => {
  it.each([
    [
      "another architecture",
      { model_type: "llama", architectures: ["LlamaForCausalLM"] },
      "model_type: LlamaForCausalLM is not supported; a dense Qwen3",
    ],
    [
      "a mixture of experts",
      { model_type: "qwen3_moe", architectures: ["Qwen3MoeForCausalLM"] },
      "Qwen3MoeForCausalLM is a mixture of experts",
    ],
    ["a headless model", { architectures: ["Qwen3Model"] }, "architectures: Qwen3Model is not supported"],
    [
      "no model_type",
      { model_type: undefined, architectures: undefined },
      "model_type: nothing is not supported",
    ],
    [
      "GPTQ's weights",
      { quantization_config: { bits: 4, quant_method: "gptq" } },
      "quantization_config: weights of GPTQ are not read; take the model's original weights",
    ],
    [
      "AWQ's weights",
      {
        quantization_config: {
          bits: 4,
          group_size: 128,
          quant_method: "awq",
          version: "gemm",
          zero_point: true,
        },
      },
      "quantization_config: weights of AWQ are not read; take the model's original weights",
    ],
    [
      "weights of no method",
      { quantization_config: { bits: 4 } },
      "weights of an unnamed method are not read",
    ],
    ["a missing key", { hidden_size: undefined }, "hidden_size: is missing; a number is needed"],
    ["a wrong type", { num_hidden_layers: "2" }, 'num_hidden_layers: a number is needed, not "2"'],
    ["a fraction", { vocab_size: 1.5 }, "vocab_size: a whole number above 0 is needed, not 1.5"],
    [
      "heads that do not divide",
      { num_key_value_heads: 3 },
      "num_key_value_heads: 3 does not divide num_attention_heads 4",
    ],
    ["an odd head", { head_dim: 15 }, "head_dim: 15 is odd"],
    [
      "a sliding window",
      { use_sliding_window: true, sliding_window: 8, max_window_layers: 1 },
      "use_sliding_window: sliding window attention is not supported",
    ],
    [
      "a sliding layer",
      { use_sliding_window: true, sliding_window: 8, layer_types: ["full_attention", "sliding_attention"] },
      "sliding window attention",
    ],
    [
      "layer_types of another length",
      { layer_types: ["full_attention"] },
      "layer_types: a list of num_hidden_layers 2",
    ],
    ["another activation", { hidden_act: "gelu" }, 'hidden_act: "gelu" is not supported'],
    ["an unknown dtype", { dtype: "int8" }, 'dtype: "int8" is not one of'],
    [
      "longrope",
      { rope_scaling: { rope_type: "longrope" } },
      'rope_scaling: rope_type: "longrope" is not supported; choose from default, linear',
    ],
    [
      "a rope without its factor",
      { rope_scaling: { rope_type: "linear" } },
      "rope_scaling: factor: is missing",
    ],
    ["a pad token beyond the vocabulary", { pad_token_id: 96 }, "pad_token_id: 96 is outside vocab_size 96"],
  ])("%s", (_, change, message) => {
    const attempt = (): unknown => parseConfig({ ...small, ...change }, "dir/config.json");
    expect(attempt).toThrow(UserError);
    expect(attempt).toThrow(`dir/config.json: `);
    expect(attempt).toThrow(message);
    try {
      attempt();
    } catch (error) {
      expect((error as Error).message).not.toContain("\n");
    }
  });

  it("a folder without the file, or with a broken one", () => {
    const dir = mkdtempSync(join(tmpdir(), "qwen-pt-"));
    expect(() => readConfig(dir)).toThrow(
      `${join(dir, "config.json")} is missing; model_name_or_path takes a folder`,
    );
    writeFileSync(join(dir, "config.json"), '{"a": ');
    expect(() => readConfig(dir)).toThrow(/config\.json:1: malformed JSON \(it ends in the middle/);
    writeFileSync(join(dir, "config.json"), "[]");
    expect(() => readConfig(dir)).toThrow("a JSON object is needed");
  });
});

describe("a recipe's rope_scaling", () => {
  const config = parseConfig({ ...small, max_position_embeddings: 1000, rope_theta: 1e6 });

  it("has no effect, and says so, where the cutoff is within reach", () => {
    const { rope, maxPositions, notes } = scaleRope(config, "yarn", 1000);
    expect(rope).toBe(config.rope);
    expect(maxPositions).toBe(1000);
    expect(notes).toEqual([{ level: "warning", text: expect.stringContaining("no effect") }]);
  });

  it.each([
    ["linear", 1001, { rope_type: "linear", rope_theta: 1e6, factor: 2 }],
    [
      "yarn",
      2001,
      {
        rope_type: "yarn",
        rope_theta: 1e6,
        factor: 3,
        original_max_position_embeddings: 1000,
        truncate: true,
      },
    ],
    [
      "dynamic",
      4000,
      { rope_type: "dynamic", rope_theta: 1e6, factor: 4, original_max_position_embeddings: 1000 },
    ],
    [
      "llama3",
      1500,
      {
        rope_type: "llama3",
        rope_theta: 1e6,
        factor: 2,
        original_max_position_embeddings: 1000,
        low_freq_factor: 1,
        high_freq_factor: 4,
      },
    ],
  ] as const)("%s for %i positions takes the whole factor that covers them", (type, cutoff, rope) => {
    const scaled = scaleRope(config, type, cutoff);
    expect(scaled.rope).toEqual(rope);
    expect(scaled.maxPositions).toBe(1000 * rope.factor);
    expect(scaled.notes.some((note) => note.level === "warning")).toBe(type === "dynamic");
  });

  it("doubles without a cutoff, and counts from the original length of a model that is scaled already", () => {
    const yarn = parseConfig({
      ...small,
      max_position_embeddings: 4000,
      rope_scaling: { rope_type: "yarn", factor: 4, original_max_position_embeddings: 1000 },
    });
    expect(scaleRope(config, "linear", undefined).rope.factor).toBe(2);
    expect(scaleRope(yarn, "linear", 2500)).toMatchObject({ maxPositions: 3000, rope: { factor: 3 } });
  });
});
