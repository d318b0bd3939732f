// Numbers that decide the order of rows and blocks: numpy's, and accelerate's use of torch's; batches.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { documentBatches, packBlocks } from "../../lib/data/blocks/packing.js";
import { TokenArena } from "../../lib/data/blocks/token-arena.js";
import { batchesPerEpoch, collate, RandomSampler } from "../../lib/data/index.js";
import { LegacyRandom } from "../../lib/data/random/numpy-random.js";

const FIXTURES = path.join(import.meta.dirname, "../fixtures/data");
const read = <T>(name: string) => JSON.parse(readFileSync(path.join(FIXTURES, name), "utf8")) as T;

describe("LegacyRandom", () => {
  for (const draw of read<{ seed: number; n: number; head: number[]; sha256: string; choice: number[] }[]>(
    "numpy.json",
  )) {
    it(`draws numpy's permutation of ${draw.n} and what follows, seed ${draw.seed}`, () => {
      const random = new LegacyRandom(draw.seed);
      const order = random.permutation(draw.n);
      expect(Array.from(order.subarray(0, 12))).toEqual(draw.head);
      expect(createHash("sha256").update(order.join(",")).digest("hex")).toBe(draw.sha256);
      expect(Array.from(random.choice(draw.n, draw.choice.length))).toEqual(draw.choice);
    });
  }
});

describe("samplers", () => {
  interface Orders {
    n: number;
    seed: number;
    epochs: number[][];
    randperm: Record<string, number[]>;
  }
  for (const { n, seed, epochs, randperm } of read<Orders[]>("orders.json")) {
    it(`${n} blocks, seed ${seed}: accelerate's order in each epoch, from int64 numbers too`, () => {
      const numbers = new RandomSampler(n, seed, (size, s) => randperm[s]!.slice(0, size));
      const wide = new RandomSampler(n, seed, (_, s) => BigInt64Array.from(randperm[s]!, BigInt));
      for (const [epoch, order] of epochs.entries()) {
        expect(Array.from(numbers.order(epoch))).toEqual(order);
        expect(Array.from(wide.order(epoch))).toEqual(order);
      }
    });
  }

  it("the last batch of an epoch may be short", () => {
    expect([batchesPerEpoch(7, 3), batchesPerEpoch(6, 3), batchesPerEpoch(0, 3)]).toEqual([3, 2, 0]);
  });
});

describe("packing", () => {
  it("shares are contiguous, the first ones longer; no share is empty", () => {
    const ranges = (documents: number, workers: number, size: number) =>
      Array.from(documentBatches(documents, workers, size), ({ from, to }) => [from, to]);
    expect(ranges(7, 3, 1000)).toEqual([
      [0, 3],
      [3, 5],
      [5, 7],
    ]);
    expect(ranges(7, 2, 3)).toEqual([
      [0, 3],
      [3, 4],
      [4, 7],
    ]);
    expect(ranges(2, 16, 1000)).toEqual([
      [0, 1],
      [1, 2],
    ]);
    expect(ranges(0, 16, 1000)).toEqual([]);
    expect(ranges(5, 1, 0)).toEqual([[0, 5]]);
  });

  it("a bos overwrites the first id of each block and leaves the corpus alone", () => {
    const arena = new TokenArena();
    arena.append(Int32Array.of(1, 2, 3, 4, 5, 6, 7));
    const layout = { blockLength: 3, packing: true, workers: 1, batchSize: 10 };
    const blocks = packBlocks(arena, { ...layout, bosId: 9 });
    expect([0, 1].map((i) => Array.from(blocks.get(i)))).toEqual([
      [9, 2, 3],
      [9, 5, 6],
    ]);
    expect(Array.from(packBlocks(arena, { ...layout, bosId: undefined }).get(1))).toEqual([4, 5, 6]);
    expect(() => blocks.get(2)).toThrow(RangeError);
  });

  it("the arena gives back documents that cross its chunks", () => {
    const arena = new TokenArena();
    const lengths = [5, 1 << 20, 0, 3_000_001, 7];
    let next = 0;
    for (const length of lengths) arena.append(Int32Array.from({ length }, () => next++));
    expect([arena.documents, arena.tokens]).toEqual([5, next]);
    let first = 0;
    for (const [i, length] of lengths.entries()) {
      const ids = arena.document(i);
      expect([ids.length, ids[0], ids.at(-1)]).toEqual(
        length ? [length, first, first + length - 1] : [0, undefined, undefined],
      );
      expect(ids.every((id, k) => id === first + k)).toBe(true);
      first += length;
    }
  });
});

describe("collate", () => {
  it("labels are the ids, pad ids left out wherever they stand", () => {
    const batch = collate([Int32Array.of(1, 0, 2), Int32Array.of(3, 4, 0)], 0);
    expect(batch).toEqual({
      inputIds: Int32Array.of(1, 0, 2, 3, 4, 0),
      labels: Int32Array.of(1, -100, 2, 3, 4, -100),
      attentionMask: undefined,
      batch: 2,
      length: 3,
    });
  });

  it("short blocks are padded on the right, with a mask", () => {
    const batch = collate([Int32Array.of(1, 2), Int32Array.of(3, 4, 5, 6), new Int32Array(0)], 9);
    expect(Array.from(batch.inputIds)).toEqual([1, 2, 9, 9, 3, 4, 5, 6, 9, 9, 9, 9]);
    expect(Array.from(batch.labels)).toEqual([1, 2, -100, -100, 3, 4, 5, 6, -100, -100, -100, -100]);
    expect(Array.from(batch.attentionMask!)).toEqual([1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0]);
    expect(() => collate([], 0)).toThrow(RangeError);
  });
});
