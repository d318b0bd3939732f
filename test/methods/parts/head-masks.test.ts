// Training chosen heads: which rows and columns are a head's, worked by hand and by what a head's output depends on;
// gradients elsewhere are exactly zero, and steps with decay and momentum leave the rest bit for bit.
import { describe, expect, it } from "vitest";
import { UserError } from "../../../lib/errors.js";
import { HeldSlices, headSlices } from "../../../lib/methods/index.js";
import type { Qwen3ForCausalLM } from "../../../lib/models/index.js";
import { loadModel } from "../../../lib/models/index.js";
import { AdamW, decayGroups } from "../../../lib/optim/index.js";
import { freeze } from "../../../lib/peft/index.js";
import { microStep } from "../../../lib/step/index.js";
import { noGrad, type Tensor } from "../../../lib/torch/index.js";
import { fixture } from "../../train/runs.js";

const SIZES = {
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  attention_bias: false,
};

describe("which slices are a head's", () => {
  it("rows of q, columns of o; keys and values only with their whole group", () => {
    expect(Object.fromEntries(headSlices(SIZES, { 1: [0, 2, 3] }))).toEqual({
      "model.layers.1.self_attn.q_proj.weight": {
        dimension: 0,
        ranges: [
          [0, 16],
          [32, 48],
          [48, 64],
        ],
      },
      "model.layers.1.self_attn.k_proj.weight": { dimension: 0, ranges: [[16, 32]] },
      "model.layers.1.self_attn.v_proj.weight": { dimension: 0, ranges: [[16, 32]] },
      "model.layers.1.self_attn.o_proj.weight": {
        dimension: 1,
        ranges: [
          [0, 16],
          [32, 48],
          [48, 64],
        ],
      },
    });
  });

  it("no key and no value where every group lacks a head; biases go with their rows", () => {
    expect([...headSlices({ ...SIZES, attention_bias: true }, { 0: [1, 2] }).keys()]).toEqual(
      ["q_proj.weight", "q_proj.bias", "o_proj.weight"].map((name) => `model.layers.0.self_attn.${name}`),
    );
  });

  it.each([
    [{ 4: [0] }, "there is no layer 4; the model has 4, from 0 to 3"],
    [{ 0: [1, 4] }, "there is no head 4 in layer 0; the model has 4, from 0 to 3"],
  ])("%o is refused", (chosen, message) => {
    expect(() => headSlices(SIZES, chosen)).toThrow(new UserError(`freeze_trainable_heads: ${message}`));
  });
});

/** The tiny model, its heads 2 and 3 of layer 0 and head 1 of layer 1 trained, and what holds the rest. */
function training(): { model: Qwen3ForCausalLM; held: HeldSlices; slices: ReturnType<typeof headSlices> } {
  const model = loadModel<Qwen3ForCausalLM>(fixture("model"));
  const slices = headSlices(model.config, { 0: [2, 3], 1: [1] });
  freeze(model, { trainableLayers: 0, names: slices.keys() }, "float32");
  return { model, held: new HeldSlices(model, slices), slices };
}

const ids = Int32Array.from({ length: 40 }, (_, i) => 3 + ((i * 7) % 90));
const batch = { inputIds: ids, labels: ids, attentionMask: undefined, batch: 2, length: 20 };
const options = { device: "cpu", compute: undefined, checkpointing: true, scale: 1 / 38 } as const;

/** 1 where a parameter is trained, written without the code under test. */
function trainedAt(name: string, row: number, column: number): boolean {
  const at = name.includes("o_proj") ? column : row;
  const head = Math.floor(at / 16);
  if (name.includes("layers.1")) return head === 1;
  return /[kv]_proj/.test(name) ? head === 1 : head >= 2;
}

function each(tensor: Tensor, body: (value: number, row: number, column: number) => void): void {
  const width = tensor.size(1);
  const values = tensor.detach().toArray() as Float32Array;
  for (const [i, value] of values.entries()) body(value, Math.floor(i / width), i % width);
}

describe("parts of parameters, as processes keep them", () => {
  it("have the same elements held, rows and columns, wherever they are cut", () => {
    const { model, slices } = training();
    microStep(model, batch, options);
    for (const rank of [0, 1]) {
      const parts = new Map<Tensor, { part: Tensor; from: number }>();
      for (const name of slices.keys()) {
        const parameter = model.stateDict().get(name)!;
        const [cut, size] = [777, parameter.numel()]; // in the middle of a row
        const [from, length] = rank === 0 ? [0, cut] : [cut, size - cut];
        const own = (tensor: Tensor) =>
          noGrad(() => tensor.detach().flatten().narrow(0, from, length).clone());
        const part = own(parameter);
        part.grad = own(parameter.grad!);
        parts.set(parameter, { part, from });
      }
      const held = new HeldSlices(model, slices, true);
      held.divide({
        rank,
        size: 2,
        partOf: (parameter) => parts.get(parameter),
        gathered: () => {},
        sum: () => {},
      });
      held.maskGradients();
      const values = [...parts.values()].map(({ part }) => part.clone());
      for (const { part } of parts.values()) noGrad(() => part.add_(1));
      held.afterStep();
      for (const [at, [parameter, { part, from }]] of [...parts].entries()) {
        const name = [...slices.keys()][at]!;
        const width = parameter.size(1);
        const gradient = part.grad!.toArray() as Float32Array;
        const plain = noGrad(() => parameter.grad!.flatten()).toArray() as Float32Array;
        const [now, before] = [part, values[at]!].map((one) => one.detach().toArray() as Float32Array);
        for (let i = 0; i < gradient.length; i++) {
          const [row, column] = [Math.floor((from + i) / width), (from + i) % width];
          const trained = trainedAt(name, row, column);
          expect(gradient[i]).toBe(trained ? plain[from + i] : 0);
          expect(now![i] === before![i]).toBe(!trained);
        }
      }
    }
  });
});

describe("a step", () => {
  it("asks for gradients of these matrices alone", () => {
    const { model } = training();
    expect([...model.namedParameters()].filter(([, p]) => p.requiresGrad).map(([name]) => name)).toEqual([
      "model.layers.0.self_attn.q_proj.weight",
      "model.layers.0.self_attn.k_proj.weight",
      "model.layers.0.self_attn.v_proj.weight",
      "model.layers.0.self_attn.o_proj.weight",
      "model.layers.1.self_attn.q_proj.weight",
      "model.layers.1.self_attn.o_proj.weight",
    ]);
  });

  it("has gradients of exactly zero outside the chosen heads, and the plain ones inside", () => {
    const { model, held, slices } = training();
    microStep(model, batch, options);
    const plain = new Map(
      [...slices.keys()].map((name) => [name, model.stateDict().get(name)!.grad!.clone()]),
    );
    held.maskGradients();
    for (const name of slices.keys()) {
      const before = plain.get(name)!.toArray() as Float32Array;
      const width = plain.get(name)!.size(1);
      let outside = 0;
      each(model.stateDict().get(name)!.grad!, (value, row, column) => {
        const had = before[row * width + column];
        if (!trainedAt(name, row, column)) outside += Math.abs(had);
        expect(value).toBe(trainedAt(name, row, column) ? had : 0);
      });
      expect(outside).toBeGreaterThan(0);
    }
  });

  it("leaves everything else bit for bit, with decay and with momentum", () => {
    const { model, held, slices } = training();
    const first = noGrad(
      () => new Map([...model.stateDict()].map(([name, p]) => [name, p.detach().clone()])),
    );
    const optimizer = new AdamW(decayGroups(model.namedParameters(), 0.3), { learningRate: 0.01 });
    for (let step = 0; step < 3; step++) {
      optimizer.zeroGrad();
      microStep(model, batch, options);
      held.maskGradients();
      optimizer.step();
      held.afterStep();
    }
    for (const [name, parameter] of model.stateDict()) {
      const before = first.get(name)!.toArray() as Float32Array;
      const now = parameter.detach().toArray() as Float32Array;
      if (!slices.has(name)) {
        expect(now).toEqual(before);
        continue;
      }
      const width = parameter.size(1);
      each(parameter, (value, row, column) => {
        const changed = value !== before[row * width + column];
        expect([name, row, column, changed]).toEqual([name, row, column, trainedAt(name, row, column)]);
      });
    }
  });
});
