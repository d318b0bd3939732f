// The order of a run's blocks: replay's share over every prefix, each source gone through block by block, and the same
// order from whatever epoch it is asked for.
import { describe, expect, it } from "vitest";
import type { BlockSource } from "../../../lib/data/index.js";
import {
  competence,
  epochLength,
  RunOrder,
  type RunOrderOptions,
  sharesOf,
  temperedShares,
} from "../../../lib/methods/index.js";

/** Sources of these many blocks each; names that begin with "old" are replayed. */
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

  it("the replayed blocks are gone through pass by pass, each in its own order", () => {
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

describe("a mixture by token", () => {
  const sources = { prose: 40, poetry: 25, notes: 7, old: 9 };
  const weights = { prose: 5, poetry: 3, notes: 2 };
  const mixture = [{ first: 0, shares: sharesOf(sourcesOf(sources), weights) }];

  it("has every source's share within a block over every prefix, and replay's over it", () => {
    for (const replayRatio of [undefined, 0.1]) {
      const given = replayRatio === undefined ? { prose: 40, poetry: 25, notes: 7 } : sources;
      const order = runOf(given, {
        mixture: [{ first: 0, shares: sharesOf(sourcesOf(given), weights) }],
        replayRatio,
      });
      const counts = order.names.map(() => 0);
      const wanted = [0.5, 0.3, 0.2];
      for (const [n, block] of epochs(order, 6).entries()) {
        counts[order.sourceOf(block)]++;
        const fresh = counts[0] + counts[1] + counts[2];
        for (const [i, share] of wanted.entries())
          expect(Math.abs(counts[i] - share * fresh)).toBeLessThanOrEqual(0.75 + 1e-9);
        if (replayRatio !== undefined)
          expect(Math.abs(counts[3] - 0.1 * (n + 1))).toBeLessThanOrEqual(0.5 + 1e-9);
      }
    }
  });

  it("goes through a source that is used up again, in another order, before any block comes a third time", () => {
    const order = runOf(sources, { mixture });
    const notes = epochs(order, 2).filter((block) => order.sourceOf(block) === 2);
    expect(notes.length).toBeGreaterThan(21);
    for (let pass = 0; pass < 3; pass++) expect(new Set(notes.slice(7 * pass, 7 * pass + 7)).size).toBe(7);
    expect(notes.slice(0, 7)).not.toEqual(notes.slice(7, 14));
  });

  it("by temperature: p in proportion to n^(1/T)", () => {
    const given = sourcesOf({ a: 100, b: 10, c: 1 });
    const tokens = ({ blocks }: BlockSource) => blocks;
    const close = (found: number[], wanted: number[]) => {
      for (const [i, share] of wanted.entries()) expect(found[i]).toBeCloseTo(share, 12);
    };
    close(temperedShares(given, tokens, 1), [100 / 111, 10 / 111, 1 / 111]);
    const root = 10 + Math.sqrt(10) + 1;
    close(temperedShares(given, tokens, 2), [10 / root, Math.sqrt(10) / root, 1 / root]);
    close(temperedShares(given, tokens, 1e15), [1 / 3, 1 / 3, 1 / 3]);
  });
});

describe("a curriculum in stages", () => {
  it("has each stage's mixture within a block from its first block on, and the stages where they belong", () => {
    const given = sourcesOf({ prose: 40, poetry: 25, notes: 7 });
    const stages: { first: number; mix: Record<string, number> }[] = [
      { first: 0, mix: { prose: 1 } },
      { first: 50, mix: { prose: 1, poetry: 3 } },
      { first: 120, mix: { notes: 1, poetry: 1 } },
    ];
    const order = runOf(
      { prose: 40, poetry: 25, notes: 7 },
      { mixture: stages.map(({ first, mix }) => ({ first, shares: sharesOf(given, mix) })) },
    );
    const all = epochs(order, 3);
    for (const [index, { first, mix }] of stages.entries()) {
      const shares = sharesOf(given, mix);
      const counts = [0, 0, 0];
      for (const [n, block] of all.slice(first, stages[index + 1]?.first).entries()) {
        counts[order.sourceOf(block)]++;
        for (const [i, share] of shares.entries()) {
          if (share === 0) expect(counts[i]).toBe(0);
          expect(Math.abs(counts[i] - share * (n + 1))).toBeLessThanOrEqual(0.5 + 1e-9);
        }
      }
    }
  });
});

describe("a curriculum by a score", () => {
  const scores = Array.from({ length: 50 }, (_, block) => (block * 17) % 50);
  const easiest = scores.map((_, block) => block).sort((a, b) => scores[a] - scores[b]);

  it("in order, is the order of the scores", () => {
    const order = runOf({ a: 20, b: 30 }, { curriculum: { scores, open: () => 1 }, shuffle: false });
    expect([...order.order(0)]).toEqual(easiest);
  });

  it("shuffled, draws only from what is open, and from all of that in the end", () => {
    const open = (position: number) => Math.min(1, 0.1 + position / 100);
    const order = runOf({ a: 20, b: 30 }, { curriculum: { scores, open } });
    const seen = new Set<number>();
    for (const [position, block] of epochs(order, 4).entries()) {
      const allowed = easiest.slice(0, Math.ceil(open(position) * 50 - 1e-9));
      expect(allowed).toContain(block);
      if (position < 5) expect(seen).not.toContain(block); // five are open, and none comes again before all have
      seen.add(block);
    }
    expect(seen.size).toBe(50);
  });

  it("holds within each source of a mixture, and leaves replay alone", () => {
    const given = { a: 20, b: 20, old: 10 };
    const order = runOf(given, {
      mixture: [{ first: 0, shares: sharesOf(sourcesOf(given), { a: 1, b: 1 }) }],
      replayRatio: 0.5,
      curriculum: { scores, open: () => 0.25 },
    });
    const seen = new Set(epochs(order, 4));
    const lowest = (from: number, to: number) =>
      easiest.filter((block) => block >= from && block < to).slice(0, 5);
    const replayed = Array.from({ length: 10 }, (_, i) => 40 + i);
    expect(seen).toEqual(new Set([...lowest(0, 20), ...lowest(20, 40), ...replayed]));
  });

  it.each([
    // c(t) of Platanios et al. (2019), worked by hand: T = 100
    ["linear", 0.01, 0, 0.01],
    ["linear", 0.01, 50, 0.505],
    ["linear", 0.2, 25, 0.4],
    ["sqrt", 0.01, 0, 0.01],
    ["sqrt", 0.1, 50, Math.sqrt(0.505)],
    ["sqrt", 0.6, 75, Math.sqrt(0.84)],
    ["sqrt", 0.01, 100, 1],
    ["linear", 1, 3, 1],
    ["sqrt", 0.1, 1e6, 1],
  ] as const)("pacing %s from %f, step %i of 100: %f", (curve, start, step, wanted) => {
    expect(competence(step, { curve, start, duration: 100 })).toBeCloseTo(wanted, 12);
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
