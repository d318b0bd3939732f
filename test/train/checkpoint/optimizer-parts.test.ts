// An optimizer in 8 bits over parts of a parameter: the same step as over the whole, to the bit, and files of parts that
// another number of processes reads, or one.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, expect, it } from "vitest";
import { BlockwiseAdamW } from "../../../lib/optim/index.js";
import { manualSeed, noGrad, randn, type Tensor } from "../../../lib/torch/index.js";
import {
  readOptimizer,
  saveOptimizer,
  saveOptimizerPart,
} from "../../../lib/train/checkpoint/optimizer-files.js";

const SHAPE = [100, 70];
const SIZE = 7000;
const dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-parts-"));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** The last run is not a whole one. */
const CUTS: Record<string, number[]> = { one: [0], two: [0, 3584], three: [0, 2560, 5120] };

const extentsOf = (cuts: readonly number[]) =>
  cuts.map((from, at) => ({ from, length: (cuts[at + 1] ?? SIZE) - from, shape: SHAPE }));

const flat = (tensors: Iterable<Tensor>) => [...tensors].map((one) => one.flatten().tolist());

it("a part's state is the whole's, and any number of processes reads it", () => {
  manualSeed(1);
  const [weight, gradient] = [randn(SHAPE), randn(SHAPE)];
  const whole = weight.clone().requiresGrad_();
  whole.grad = gradient;
  const one = new BlockwiseAdamW([{ names: ["w"], parameters: [whole] }], { learningRate: 0.1, bits: 8 });
  one.step();
  expect(one.stateDict().get("w.state1")!.dtype).toBe("uint8");
  saveOptimizer(dir, one);
  const wholeState = readOptimizer(dir, undefined, one);
  rmSync(path.join(dir, "optimizer.safetensors"));

  const optimizers = extentsOf(CUTS["two"]!).map(({ from, length }) => {
    const part = noGrad(() => weight.flatten().narrow(0, from, length).clone()).requiresGrad_();
    part.grad = gradient.flatten().narrow(0, from, length).clone();
    const group = { names: ["w"], parameters: [part], weightDecay: 0.01, wholes: [{ shape: SHAPE, from }] };
    const optimizer = new BlockwiseAdamW([group], { learningRate: 0.1, bits: 8 });
    optimizer.step();
    return { part, optimizer };
  });
  expect(optimizers.flatMap(({ part }) => part.tolist())).toEqual(whole.flatten().tolist());
  for (const [rank, extent] of extentsOf(CUTS["two"]!).entries())
    saveOptimizerPart(dir, optimizers[rank]!.optimizer, { rank, size: 2 }, new Map([["w", extent]]));

  const joined = readOptimizer(dir, undefined, one);
  expect([...joined.keys()].sort()).toEqual([...wholeState.keys()].sort());
  for (const [key, tensor] of wholeState) {
    expect(joined.get(key)!.shape).toEqual(tensor.shape);
    expect(flat([joined.get(key)!])).toEqual(flat([tensor]));
  }
  const thirds = extentsOf(CUTS["three"]!).map((extent) => readOptimizer(dir, new Map([["w", extent]]), one));
  for (const entry of ["state1", "state2", "absmax1", "absmax2"])
    expect(flat(thirds.map((state) => state.get(`w.${entry}`)!)).flat()).toEqual(
      wholeState.get(`w.${entry}`)!.flatten().tolist(),
    );
});
