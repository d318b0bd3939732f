// A checkpoint of a run on a card, read by a machine without one.
import path from "node:path";
import { expect, it } from "vitest";
import { AdamW } from "../../../lib/optim/index.js";
import { getRngState, manualSeed, rand, tensor } from "../../../lib/torch/index.js";
import type { LoopState } from "../../../lib/train/checkpoint/loop-numbers.js";
import { saveOptimizer } from "../../../lib/train/checkpoint/optimizer-files.js";
import { loadRunState, saveRunState } from "../../../lib/train/checkpoint/run-state.js";
import { folder } from "../runs.js";

const NUMBERS = { lossSinceLog: 0, lossBeforeLog: 0, tokensSeen: 0, totalFlos: 0, loggedStep: 0 };
const LOOP = {
  ...NUMBERS,
  scheduleSteps: 0,
  skippedSteps: 0,
  lossScale: { scale: 1, goodSteps: 0 },
  rates: null,
  best: { metric: null, step: null, waited: 0 },
  pending: null,
  data: { blocks: 1, tokens: 8, blockLength: 8 },
} as unknown as LoopState;

it("the random state of a device that is not here is left out, and that is said", () => {
  const dir = folder();
  const optimizer = new AdamW(
    [{ names: ["w"], parameters: [rand([2], { requiresGrad: true })], weightDecay: 0 }],
    {
      learningRate: 1,
    },
  );
  manualSeed(5);
  const random = new Map([
    ["cpu", getRngState()],
    ["cuda:0", tensor(new Uint8Array(16))],
  ]);
  saveOptimizer(dir, optimizer);
  saveRunState(dir, { random: new Map([[0, random]]), loop: LOOP, learningRate: 1 });
  const next = rand([3]).tolist();
  const said: string[] = [];
  loadRunState(dir, optimizer, 0, { rank: 0, extents: undefined }, (text) => said.push(text));
  expect(rand([3]).tolist()).toEqual(next);
  expect(said).toEqual([
    `${path.join(dir)} was written on cuda:0, which this machine does not have: its random state is left out, and dropout draws other numbers than there`,
  ]);
});
