// Adafactor over parts of parameters, cut within rows and within matrices, in three processes: the step of one process that
// has all of them, and a state that any of them can hand to another number.
import { describe, expect, it } from "vitest";
import { Adafactor } from "../../lib/optim/index.js";
import { type DType, manualSeed, randn, tensor } from "../../lib/torch/index.js";
import { dist, runRanks } from "./ranks.js";

const SIZE = 3;
const STEPS = 20;
const SHAPES: Record<string, number[]> = { a: [7, 5], b: [3, 4, 6], c: [11], d: [2, 3], e: [4, 4] };
/** Where each begins and ends in the processes: within rows, at their ends, all or nothing. */
const CUTS: Record<string, number[]> = {
  a: [0, 13, 17, 35],
  b: [0, 30, 48, 72],
  c: [0, 0, 6, 11],
  d: [0, 0, 0, 6],
  e: [0, 8, 16, 16],
};
const RATE = 0.05;
const DECAY = 0.1;

/** Weights and the gradients of all steps, as numbers. */
function drawn(): { weights: Record<string, number[]>; gradients: Record<string, number[]>[] } {
  manualSeed(5);
  const each = (scale: number) =>
    Object.fromEntries(
      Object.entries(SHAPES).map(([name, shape]) => [
        name,
        randn(shape, { dtype: "float64" }).mul(scale).flatten().tolist() as number[],
      ]),
    );
  const weights = each(1);
  // the last one has no gradient in the first half
  const gradients = Array.from({ length: STEPS }, (_, step) => {
    const { e, ...others } = each(3);
    return step < STEPS / 2 ? others : { ...others, e: e as number[] };
  });
  return { weights, gradients };
}

/** The state and weights of one process. */
function inOne(dtype: DType, { weights, gradients }: ReturnType<typeof drawn>): Record<string, number[]> {
  const named = Object.entries(SHAPES).map(
    ([name, shape]) => [name, tensor(weights[name]!, { dtype }).reshape(shape).requiresGrad_()] as const,
  );
  const optimizer = new Adafactor(
    [{ names: named.map(([name]) => name), parameters: named.map(([, one]) => one), weightDecay: DECAY }],
    { learningRate: RATE },
  );
  for (const now of gradients) {
    for (const [name, one] of named)
      one.grad = now[name] && tensor(now[name], { dtype }).reshape(SHAPES[name] as number[]);
    optimizer.step();
  }
  return Object.fromEntries(
    [...named.map(([name, one]) => [name, one.detach()] as const), ...optimizer.stateDict()].map(
      ([name, values]) => [name, [values.double().flatten().tolist()].flat() as number[]],
    ),
  );
}

const script = (dtype: DType, made: ReturnType<typeof drawn>) => `
  const { optimizerKind } = await import("${dist}/optim/index.js");
  const world = await init();
  const shapes = ${JSON.stringify(SHAPES)}, cuts = ${JSON.stringify(CUTS)};
  const { weights, gradients } = ${JSON.stringify(made)};
  const form = { dtype: "${dtype}" };
  const own = Object.entries(cuts).flatMap(([name, at]) => {
    const [from, end] = [at[rank], at[rank + 1]];
    return end > from ? [{ name, from, end, part: t.tensor(weights[name].slice(from, end), form).requiresGrad_() }] : [];
  });
  const group = {
    names: own.map(({ name }) => name),
    parameters: own.map(({ part }) => part),
    wholes: own.map(({ name, from }) => ({ shape: shapes[name], from })),
    weightDecay: ${DECAY},
  };
  const settings = { learningRate: ${RATE}, arguments: {} };
  const optimizer = optimizerKind("adafactor").makeDivided([group], settings, {
    forms: new Map(Object.entries(shapes).map(([name, shape]) => [name, { shape, ...form }])),
    sum: (values) => world.begin("allReduce", values).wait(),
  });
  for (const now of gradients) {
    for (const { name, from, end, part } of own)
      part.grad = now[name] && t.tensor(now[name].slice(from, end), form);
    optimizer.step();
  }
  const all = [...own.map(({ name, part }) => [name, part.detach()]), ...optimizer.stateDict()];
  console.log(JSON.stringify(Object.fromEntries(all.map(([name, one]) => [name, [one.double().flatten().tolist()].flat()]))));
  await world.close();`;

describe.skipIf(process.platform !== "linux")("Adafactor in three processes", () => {
  it.each([
    ["float64", 1e-12],
    ["float32", 2e-6],
    ["bfloat16", 8e-3], // a weight's last bit
  ] as const)("%s: is one process's", async (dtype, bound) => {
    const made = drawn();
    const one = inOne(dtype, made);
    const ended = await runRanks(script(dtype, made), { size: SIZE });
    expect(ended.map(({ code, err }) => [code, err])).toEqual(ended.map(() => [0, ""]));
    const found = ended.map(({ out }) => JSON.parse(out) as Record<string, number[]>);
    const shared = /\.(?:step|exp_avg_sq_(?:row|col))$/;
    const seen = new Set<string>();
    for (const [name, whole] of Object.entries(one)) {
      const parts = found.flatMap((all) => (all[name] === undefined ? [] : [all[name]]));
      for (const values of shared.test(name) ? parts : [parts.flat()]) {
        seen.add(name);
        expect(values, name).toHaveLength(whole.length);
        const off = Math.max(...values.map((value, at) => Math.abs(value - whole[at]!)));
        expect(off / Math.max(...whole.map(Math.abs)), name).toBeLessThan(bound);
      }
    }
    expect(seen.size).toBe(Object.keys(one).length);
  });
});
