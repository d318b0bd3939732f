// The door for a linear layer that keeps its weight in another format: a toy, rows of int8 with a scale each, is found,
// adapted, trained, merged and counted as a plain layer with the same values is.
import { describe, expect, it } from "vitest";
import { Linear, Module, Projection } from "../../lib/nn/index.js";
import { adapterState, addLora, findTargets, LoraLinear, mergeAdapter } from "../../lib/peft/index.js";
import {
  autocast,
  type DType,
  keep,
  linear,
  manualSeed,
  noGrad,
  randn,
  scope,
  type Tensor,
} from "../../lib/torch/index.js";
import { distance } from "../fixtures/model/read.js";

/** y = x (scale q)^T, q int8. */
class ScaledLinear extends Projection {
  weight: Tensor; // [out, in], int8
  "weight.scale": Tensor; // [out, 1]
  bias: Tensor | undefined;
  readonly dtype: DType = "float32";

  constructor(from: Linear) {
    super();
    const [scale, numbers] = scope(() =>
      noGrad(() => {
        const scale = from.weight.abs().amax([1], true).div(127);
        return [scale, from.weight.div(scale).round().to("int8")] as const;
      }),
    );
    this.weight = keep(numbers);
    this["weight.scale"] = keep(scale);
  }

  get inFeatures(): number {
    return this.weight.size(1);
  }

  get outFeatures(): number {
    return this.weight.size(0);
  }

  forward(x: Tensor): Tensor {
    return this.product(x);
  }

  product(x: Tensor): Tensor {
    return linear(x, this.values().to(x.dtype));
  }

  values(): Tensor {
    return this.weight.to("float32").mul(this["weight.scale"]);
  }

  rewrite(change: (values: Tensor) => Tensor): Projection {
    const layer = new Linear(this.inFeatures, this.outFeatures);
    layer.rewrite(() => change(this.values()));
    for (const parameter of this.parameters()) parameter.dispose();
    return layer;
  }
}

class Net extends Module {
  readonly up: Module & { forward(x: Tensor): Tensor };
  readonly down: Module & { forward(x: Tensor): Tensor };

  constructor(readonly isScaled: boolean) {
    super();
    manualSeed(1);
    const made = [new Linear(24, 40), new Linear(40, 24)].map((plain) => {
      const scaled = new ScaledLinear(plain);
      return isScaled ? scaled : plain.rewrite(() => scaled.values());
    });
    [this.up, this.down] = made as [Projection, Projection];
  }

  forward(x: Tensor): Tensor {
    return this.down.forward(this.up.forward(x));
  }
}

function adapted(isScaled: boolean, dora: boolean, dropout = 0): Net {
  const net = new Net(isScaled);
  manualSeed(2);
  addLora(net, { rank: 4, dora, dropout });
  for (const [name, parameter] of net.namedParameters())
    if (name.includes("lora_B")) noGrad(() => parameter.copy_(randn([...parameter.shape]).mul(0.1)));
  return net;
}

const x = randn([7, 24]);

describe("a projection of another format", () => {
  it("is a target, and gets PEFT's names", () => {
    const net = new Net(true);
    expect(findTargets(net, "all")).toEqual(["up", "down"]);
    addLora(net, { rank: 4, targets: ["down"] });
    expect([...adapterState(net).keys()]).toEqual(
      ["A", "B"].map((part) => `base_model.model.down.lora_${part}.weight`),
    );
  });

  it.each([
    ["LoRA", false, 0],
    ["LoRA with dropout", false, 0.5],
    ["DoRA", true, 0],
    ["DoRA with dropout", true, 0.5],
  ] as const)("trains under %s like a plain layer of the same values", (_, dora, dropout) => {
    const results = [true, false].map((isScaled) => {
      const net = adapted(isScaled, dora, dropout);
      manualSeed(3);
      const input = x.clone().requiresGrad_();
      const out = net.forward(input);
      out.square().sum().backward();
      const trained = [...net.namedParameters()].filter(([, parameter]) => parameter.requiresGrad);
      expect(trained.every(([name]) => /lora_/.test(name))).toBe(true);
      return [out, input.grad as Tensor, ...trained.map(([, parameter]) => parameter.grad as Tensor)];
    });
    const [scaled, plain] = results as [Tensor[], Tensor[]];
    expect(scaled.length).toBe(plain.length);
    for (const [i, tensor] of scaled.entries())
      expect(distance(tensor, plain[i] as Tensor)).toBeLessThan(1e-5);
  });

  it("takes part in autocast", () => {
    const out = autocast("bfloat16", () => adapted(true, false).forward(x));
    expect(out.dtype).toBe("bfloat16");
    expect(distance(out.float(), adapted(false, false).forward(x))).toBeLessThan(0.02);
  });

  it.each([false, true])("merges into a layer in its place (DoRA: %s)", (dora) => {
    const net = adapted(true, dora);
    const before = noGrad(() => net.forward(x));
    mergeAdapter(net);
    expect(net.up).toBeInstanceOf(Linear);
    expect([...net.namedModules()].some(([, module]) => module instanceof LoraLinear)).toBe(false);
    expect(
      distance(
        noGrad(() => net.forward(x)),
        before,
      ),
    ).toBeLessThan(1e-5);
  });
});
