// The door for optimizers: those of the table against torch and transformers (test/fixtures/optim/make.py), what all of
// them keep, save and take in memory, and a toy that comes in through the public door.
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { optimizerArguments, optimizerKind, optimizerNames } from "../../lib/optim/all-optimizers.js";
import { decayGroups, optimizerBytes } from "../../lib/optim/index.js";
import type { Optimizer, OptimizerSettings } from "../../lib/public/optim.js";
import { bytesPerElement, type DType, scope, type Tensor, tensor } from "../../lib/torch/index.js";

type Nested = number | Nested[];

interface Reference {
  name: string;
  arguments: string;
  rate: number;
  decay: number;
  parameters: [string, DType][];
  start: Nested[];
  gradients: (Nested | null)[][];
  after: Nested[][];
}

const references = JSON.parse(
  readFileSync(new URL("../fixtures/optim/optimizers.json", import.meta.url), "utf8"),
) as Reference[];

const made: Optimizer[] = [];
afterEach(() => {
  for (const optimizer of made.splice(0)) optimizer.dispose();
});

const settingsOf = (name: string, args: string | null, learningRate: number): OptimizerSettings => ({
  learningRate,
  beta1: 0.9,
  beta2: 0.999,
  eps: 1e-8,
  folder: "", // none of these keeps a state in a file
  arguments: optimizerArguments(name, args),
});

/** Parameters as they begin, and an optimizer over them. */
function begin(reference: Reference, start = reference.start): { named: [string, Tensor][]; opt: Optimizer } {
  const { name, arguments: args, rate, decay } = reference;
  const named = reference.parameters.map(([parameter, dtype], i): [string, Tensor] => [
    parameter,
    tensor(start[i] as number[], { dtype, requiresGrad: true }),
  ]);
  const opt = optimizerKind(name).make(decayGroups(named, decay), settingsOf(name, args, rate));
  made.push(opt);
  return { named, opt };
}

function turn(
  { named, opt }: { named: [string, Tensor][]; opt: Optimizer },
  gradients: (Nested | null)[],
): void {
  for (const [i, [, parameter]] of named.entries()) {
    const values = gradients[i];
    if (values !== null) parameter.grad = tensor(values as number[], { dtype: parameter.dtype });
  }
  opt.step();
  opt.zeroGrad();
}

describe.each(references)("$name $arguments", (reference) => {
  it("updates as torch and transformers do, step by step", () => {
    const run = begin(reference);
    for (const [step, gradients] of reference.gradients.entries()) {
      turn(run, gradients);
      for (const [i, [name, parameter]] of run.named.entries()) {
        const dtype = parameter.dtype;
        const theirs = tensor(reference.after[step]?.[i] as number[], { dtype: "float64" });
        const off = Number(parameter.detach().double().sub(theirs).abs().max().item());
        // a digit of float32; of bfloat16 one rounding up where it was down
        const most = { bfloat16: 0.02, float64: 1e-12 }[dtype as string] ?? 2e-6;
        expect(off, `${name} after step ${step + 1}`).toBeLessThan(most);
      }
    }
  });

  it("moves every parameter, or the comparison shows nothing", () => {
    for (const [i, values] of reference.start.entries())
      expect(reference.after.at(-1)?.[i]).not.toEqual(values);
  });

  it("goes on from a saved state as if it had not stopped, bit for bit", () => {
    const whole = begin(reference);
    for (const gradients of reference.gradients) turn(whole, gradients);
    const first = begin(reference);
    for (const gradients of reference.gradients.slice(0, 3)) turn(first, gradients);
    const second = begin(
      reference,
      first.named.map(([, p]) => p.tolist() as Nested),
    );
    second.opt.loadStateDict(first.opt.stateDict());
    for (const gradients of reference.gradients.slice(3)) turn(second, gradients);
    for (const [i, [name, parameter]] of whole.named.entries())
      expect(parameter.equal(second.named[i]?.[1] as Tensor), name).toBe(true);
    const states = [whole.opt.stateDict(), second.opt.stateDict()] as const;
    expect([...states[1].keys()].sort()).toEqual([...states[0].keys()].sort());
    for (const [name, kept] of states[0]) expect(kept.equal(states[1].get(name) as Tensor), name).toBe(true);
  });
});

describe("every optimizer of the table", () => {
  it.each(optimizerNames())("%s keeps what its estimate says", (name) => {
    const reference = { ...(references[0] as Reference), name, arguments: "" };
    const run = begin(reference);
    for (const gradients of reference.gradients) turn(run, gradients);
    const kept = [...run.opt.stateDict().values()].filter(({ ndim }) => ndim > 0);
    const bytes = kept.reduce((sum, one) => sum + one.numel() * bytesPerElement(one.dtype), 0);
    const forms = run.named.map(([, parameter]) => parameter);
    expect(optimizerBytes(optimizerKind(name), forms, settingsOf(name, "", 0.1)).state).toBe(bytes);
  });

  it("adafactor takes a row and a column where AdamW takes two matrices, sgd nothing, momentum one", () => {
    const shape = [1000, 500];
    const bytes = (name: string, args = "") =>
      optimizerBytes(optimizerKind(name), [{ shape, dtype: "float32" }], settingsOf(name, args, 0.1));
    expect(bytes("adamw_torch")).toEqual({ state: 2 * 4 * 500_000, working: 0 });
    expect(bytes("adafactor")).toEqual({ state: 4 * 1500, working: 4 * 500_000 });
    expect(bytes("sgd")).toEqual({ state: 0, working: 0 });
    expect(bytes("sgd", "momentum=0.5")).toEqual({ state: 4 * 500_000, working: 0 });
  });

  it("refuses the state of another", () => {
    const of = (name: string, args = ""): Optimizer => {
      const run = begin({ ...(references[0] as Reference), name, arguments: args });
      scope(() => turn(run, (references[0] as Reference).gradients[1] ?? []));
      return run.opt;
    };
    expect(() => of("sgd").loadStateDict(of("adamw_torch").stateDict())).toThrow(
      'optimizer state "a.weight.step", which this optimizer does not keep',
    );
    expect(() => of("adafactor").loadStateDict(of("sgd", "momentum=0.5").stateDict())).toThrow(
      'optimizer state of "a.weight" lacks step',
    );
  });
});

describe("what a recipe says", () => {
  it("an unknown optimizer is refused with those there are", () => {
    expect(() => optimizerKind("paged_lion_8bit")).toThrow(
      `optim: paged_lion_8bit is not available; choose one of ${optimizerNames().join(", ")}`,
    );
  });

  it("optim_args are laid over the defaults, and those that do not fit are named", () => {
    expect(optimizerArguments("sgd", null)).toEqual({ momentum: 0, nesterov: false });
    expect(optimizerArguments("sgd", "momentum=0.9, nesterov=True")).toEqual({
      momentum: 0.9,
      nesterov: true,
    });
    for (const [name, args, line] of [
      ["sgd", "dampening=0.1", "dampening is no setting of optim: sgd; it takes momentum, nesterov"],
      ["sgd", "momentum=much", 'momentum: expected a number, received "much"'],
      ["sgd", "nesterov=1", 'nesterov: expected true or false, received "1"'],
      [
        "adamw_torch",
        "momentum=1",
        "momentum is no setting of optim: adamw_torch; optim_args has none for it",
      ],
    ] as const)
      expect(() => optimizerArguments(name, args)).toThrow(`optim_args: ${line}`);
    const check = optimizerKind("sgd").check ?? (() => {});
    expect(() => check(settingsOf("sgd", "nesterov=true", 0.1))).toThrow("nesterov=true needs a momentum");
  });
});
