// Token ids of a corpus, wherever they lie (memory, a file, a file that could not be made), beside plain arrays.

import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DocumentIds } from "../../../lib/data/blocks/document-ids.js";
import { NumberRun, type Place } from "../../../lib/data/blocks/number-run.js";
import { packBlocks } from "../../../lib/data/blocks/packing.js";
import { type Documents, JoinedDocuments, select } from "../../../lib/data/blocks/selection.js";
import { TokenArena } from "../../../lib/data/blocks/token-arena.js";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-arena-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Documents of many lengths, some empty: more than a page of bounds, more than a chunk of ids. */
const LENGTHS = Array.from({ length: 9000 }, (_, i) => (i * 7919) % 37);
const STARTS = [0];
for (const [i, length] of LENGTHS.entries()) STARTS.push(STARTS[i]! + length);
const IDS = Int32Array.from({ length: STARTS.at(-1)! }, (_, i) => (i * 31) % 150_000);

function filled(place: Place = {}, from = 0, to = LENGTHS.length): TokenArena {
  const arena = new TokenArena(place);
  for (let i = from; i < to; i++) arena.append(IDS.slice(STARTS[i], STARTS[i + 1]));
  return arena;
}

const SLICES = [
  [0, 1],
  [0, 0],
  [65_530, 20],
  [1000, 140_000],
  [IDS.length - 3, 3],
] as const;

const isSame = (a: Int32Array, b: Int32Array) => Buffer.compare(bytes(a), bytes(b)) === 0;
const bytes = (ids: Int32Array) => Buffer.from(ids.buffer, ids.byteOffset, ids.byteLength);

async function expectWhole(corpus: Documents): Promise<void> {
  expect([corpus.documents, corpus.tokens]).toEqual([LENGTHS.length, IDS.length]);
  for (const i of [0, 1, 4095, 4096, 8999, 17, 9000, 4096]) expect(corpus.start(i)).toBe(STARTS[i]);
  for (const [from, length] of SLICES) {
    const expected = IDS.slice(from, from + length);
    expect(isSame(corpus.slice(from, length), expected)).toBe(true);
    expect(isSame(await corpus.load(from, length), expected)).toBe(true);
  }
}

describe("an arena", () => {
  it("in memory", async () => {
    await expectWhole(filled());
    expect(() => filled().slice(IDS.length - 1, 2)).toThrow(RangeError);
  });

  it("in a file without a name, which is there for nobody else", async () => {
    const names = () => readdirSync(tmpdir()).filter((name) => name.startsWith("qwen-pt-tokens-"));
    const before = names();
    const arena = filled({ inMemory: 100_000 });
    expect(names()).toEqual(before);
    await expectWhole(arena);
  });

  it("in a separate file, to which it is written as it grows", async () => {
    const file = path.join(dir, "ids");
    const arena = filled({ file });
    expect(statSync(file).size).toBe(4 * 65_536 * Math.floor(IDS.length / 65_536));
    await expectWhole(arena);
    expect(arena.ids.flush()).toBe(true);
    await expectWhole(arena);
    expect(Buffer.compare(readFileSync(file), Buffer.from(IDS.buffer))).toBe(0);
    await expectWhole(new TokenArena(NumberRun.open(file, IDS.length), arena.lengths));
    arena.close();
  });

  it("where the disk refuses, in memory, and says so once", async () => {
    const said: string[] = [];
    const arena = filled({ file: path.join(dir, "nowhere", "ids"), onRefused: (why) => said.push(why) });
    await expectWhole(arena);
    expect(arena.ids.flush()).toBe(false);
    expect(said).toEqual([expect.stringMatching(/^ENOENT/)]);
  });
});

describe("corpora made of others", () => {
  it("one after another, empty ones among them", async () => {
    const joined = new JoinedDocuments([
      new TokenArena(),
      filled({}, 0, 4000),
      new TokenArena(),
      filled({ inMemory: 0 }, 4000),
    ]);
    await expectWhole(joined);
    await expectWhole(select(joined, DocumentIds.of(Int32Array.from(LENGTHS.keys()))));
  });

  it("a run of another's documents has its blocks", async () => {
    const layout = { blockLength: 64, packing: true, workers: 3, batchSize: 100, bosId: undefined };
    const own = packBlocks(filled({}, 1234, 6000), layout);
    const run = packBlocks(select(filled({ inMemory: 0 }), DocumentIds.run(1234, 6000 - 1234)), layout);
    expect(run.length).toBe(own.length);
    for (let i = 0; i < own.length; i++) {
      expect(run.get(i)).toEqual(own.get(i));
      expect(await run.load!(i)).toEqual(own.get(i));
    }
  });

  it("numbers join to a run where they follow one another", () => {
    const numbers = (ids: DocumentIds) => Array.from({ length: ids.length }, (_, i) => ids.at(i));
    const run = DocumentIds.join([DocumentIds.run(3, 2), DocumentIds.run(9, 0), DocumentIds.run(5, 3)]);
    expect([run.first, numbers(run)]).toEqual([3, [3, 4, 5, 6, 7]]);
    const other = DocumentIds.join([DocumentIds.run(3, 2), DocumentIds.of(Int32Array.of(5, 5, 1))]);
    expect([other.first, numbers(other)]).toEqual([undefined, [3, 4, 5, 5, 1]]);
    const even = (id: number) => id % 2 === 0;
    expect(numbers(run.filter(even))).toEqual([4, 6]);
    expect(numbers(other.filter((id) => id > 3))).toEqual([4, 5, 5]);
    const upper = run.filter((id) => id > 4);
    expect([upper.first, numbers(upper)]).toEqual([5, [5, 6, 7]]);
    expect(run.filter(() => false).length).toBe(0);
    expect(numbers(run.pick(Int32Array.of(4, 0)))).toEqual([7, 3]);
  });
});
