// Generation against transformers' generate: greedy, penalised, sampled from the same generator.
import { describe, expect, it } from "vitest";
import { generate, generateTokens, processScores } from "../../lib/inference/index.js";
import { liveTensors, manualSeed, tensor } from "../../lib/torch/index.js";
import { collect } from "../fixtures/collect.js";
import * as fixture from "../fixtures/model/read.js";

const { generation } = fixture.json<{
  generation: Record<"prompt" | "greedy" | "penalty" | "sampled", number[]>;
}>("lists");
const model = fixture.model("untied");
const { prompt } = generation;

describe("generated tokens", () => {
  it("are transformers' greedy ones", () => {
    expect([...generateTokens(model, prompt, { maxNewTokens: 20 })]).toEqual(generation.greedy);
  });

  it("are transformers' with a repetition penalty", () => {
    expect([...generateTokens(model, prompt, { maxNewTokens: 20, repetitionPenalty: 1.3 })]).toEqual(
      generation.penalty,
    );
  });

  it("are transformers' samples from the same seed", () => {
    manualSeed(3);
    const options = {
      sample: true,
      temperature: 0.7,
      topK: 20,
      topP: 0.8,
      repetitionPenalty: 1.1,
      maxNewTokens: 20,
    };
    expect([...generateTokens(model, prompt, options)]).toEqual(generation.sampled);
  });

  it("end before an end token", () => {
    const eos = generation.greedy[4]!;
    const until = generation.greedy.slice(0, generation.greedy.indexOf(eos));
    expect([...generateTokens(model, prompt, { maxNewTokens: 20, eosTokenIds: [eos] })]).toEqual(until);
  });

  it("come one at a time, and stop when told", async () => {
    const stop = new AbortController();
    const seen: number[] = [];
    for await (const token of generate(model, prompt, { maxNewTokens: 20, signal: stop.signal })) {
      seen.push(token);
      if (seen.length === 3) stop.abort();
    }
    expect(seen).toEqual(generation.greedy.slice(0, 3));
  });

  it("leave no tensor behind, finished or not, and the model's mode as it was", () => {
    model.train();
    [...generateTokens(model, prompt, { maxNewTokens: 2 })];
    collect();
    const live = liveTensors();
    [...generateTokens(model, prompt, { maxNewTokens: 9 })];
    for (const _ of generateTokens(model, prompt, { maxNewTokens: 9 })) break;
    // the rotary embedding keeps its last range, nothing else stays
    expect(liveTensors()).toBe(live);
    expect(model.training).toBe(true);
  });
});

it("scores are processed in transformers' order", () => {
  const expected = fixture.tensors("generate");
  const options = { sample: true, temperature: 0.7, topK: 20, topP: 0.8, repetitionPenalty: 1.1 };
  const processed = processScores(expected.get("scores")!.unsqueeze(0), prompt, options);
  expect(processed.select(0, 0).equal(expected.get("processed")!)).toBe(true);
});

it("each limit keeps exactly what it says", () => {
  const scores = tensor([[1, 4, 2, 3]]);
  const kept = (options: object): number[] =>
    Array.from(processScores(scores, [], { sample: true, ...options }).toArray() as Float32Array).flatMap(
      (s, i) => (s > -Infinity ? [i] : []),
    );
  expect(kept({})).toEqual([0, 1, 2, 3]);
  expect(kept({ topK: 2 })).toEqual([1, 3]);
  expect(kept({ topK: 9 })).toEqual([0, 1, 2, 3]);
  expect(kept({ topP: 0.8 })).toEqual([1, 3]); // 0.64 + 0.24
  expect(kept({ topP: 1e-9 })).toEqual([1]);
});

it.each([
  [[], {}, "the prompt is empty"],
  [[1], { temperature: 0 }, "temperature: 0 is not above 0"],
  [[1], { topP: 1.5 }, "topP: 1.5 is not in (0, 1]"],
  [[1], { topK: -1 }, "topK: -1"],
  [[1], { repetitionPenalty: 0 }, "repetitionPenalty: 0"],
])("options out of range are refused: %j %j", (ids, options, message) => {
  expect(() => [...generateTokens(model, ids, options)]).toThrow(message);
});
