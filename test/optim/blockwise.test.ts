// AdamW with states of 8 bits and states in mapped files, against bitsandbytes 0.50.2 on the CPU
// (test/fixtures/quantized/make.py): weights, codes and scales, by the kernel and by ATen operators.
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { dynamicLevels } from "../../lib/nn/index.js";
import { optimizerKind } from "../../lib/optim/all-optimizers.js";
import { BlockwiseAdamW, decayGroups, type Optimizer, optimizerBytes } from "../../lib/optim/index.js";
import { noGrad, op, scope, type Tensor, tensor, zeros } from "../../lib/torch/index.js";
import * as fixture from "../fixtures/quantized/read.js";

const stored = fixture.tensors("optimizers");
const at = (name: string): Tensor => stored.get(name) as Tensor;
const NAMES = ["a.weight", "b.weight", "c.weight"];
const STEPS = 4;
const RATE = 0.02;
const DECAY = 0.1;
const dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-pages-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const settings = { learningRate: RATE, beta1: 0.9, beta2: 0.999, eps: 1e-8, folder: dir, arguments: {} };

type Named = [string, Tensor][];
const copies = (from: (name: string) => Tensor): Named =>
  NAMES.map((name) => [name, scope(() => from(name).clone().detach()).requiresGrad_()]);
const begin = (name: string, named: Named): Optimizer =>
  optimizerKind(name).make(decayGroups(named, DECAY), settings);
function turn(optimizer: Optimizer, named: Named, step: number): void {
  for (const [name, parameter] of named) parameter.grad = at(`gradient${step}.${name}`).clone();
  optimizer.step();
}

/** Numbers of codes that are not theirs, by the places that they are off. */
function codesOff(ours: Tensor, theirs: Tensor): Record<number, number> {
  const found: Record<number, number> = {};
  const [a, b] = [ours.toArray() as Uint8Array, theirs.toArray() as Uint8Array];
  for (const [i, code] of a.entries()) {
    const off = Math.abs(code - (b[i] as number));
    if (off !== 0) found[off] = (found[off] ?? 0) + 1;
  }
  return found;
}

const off = (a: Tensor, b: Tensor): number =>
  scope(() => Number(a.detach().double().sub(b.double()).norm().div(b.double().norm()).item()));

/** What a number's last bit may be off by where another processor's vectors end: a code beside the nearest, few times. */
function expectTheirs(named: Named, state: ReadonlyMap<string, Tensor>, bits: number, step: number): void {
  for (const [name, parameter] of named) {
    const key = `${bits}.${step}.${name}`;
    expect(off(parameter, at(key)), `${name} after step ${step + 1}`).toBeLessThan(1e-5);
    for (const [entry, theirs] of [...stored].filter(([one]) => one.startsWith(`${key}.`))) {
      const ours = state.get(entry.slice(`${bits}.${step}.`.length)) as Tensor;
      expect([ours.dtype, ours.shape], entry).toEqual([theirs.dtype, theirs.shape]);
      if (theirs.dtype === "float32") expect(off(ours, theirs), entry).toBeLessThan(1e-5);
      else {
        const counts = codesOff(ours, theirs);
        expect(
          Object.keys(counts).every((places) => places === "1"),
          entry,
        ).toBe(true);
        expect(counts[1] ?? 0, entry).toBeLessThan(theirs.numel() / 500);
      }
    }
  }
}

describe.each([
  ["adamw_bnb_8bit", 8],
  ["paged_adamw_8bit", 8],
  ["paged_adamw_32bit", 32],
] as const)("%s", (name, bits) => {
  it("has bitsandbytes' weights, codes and scales", () => {
    const named = copies((one) => at(`start.${one}`));
    const optimizer = begin(name, named);
    for (let step = 0; step < STEPS; step++) {
      turn(optimizer, named, step);
      if (stored.has(`${bits}.${step}.a.weight`))
        expectTheirs(named, optimizer.stateDict() as never, bits, step);
    }
    const kinds = NAMES.map((one) => (optimizer.stateDict().get(`${one}.state1`) as Tensor).dtype);
    expect(kinds).toEqual(bits === 8 ? ["uint8", "float32", "uint8"] : ["float32", "float32", "float32"]);
    optimizer.dispose();
  });

  it("goes on from a saved state bit for bit", () => {
    const whole = copies((one) => at(`start.${one}`));
    const one = begin(name, whole);
    for (let step = 0; step < 2; step++) turn(one, whole, step);
    const parts = copies((key) => whole.find(([own]) => own === key)?.[1] as Tensor);
    const two = begin(name, parts);
    two.loadStateDict(one.stateDict());
    for (let step = 2; step < STEPS; step++)
      for (const [opt, named] of [
        [one, whole],
        [two, parts],
      ] as const)
        turn(opt, named, step);
    for (const [i, [key, parameter]] of whole.entries())
      expect(parameter.equal(parts[i]?.[1] as Tensor), key).toBe(true);
    for (const [key, kept] of one.stateDict())
      expect(kept.equal(two.stateDict().get(key) as Tensor), key).toBe(true);
    one.dispose();
    two.dispose();
  });
});

describe("a step", () => {
  const steps = ["qwen_pt::adamw_step_", "qwen_pt::composite_adamw_step_"].map((name) =>
    op<
      (
        p: Tensor,
        g: Tensor,
        state: readonly Tensor[],
        levels: readonly Tensor[],
        s: readonly number[],
      ) => void
    >(name),
  );
  const steppedBy = (step: (typeof steps)[number], given: string, bits: number, add = ""): Named => {
    const named = copies((name) => at(`start.${name}`)).filter(([name]) => name === given);
    const [[, parameter]] = named as [[string, Tensor]];
    const levels = [true, false].flatMap((signed) => {
      const values = tensor(dynamicLevels(signed));
      return [values, op<(levels: Tensor) => Tensor>("qwen_pt::level_steps")(values)];
    });
    const runs = Math.ceil(parameter.numel() / 256);
    const dtype = bits === 8 ? "uint8" : "float32";
    const state = [
      zeros(parameter.shape, { dtype }),
      zeros(parameter.shape, { dtype }),
      ...(bits === 8 ? [zeros([runs]), zeros([runs])] : []),
    ];
    for (let i = 0; i < STEPS; i++)
      noGrad(() =>
        step(parameter, at(`gradient${i}.${given}`), state, bits === 8 ? levels : [], [
          RATE,
          0.9,
          0.999,
          1e-8,
          DECAY,
          i + 1,
        ]),
      );
    return [[`${given}${add}`, parameter], ...state.map((one, i): [string, Tensor] => [String(i), one])];
  };

  it.each([
    ["a.weight", 8],
    ["a.weight", 32],
    ["c.weight", 8],
  ] as const)("of %s in %i bits is the same through ATen operators", (name, bits) => {
    const [ours, composed] = steps.map((step) => steppedBy(step, name, bits)) as [Named, Named];
    for (const [i, [entry, value]] of ours.entries()) {
      const other = composed[i]?.[1] as Tensor;
      if (value.dtype === "uint8") {
        expect(Object.values(codesOff(value, other)).reduce((a, b) => a + b, 0)).toBeLessThan(
          value.numel() / 500,
        );
      } else expect(off(value, other), entry).toBeLessThan(1e-5);
    }
  });

  it("refuses what does not belong together", () => {
    const [p, g] = [zeros([4, 4]), zeros([4])];
    expect(() => steps[0]?.(p, g, [p, p], [], [1, 0, 0, 0, 0, 1])).toThrow("do not belong together");
    expect(() => steps[0]?.(p, p, [p], [], [1, 0, 0, 0, 0, 1])).toThrow("two moments in float");
    expect(() => steps[0]?.(p, p, [p, g], [], [1, 0, 0, 0, 0, 1])).toThrow("state 1 does not belong");
  });
});

describe("what is kept", () => {
  const bytes = (name: string, parameter: string, count = 1 << 20) =>
    optimizerBytes(
      optimizerKind(name),
      [{ name: parameter, shape: [count / 1024, 1024], dtype: "bfloat16" }],
      settings,
    ).state / count;

  it("in 8 bits, two bytes and two scales in 256; of an embedding and of the small, 32 bits; of pages, nothing", () => {
    expect(bytes("adamw_bnb_8bit", "layers.0.q_proj.weight")).toBe(2 + 8 / 256);
    expect(bytes("adamw_bnb_8bit", "model.embed_tokens.weight")).toBe(8);
    expect(bytes("adamw_bnb_8bit", "model.embed_tokens.lora_embedding_A")).toBe(2 + 8 / 256);
    expect(bytes("adamw_bnb_8bit", "layers.0.norm.weight", 2048)).toBe(8);
    expect(bytes("paged_adamw_32bit", "layers.0.q_proj.weight")).toBe(0);
    // scales stay in memory
    expect(bytes("paged_adamw_8bit", "layers.0.q_proj.weight")).toBe(8 / 256);
    expect(bytes("paged_adamw_32bit", "layers.0.q_proj.weight", 65536)).toBe(8);
  });

  it("pages leave no file behind, and a folder that takes none is said in a line", () => {
    const parameter = zeros([400, 300], { requiresGrad: true });
    const missing = path.join(dir, "made", "here");
    const groups = [{ names: ["p"], parameters: [parameter], weightDecay: 0 }];
    const optimizer = new BlockwiseAdamW(groups, { learningRate: 0.1, bits: 32, pagesIn: missing });
    parameter.grad = zeros([400, 300]).add(1);
    optimizer.step();
    expect(Number(parameter.detach().max().item())).toBeCloseTo(-0.1, 5);
    expect(existsSync(missing)).toBe(true);
    expect(readdirSync(missing)).toEqual([]);
    optimizer.dispose();
    writeFileSync(path.join(dir, "file"), "");
    const refused = new BlockwiseAdamW(groups, {
      learningRate: 0.1,
      bits: 8,
      pagesIn: path.join(dir, "file"),
    });
    expect(() => refused.step()).toThrow(/file.*; free some space there, or choose another folder$/);
  });
});
