// Inverse frequencies, cos and sin of every rotary type against transformers 5.6, at a tiny and at Qwen3's own size.
import { describe, expect, it } from "vitest";
import {
  inverseFrequencies,
  parseConfig,
  RotaryEmbedding,
} from "../../../lib/models/families/qwen3/index.js";
import { liveTensors } from "../../../lib/torch/index.js";
import { collect } from "../../fixtures/collect.js";
import * as fixture from "../../fixtures/model/read.js";

interface Case {
  max_position_embeddings: number;
  head_dim: number;
  length: number;
  rope_parameters: object;
  attention_factor: number;
}

const expected = fixture.tensors("rope");
const cases = Object.entries(fixture.json<Record<string, Case>>("rope"));
const base = {
  model_type: "qwen3",
  vocab_size: 96,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 1,
  num_attention_heads: 2,
};

describe.each(cases)("%s", (name, { length, attention_factor, ...config }) => {
  const parsed = parseConfig({ ...base, ...config });

  it("has transformers' frequencies, bit for bit", () => {
    const { inverse, attentionFactor } = inverseFrequencies(parsed, length);
    expect(fixture.distance(inverse, expected.get(`${name}.inv_freq`))).toBe(0);
    expect(attentionFactor).toBe(attention_factor);
  });

  it("has transformers' cos and sin at the end of the sequence", () => {
    const { cos, sin } = new RotaryEmbedding(parsed).range(0, length, "float32", "cpu");
    expect(cos.shape).toEqual([1, 1, length, config.head_dim]);
    expect(
      fixture.distance(
        cos
          .narrow(2, length - 2, 2)
          .select(0, 0)
          .select(0, 0),
        expected.get(`${name}.cos`),
      ),
    ).toBeLessThan(1e-7);
    expect(
      fixture.distance(
        sin
          .narrow(2, length - 2, 2)
          .select(0, 0)
          .select(0, 0),
        expected.get(`${name}.sin`),
      ),
    ).toBeLessThan(1e-7);
  });
});

it("makes one range once, and holds no more than the last one", () => {
  const rotary = new RotaryEmbedding(parseConfig({ ...base, head_dim: 16 }));
  const first = rotary.range(0, 8, "float32", "cpu");
  collect();
  const live = liveTensors();
  expect(rotary.range(0, 8, "float32", "cpu").cos).toBe(first.cos);
  for (let length = 1; length < 20; length++) rotary.range(3, length, "bfloat16", "cpu");
  expect(liveTensors()).toBe(live);
  expect(first.cos.isDisposed).toBe(true);
});
