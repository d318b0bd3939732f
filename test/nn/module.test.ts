// The tree of modules, and the layers, against torch's conventions.
import { describe, expect, it } from "vitest";
import { Embedding, Linear, Module, RMSNorm } from "../../lib/nn/index.js";
import type { Tensor } from "../../lib/torch/index.js";
import { liveTensors, manualSeed, noGrad, scope, tensor, zeros } from "../../lib/torch/index.js";
import { collect } from "../fixtures/collect.js";

class Block extends Module {
  norm = new RMSNorm(4, 1e-6);
  items: Module[] = [new Linear(4, 4), new Linear(4, 2, { bias: true })];
  notes = ["not a module"];
}

class Net extends Module {
  embed = new Embedding(5, 4, { paddingIdx: 1 });
  blocks = [new Block(), new Block()];
  head = new Linear(4, 5);
}

describe("a tree", () => {
  it("names parameters by fields, in their order", () => {
    expect([...new Net().stateDict().keys()]).toEqual([
      "embed.weight",
      ...[0, 1].flatMap((i) => [
        `blocks.${i}.norm.weight`,
        `blocks.${i}.items.0.weight`,
        `blocks.${i}.items.1.weight`,
        `blocks.${i}.items.1.bias`,
      ]),
      "head.weight",
    ]);
  });

  it("counts a tied parameter once, and keeps it tied through every change", () => {
    const net = new Net();
    net.head.weight = net.embed.weight;
    expect(net.stateDict().has("head.weight")).toBe(false);
    net.to({ dtype: "bfloat16" });
    expect(net.head.weight).toBe(net.embed.weight);
    expect(net.head.weight.dtype).toBe("bfloat16");
  });

  it("finds and replaces modules by path", () => {
    const net = new Net();
    const other = new Linear(4, 4);
    net.replace("blocks.1.items.0", other);
    expect(net.find("blocks.1.items.0")).toBe(other);
    expect(net.find("blocks.2")).toBeUndefined();
    expect(net.find("notes.0")).toBeUndefined();
    expect(() => net.replace("blocks.9", other)).toThrow('no module at "blocks.9"');
  });

  it("switches every module between training and evaluation", () => {
    const net = new Net();
    net.eval();
    expect([...net.namedModules()].every(([, module]) => !module.training)).toBe(true);
    net.train();
    expect((net.find("blocks.0.items.1") as Module).training).toBe(true);
  });

  it("keeps parameters through scopes and casts, and what they wanted of autograd", () => {
    const net = scope(() => new Net());
    net.embed.requiresGrad_(false);
    collect();
    const live = liveTensors();
    scope(() => net.to({ dtype: "float64" }));
    expect(liveTensors()).toBe(live);
    expect(net.head.weight.requiresGrad).toBe(true);
    expect(net.head.weight.isLeaf).toBe(true);
    expect(net.embed.weight.requiresGrad).toBe(false);
  });
});

describe("layers", () => {
  it("a Linear draws torch's numbers", () => {
    // torch.manual_seed(0); torch.nn.Linear(2, 2): weight, then bias
    manualSeed(0);
    const layer = new Linear(2, 2, { bias: true });
    const close = (t: Tensor, values: number[]): boolean =>
      t.flatten().allclose(tensor(values), { atol: 1e-4 });
    expect(close(layer.weight, [-0.0053, 0.3793, -0.582, -0.5204])).toBe(true);
    expect(close(layer.bias!, [-0.2723, 0.1896])).toBe(true);
  });

  it("an Embedding gives its padding row no gradient and starts it at zero", () => {
    const embed = new Embedding(5, 4, { paddingIdx: 1 });
    expect(embed.weight.select(0, 1).equal(zeros([4]))).toBe(true);
    embed
      .forward(tensor([[0, 1, 1, 2]], { dtype: "int64" }))
      .sum()
      .backward();
    expect(embed.weight.grad!.sum([1]).toArray()).toEqual(Float32Array.of(4, 0, 4, 0, 0));
  });

  it("an RMSNorm rounds to the input's dtype before it weighs", () => {
    const norm = new RMSNorm(3, 1e-6);
    noGrad(() => norm.weight.fill_(1 + 2 ** -9)); // more than bfloat16 holds
    const x = tensor([1, 2, 3]).to("bfloat16");
    const out = norm.forward(x);
    expect(out.dtype).toBe("float32"); // bfloat16 times a float32 weight, by promotion
    const rounded = x
      .float()
      .div(Math.sqrt(14 / 3 + 1e-6))
      .bfloat16()
      .float();
    expect(out.allclose(rounded.mul(1 + 2 ** -9), { rtol: 1e-7, atol: 0 })).toBe(true);
    expect(norm.forward(x.double()).dtype).toBe("float64");
  });

  it("on the meta device takes no memory and no draws", () => {
    const linear = new Linear(1e6, 1e6, { device: "meta" });
    expect(linear.weight.device).toBe("meta");
  });
});
