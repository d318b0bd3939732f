// Batches for loops that a program writes itself, from arrays, blocks and generators.
import { describe, expect, it } from "vitest";
import { DataLoader } from "../../../lib/public/data.js";

const ten = Array.from({ length: 10 }, (_, i) => i);
async function* stream(values: readonly number[] = ten) {
  for (const value of values) {
    await Promise.resolve();
    yield value;
  }
}
async function read<B>(loader: DataLoader<number, B>): Promise<B[]> {
  const found: B[] = [];
  for await (const batch of loader) found.push(batch);
  return found;
}

describe("a DataLoader", () => {
  it.each([
    ["an array", () => ten],
    ["blocks", () => ({ length: 10, get: (i: number) => i })],
    ["blocks that wait", () => ({ length: 10, get: async (i: number) => i })],
    ["a set", () => new Set(ten)],
    ["an async generator", () => stream()],
    ["a function", () => () => stream()],
  ])("makes batches of %s in their order", async (_, source) => {
    expect(await read(new DataLoader<number>(source(), { batchSize: 4 }))).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
      [8, 9],
    ]);
    const options = { batchSize: 4, dropLast: true, collate: async (items: number[]) => items.join("") };
    expect(await read(new DataLoader<number, string>(source(), options))).toEqual(["0123", "4567"]);
  });

  it("knows its length where the source does", () => {
    expect(new DataLoader(ten, { batchSize: 4 }).length).toBe(3);
    expect(new DataLoader(ten, { batchSize: 4, dropLast: true }).length).toBe(2);
    expect(new DataLoader(stream()).length).toBeUndefined();
  });

  it.each([
    ["an array", () => ten],
    ["a stream", () => () => stream()],
  ])("shuffles %s: every item once, another order each epoch, the same for a seed", async (_, source) => {
    const options = { batchSize: 10, shuffle: true, seed: 3, shuffleBuffer: 6 };
    const epochs = async () => {
      const loader = new DataLoader<number>(source(), options);
      return [(await read(loader))[0] as number[], (await read(loader))[0] as number[]] as const;
    };
    const [first, second] = await epochs();
    expect([...first].sort((a, b) => a - b)).toEqual(ten);
    expect([...second].sort((a, b) => a - b)).toEqual(ten);
    expect(first).not.toEqual(ten);
    expect(second).not.toEqual(first);
    expect(await epochs()).toEqual([first, second]);
    const later = new DataLoader<number>(source(), options);
    later.epoch = 1;
    expect((await read(later))[0]).toEqual(second);
  });

  it("asks for batches ahead, in their order, while the loop waits", async () => {
    const asked: number[] = [];
    async function* watched() {
      for (const value of ten) {
        asked.push(value);
        yield value;
      }
    }
    const seen: [number, number][] = [];
    for await (const [value] of new DataLoader<number>(watched(), { prefetch: 3 })) {
      await new Promise((done) => setImmediate(done));
      seen.push([value as number, asked.length]);
    }
    expect(seen.map(([value]) => value)).toEqual(ten);
    expect(seen[0]?.[1]).toBeGreaterThanOrEqual(4);
    expect(seen[0]?.[1]).toBeLessThanOrEqual(5);
  });

  it("passes a source's error on in its turn, and closes the source when the loop leaves", async () => {
    let closed = 0;
    async function* failing() {
      try {
        yield 1;
        yield 2;
        throw new Error("the disk is gone");
      } finally {
        closed++;
      }
    }
    const got: number[] = [];
    await expect(
      (async () => {
        for await (const [value] of new DataLoader<number>(failing(), { prefetch: 5 }))
          got.push(value as number);
      })(),
    ).rejects.toThrow("the disk is gone");
    expect(got).toEqual([1, 2]);
    for await (const _ of new DataLoader<number>(failing())) break;
    expect(closed).toBe(2);
  });

  it("says that a generator is used up instead of an empty second epoch", async () => {
    const loader = new DataLoader<number>(stream());
    await read(loader);
    await expect(read(loader)).rejects.toThrow(
      "this generator was used up by an earlier epoch; give a function",
    );
  });

  it.each([
    [{ batchSize: 0 }, "batchSize is 0; it is a whole number from 1"],
    [{ batchSize: 2.5 }, "batchSize is 2.5"],
    [{ prefetch: -1 }, "prefetch is -1; it is a whole number from 0"],
    [{ shuffleBuffer: 0 }, "shuffleBuffer is 0"],
    [{ seed: Number.NaN }, "seed is NaN"],
  ])("refuses %o", (options, message) => {
    expect(() => new DataLoader(ten, options)).toThrow(message);
  });
});
