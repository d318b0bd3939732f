// The order of a run's blocks: replay's share over every prefix, each source gone through block by block, and the same
// order from whatever epoch it is asked for.
import { describe, expect, it } from "vitest";
import type { BlockSource } from "../../lib/data/index.js";
import { epochLength, RunOrder, type RunOrderOptions } from "../../lib/methods/index.js";

/** Sources of so many blocks each; names that begin with "old" are replayed. */
function sourcesOf(blocks: Record<string, number>): BlockSource[] {
  let first = 0;
  return Object.entries(blocks).map(([name, count]) => {
    first += count;
    return {
      name,
      replay: name.startsWith("old"),
      documents: 1,
      tokens: 0,
      first: first - count,
      blocks: count,
    };
  });
}

const one = () => 1;

function runOf(blocks: Record<string, number>, options: Partial<RunOrderOptions> = {}): RunOrder {
  const sources = sourcesOf(blocks);
  const { size = one, replayRatio } = options;
  const length = epochLength(sources, size, replayRatio);
  return new RunOrder({ sources, size, length, replayRatio, shuffle: true, seed: 42, ...options });
}

const epochs = (order: RunOrder, count: number): number[] =>
  Array.from({ length: count }, (_, epoch) => [...order.order(epoch)]).flat();

describe("replay", () => {
  it.each([0.05, 0.1, 0.3, 0.5])("%f of the blocks, within half a block over every prefix", (ratio) => {
    const order = runOf({ new: 95, old: 13, older: 30 }, { replayRatio: ratio });
    let replayed = 0;
    for (const [n, block] of epochs(order, 7).entries()) {
      if (block >= 95) replayed++;
      expect(Math.abs(replayed - ratio * (n + 1))).toBeLessThanOrEqual(0.5 + 1e-9);
    }
  });

  it("blocks of different lengths: a share of the tokens, within the longest block", () => {
    const size = (block: number) => 1 + ((block * 37) % 64);
    const order = runOf({ new: 200, old: 50 }, { replayRatio: 0.1, size });
    let [replayed, total] = [0, 0];
    for (const block of epochs(order, 4)) {
      total += size(block);
      if (block >= 200) replayed += size(block);
      expect(Math.abs(replayed - 0.1 * total)).toBeLessThanOrEqual(64);
    }
  });

  it.each([0.05, 0.07, 0.1, 0.25, 0.5, 0.9])("an epoch sees all new blocks once (%f)", (ratio) => {
    for (const count of [1, 9, 95, 211]) {
      const order = runOf({ new: count, old: 5 }, { replayRatio: ratio });
      const seen = [...order.order(0)].filter((block) => block < count);
      expect(seen.sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i));
    }
  });

  it("the replayed blocks are gone through pass by pass, each in an order of its own", () => {
    const order = runOf({ new: 30, old: 7 }, { replayRatio: 0.5 });
    const replayed = epochs(order, 1).filter((block) => block >= 30);
    const passes = [0, 7, 14].map((at) => replayed.slice(at, at + 7));
    for (const pass of passes) expect([...pass].sort((a, b) => a - b)).toEqual([30, 31, 32, 33, 34, 35, 36]);
    expect(passes[1]).not.toEqual(passes[0]);
  });

  it("without shuffling, blocks come as they stand", () => {
    const order = runOf({ new: 4, old: 3 }, { replayRatio: 0.5, shuffle: false });
    expect(epochs(order, 2)).toEqual([0, 4, 1, 5, 2, 6, 3, 4, 0, 5, 1, 6, 2, 4, 3, 5]);
  });
});

describe("an order", () => {
  it("is the same from whatever epoch it is asked for, and another with another seed", () => {
    const options = { replayRatio: 0.2 };
    const all = [0, 1, 2, 3].map((epoch) => [...runOf({ new: 40, old: 9 }, options).order(epoch)]);
    const order = runOf({ new: 40, old: 9 }, options);
    expect([0, 1, 2, 3].map((epoch) => [...order.order(epoch)])).toEqual(all);
    expect([...order.order(1)]).toEqual(all[1]);
    expect([...runOf({ new: 40, old: 9 }, { ...options, seed: 43 }).order(0)]).not.toEqual(all[0]);
  });

  it("each place of an epoch is as likely for each block: chi-square over 600 seeds", () => {
    const counts = new Map<string, number>();
    for (let seed = 0; seed < 600; seed++)
      for (const [place, block] of [...runOf({ new: 5 }, { seed }).order(0)].entries())
        counts.set(`${place} ${block}`, (counts.get(`${place} ${block}`) ?? 0) + 1);
    let chi = 0;
    for (let place = 0; place < 5; place++)
      for (let block = 0; block < 5; block++)
        chi += ((counts.get(`${place} ${block}`) ?? 0) - 120) ** 2 / 120;
    // a Latin square's margins leave 4 x 4 degrees of freedom: 99.9 % of the statistic times (n-1)/n lies below 39.3
    expect(chi).toBeLessThan(39.3 * 1.25);
  });

  it("counts beforehand what a run draws", () => {
    const order = runOf({ new: 9, old: 4 }, { replayRatio: 0.1 });
    expect(order.drawn(40)).toEqual([
      { name: "new", blocks: 36, tokens: 36, epochs: 4 },
      { name: "old", blocks: 4, tokens: 4, epochs: 1 },
    ]);
  });
});
