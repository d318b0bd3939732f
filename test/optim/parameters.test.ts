// What an optimizer is made over: PyTorch's forms, and one line for each mistake that would train nothing.
import { describe, expect, it } from "vitest";
import { Linear } from "../../lib/public/nn.js";
import { Adafactor, AdamW, decayGroups, type ParameterGroup, SGD } from "../../lib/public/optim.js";
import { manualSeed, ones, type Tensor, tensor } from "../../lib/public/torch.js";

const RATE = { learningRate: 0.1 };
const parameter = (): Tensor => ones([2]).requiresGrad_();

/** The layer after a step along a gradient of ones. */
function stepped(make: (layer: Linear) => { step(): void; dispose(): void }): number[] {
  manualSeed(1);
  const layer = new Linear(2, 1, { bias: true });
  const optimizer = make(layer);
  for (const one of layer.parameters()) one.grad = ones(one.shape);
  optimizer.step();
  optimizer.dispose();
  return layer.parameters().flatMap((one) => [...(one.detach().flatten().tolist() as number[])]);
}

describe("an optimizer takes", () => {
  it.each([AdamW, SGD, Adafactor])("a flat list, named ones and groups alike: %o", (Kind) => {
    const grouped = stepped((layer) => new Kind(decayGroups(layer.namedParameters(), 0), RATE));
    const plain = { ...RATE, weightDecay: 0 };
    expect(stepped((layer) => new Kind(layer.parameters(), plain))).toEqual(grouped);
    expect(stepped((layer) => new Kind(layer.namedParameters(), plain))).toEqual(grouped);
    expect(stepped((layer) => new Kind([{ parameters: layer.parameters() }], plain))).toEqual(grouped);
  });

  it("torch's default decay where none is given", () => {
    const x = parameter();
    expect(new AdamW([x], RATE).groups[0]?.weightDecay).toBe(0.01);
    expect(new SGD([x], RATE).groups[0]?.weightDecay).toBe(0);
    expect(new AdamW([{ parameters: [x], weightDecay: 0.5 }], RATE).groups[0]?.weightDecay).toBe(0.5);
  });

  it("whole groups as they are, so that their rates may be set", () => {
    const group: ParameterGroup = { names: ["x"], parameters: [parameter()], weightDecay: 0 };
    expect(new SGD([group], RATE).groups[0]).toBe(group);
  });

  it("groups that each have a rate without one on the optimizer", () => {
    const x = parameter();
    const optimizer = new SGD([{ parameters: [x], learningRate: 0.5 }]);
    x.grad = tensor([1, 1]);
    optimizer.step();
    expect(x.tolist()).toEqual([0.5, 0.5]);
  });

  it("names unnamed parameters by number, over all groups", () => {
    const optimizer = new SGD([{ parameters: [parameter()] }, { parameters: [parameter()] }], RATE);
    expect(optimizer.groups.map(({ names }) => names)).toEqual([["0"], ["1"]]);
  });
});

describe("it refuses", () => {
  const twice = parameter();
  const cases: [string, () => unknown, string][] = [
    [
      "no parameters",
      () => new AdamW([], RATE),
      "AdamW: there is no parameter to train; adapt a loaded model first: addLora",
    ],
    [
      "frozen ones alone",
      () => new SGD([ones([2])], RATE),
      "SGD: none of the parameters requires a gradient; call requiresGrad_()",
    ],
    [
      "nothing",
      () => new AdamW(undefined as never, RATE),
      "AdamW: the parameters are missing; give model.parameters()",
    ],
    [
      "a model",
      () => new AdamW(new Linear(1, 1) as never, RATE),
      "AdamW: the parameters are missing; give model.parameters()",
    ],
    ["a number among them", () => new AdamW([1 as never], RATE), "AdamW: 1 is not a parameter"],
    ["no rate", () => new AdamW([parameter()], {}), "AdamW: learningRate is undefined; give a number"],
    [
      "a rate of text",
      () => new AdamW([parameter()], { learningRate: "1e-4" as never }),
      "AdamW: learningRate is 1e-4; give a number",
    ],
    [
      "a rate of NaN",
      () => new Adafactor([parameter()], { learningRate: Number.NaN }),
      "Adafactor: learningRate is NaN",
    ],
    [
      "a negative decay",
      () => new SGD([parameter()], { ...RATE, weightDecay: -1 }),
      "SGD: weightDecay is -1",
    ],
    [
      "a parameter twice",
      () => new SGD([{ parameters: [twice] }, { parameters: [twice] }], RATE),
      'SGD: the parameter "1" comes twice',
    ],
    [
      "a name twice",
      () =>
        new SGD(
          [
            ["a", parameter()],
            ["a", parameter()],
          ],
          RATE,
        ),
      'SGD: two parameters are called "a"',
    ],
    ["what is computed", () => new SGD([parameter().mul(2)], RATE), 'SGD: "0" is computed from others'],
    [
      "too few names",
      () => new SGD([{ parameters: [parameter()], names: [] }], RATE),
      "SGD: a group has 0 names for 1 parameters",
    ],
  ];
  it.each(cases)("%s", (_, make, message) => {
    expect(make).toThrow(message);
  });
});

it("a process that has no part of what others train updates nothing", () => {
  const group: ParameterGroup = { names: [], parameters: [], weightDecay: 0, wholes: [] };
  expect(() => new AdamW([group], RATE).step()).not.toThrow();
  const { wholes: _, ...empty } = group;
  expect(() => new AdamW([empty], RATE)).toThrow(/no parameter to train/);
});
