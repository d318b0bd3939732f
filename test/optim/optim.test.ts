// Schedules, decay groups, clipping and AdamW's state, against transformers and torch.
import { describe, expect, it } from "vitest";
import type { ScheduleName } from "../../lib/optim/index.js";
import { AdamW, clipGradNorm, decayGroups, gradNorm, scheduleFactor } from "../../lib/optim/index.js";
import type { Tensor } from "../../lib/torch/index.js";
import { liveTensors, manualSeed, ones, randn, scope, tensor, zeros } from "../../lib/torch/index.js";
import { collect } from "../fixtures/collect.js";
import * as fixture from "../fixtures/model/read.js";

interface Row {
  name: ScheduleName;
  warmup: number;
  total: number;
  base: number;
  rates: number[];
}

describe("schedules", () => {
  it.each(fixture.json<{ schedules: Row[] }>("lists").schedules)(
    "$name with $warmup of $total steps",
    ({ name, warmup, total, base, rates }) => {
      for (const [step, rate] of rates.entries()) {
        const made = base * scheduleFactor({ name, warmupSteps: warmup, totalSteps: total }, step);
        // two cosines of the same number may differ in the last bit
        if (name === "cosine")
          expect(Math.abs(made - rate), `step ${step}`).toBeLessThanOrEqual(1e-15 * base);
        else expect(made, `step ${step}`).toBe(rate);
      }
    },
  );
});

describe("weight decay", () => {
  it("spares norms and biases by transformers' name rule", () => {
    const names = [
      "model.embed_tokens.weight",
      "model.layers.0.self_attn.q_proj.weight",
      "model.layers.0.self_attn.q_proj.bias",
      "model.layers.0.self_attn.q_norm.weight",
      "model.layers.0.input_layernorm.weight",
      "model.norm.weight",
      "model.layers.0.mlp.up_proj.lora_A.weight",
      "lm_head.weight",
      "model.normal.weight",
    ];
    const named = names.map((name) => [name, ones([1]).requiresGrad_()] as [string, Tensor]);
    named.push(["frozen.weight", ones([1])]);
    const [decayed, exempt] = decayGroups(named, 0.1);
    expect(decayed).toMatchObject({
      weightDecay: 0.1,
      names: [names[0], names[1], names[6], names[7], names[8]],
    });
    expect(exempt).toMatchObject({ weightDecay: 0, names: [names[2], names[3], names[4], names[5]] });
  });

  it("makes no empty group", () => {
    expect(decayGroups([["a.weight", ones([1]).requiresGrad_()]], 0)).toHaveLength(1);
  });
});

describe("clipping", () => {
  const expected = fixture.tensors("clip");
  const parameters = (): Tensor[] =>
    [0, 1, 2].map((i) => {
      const parameter = zeros(expected.get(`grad.${i}`)!.shape).requiresGrad_();
      parameter.grad = expected.get(`grad.${i}`)!.clone();
      return parameter;
    });

  it("scales gradients as torch does, and gives the norm from before", () => {
    const list = parameters();
    expect(gradNorm(list)!.equal(expected.get("norm")!)).toBe(true);
    expect(clipGradNorm(list, 1)!.equal(expected.get("norm")!)).toBe(true);
    for (const [i, parameter] of list.entries())
      expect(parameter.grad!.equal(expected.get(`clipped.${i}`)!)).toBe(true);
  });

  it("leaves small gradients as they are", () => {
    const list = parameters();
    clipGradNorm(list, 1e9);
    for (const [i, parameter] of list.entries())
      expect(parameter.grad!.equal(expected.get(`grad.${i}`)!)).toBe(true);
  });

  it("shows a gradient that is not finite, and does without one", () => {
    const list = parameters();
    list[1]!.grad!.fill_(Number.NaN);
    expect(clipGradNorm(list, 1)!.item()).toBeNaN();
    expect(clipGradNorm([zeros([2])], 1)).toBeUndefined();
  });
});

describe("AdamW", () => {
  const start = (): [string, Tensor][] => {
    manualSeed(1);
    return [
      ["a.weight", randn([3, 4]).requiresGrad_()],
      ["b.bias", randn([4]).requiresGrad_()],
    ];
  };
  const turn = (optimizer: AdamW, named: [string, Tensor][], steps: number): void => {
    for (let i = 0; i < steps; i++) {
      optimizer.zeroGrad();
      scope(() =>
        named
          .map(([, p]) => p.pow(2).sum())
          .reduce((a, b) => a.add(b))
          .backward(),
      );
      optimizer.step();
    }
  };

  it("goes on from a saved state as if it had not stopped, bit for bit", () => {
    const whole = start();
    turn(new AdamW(decayGroups(whole, 0.1), { learningRate: 0.1 }), whole, 5);
    const parts = start();
    const first = new AdamW(decayGroups(parts, 0.1), { learningRate: 0.1 });
    turn(first, parts, 2);
    const saved = first.stateDict();
    expect([...saved.keys()]).toEqual([
      "a.weight.step",
      "a.weight.exp_avg",
      "a.weight.exp_avg_sq",
      "b.bias.step",
      "b.bias.exp_avg",
      "b.bias.exp_avg_sq",
    ]);
    expect(saved.get("a.weight.step")!.item()).toBe(2);
    const second = new AdamW(decayGroups(parts, 0.1), { learningRate: 0.1 });
    second.loadStateDict(saved);
    turn(second, parts, 3);
    for (const [i, [, p]] of whole.entries()) expect(p.equal(parts[i]![1])).toBe(true);
  });

  it("passes over parameters without a gradient", () => {
    const named = start();
    const optimizer = new AdamW(decayGroups(named, 0), { learningRate: 0.1 });
    const before = named[1]![1].clone();
    named[0]![1].sum().backward();
    optimizer.step();
    expect(named[1]![1].equal(before)).toBe(true);
    expect(optimizer.stateDict().size).toBe(3);
  });

  it("unscales and skips by a scaler's tensors, and does not count a skipped step", () => {
    const [plain, scaled] = [start(), start()];
    const a = new AdamW(decayGroups(plain, 0), { learningRate: 0.1 });
    const b = new AdamW(decayGroups(scaled, 0), { learningRate: 0.1 });
    const gradScale = tensor(8, { dtype: "float32" });
    for (const foundInf of [0, 1, 0]) {
      plain.map(([, p]) => p.pow(2).sum().backward());
      scaled.map(([, p]) => p.pow(2).sum().mul(8).backward());
      if (foundInf === 0) a.step();
      b.step({ gradScale, foundInf: tensor(foundInf, { dtype: "float32" }) });
      a.zeroGrad();
      b.zeroGrad();
    }
    for (const [i, [, p]] of plain.entries()) expect(p.equal(scaled[i]![1])).toBe(true);
    expect(b.stateDict().get("a.weight.step")!.item()).toBe(2);
  });

  it("takes parameters of several dtypes in one group", () => {
    const start = [1, 2, 3];
    const step = (dtypes: readonly ("float32" | "float64")[]): number[][] => {
      const named = dtypes.map((dtype, i): [string, Tensor] => {
        const parameter = tensor(start, { dtype, requiresGrad: true });
        parameter.grad = tensor([0.1, -0.2, 0.3], { dtype });
        return [`p${i}.weight`, parameter];
      });
      new AdamW(decayGroups(named, 0.1), { learningRate: 0.5 }).step();
      return named.map(([, parameter]) => parameter.tolist() as number[]);
    };
    const [single] = step(["float32"]) as [number[]];
    const [double] = step(["float64"]) as [number[]];
    expect(step(["float32", "float64", "float32"])).toEqual([single, double, single]);
    expect(single).not.toEqual(start);
  });

  it("refuses a state that does not fit", () => {
    const named = start();
    const optimizer = new AdamW(decayGroups(named, 0), { learningRate: 0.1 });
    expect(() => optimizer.loadStateDict(new Map([["c.weight.step", zeros([])]]))).toThrow(
      '"c.weight", which is not trained',
    );
    expect(() => optimizer.loadStateDict(new Map([["b.bias.step", zeros([])]]))).toThrow(
      '"b.bias" lacks exp_avg',
    );
    const wrong = new Map([
      ["b.bias.step", zeros([])],
      ["b.bias.exp_avg", zeros([3])],
      ["b.bias.exp_avg_sq", zeros([4])],
    ]);
    expect(() => optimizer.loadStateDict(wrong)).toThrow('"b.bias.exp_avg" is float32 [3], not float32 [4]');
  });

  it("holds the same number of tensors after any number of steps", () => {
    const named = start();
    const optimizer = new AdamW(decayGroups(named, 0), { learningRate: 0.1 });
    const steps = (count: number): void => scope(() => turn(optimizer, named, count));
    steps(2);
    collect();
    const live = liveTensors();
    steps(20);
    expect(liveTensors()).toBe(live);
    optimizer.dispose();
    expect(optimizer.stateDict().size).toBe(0);
  });
});
