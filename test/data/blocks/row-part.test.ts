// Parts of rows that several processes share, against the mask that one process has: every pair of a token and one that it
// sees meets once, in one part; every label, position and token is in one part; and no part has more to do than another.
import { describe, expect, it } from "vitest";
import type { RowPart } from "../../../lib/data/index.js";
import { collate, partOfRows } from "../../../lib/data/index.js";

const PAD = 0;

/** Blocks of tokens 1, 2, ...; documents begin where `starts` says. */
function batchOf(lengths: readonly number[], starts?: readonly number[][]) {
  let next = 1;
  const blocks = lengths.map((length) => Int32Array.from({ length }, () => next++));
  return collate(
    blocks,
    PAD,
    starts?.map((inside) => Int32Array.from(inside)),
  );
}

/** A part's tokens, as places in their rows: [rows * tokens]. */
function placesOf({ rowLength }: RowPart, place: number, parts: number, rows: number): number[] {
  const chunk = rowLength / (2 * parts);
  const own = [place, 2 * parts - 1 - place].flatMap((at) =>
    Array.from({ length: chunk }, (_, i) => at * chunk + i),
  );
  return Array.from({ length: rows }, () => own).flat();
}

const cases: [string, readonly number[], readonly number[][] | undefined][] = [
  ["whole rows", [24, 24], undefined],
  ["rows that do not divide", [23, 17], undefined],
  ["one token", [1], undefined],
  [
    "documents",
    [24, 24],
    [
      [0, 1, 5, 6, 18],
      [0, 23],
    ],
  ],
  [
    "documents of rows that do not divide",
    [29, 22],
    [
      [0, 11, 12],
      [0, 3, 20],
    ],
  ],
  ["a long document between short ones", [48], [[0, 2, 44, 46]]],
];

describe.each(cases)("%s", (_, lengths, starts) => {
  it.each([1, 2, 3, 4])("in %i parts", (parts) => {
    const whole = batchOf(lengths, starts);
    const rows = lengths.length;
    const all = Array.from({ length: parts }, (_, place) => partOfRows(whole, { place, parts }, PAD, 7));
    const length = all[0]!.part!.rowLength;
    const places = all.map(({ part }, place) => placesOf(part!, place, parts, rows));
    const documents =
      whole.documents ?? Int32Array.from([...lengths.keys(), rows], (row) => row * whole.length);
    const documentOf = (row: number, at: number) =>
      documents.findLastIndex((from) => from <= row * whole.length + Math.min(at, whole.length - 1));

    const met = new Map<string, number>();
    const work = new Array<number>(parts).fill(0);
    for (const [place, { part, length: own }] of all.entries()) {
      for (const [step, table] of part!.meetings.entries()) {
        const other = (place - step + parts) % parts;
        for (let i = 0; i < table.length; i += 4) {
          const [query, queries, key, keys] = [...table.subarray(i, i + 4)] as [
            number,
            number,
            number,
            number,
          ];
          for (let q = query; q < query + queries; q++)
            for (let k = key; k < key + (step === 0 ? q - query + 1 : keys); k++) {
              expect(Math.floor(q / own)).toBe(Math.floor(k / own));
              const pair = [Math.floor(q / own), places[place]![q], places[other]![k]].join();
              met.set(pair, (met.get(pair) ?? 0) + 1);
              work[place]!++;
            }
        }
      }
    }
    let expected = 0;
    for (let row = 0; row < rows; row++)
      for (let q = 0; q < length; q++)
        for (let k = 0; k <= q; k++) {
          if (documentOf(row, q) !== documentOf(row, k)) continue;
          expected++;
          expect(met.get([row, q, k].join()), `row ${row}: ${q} sees ${k}`).toBe(1);
        }
    expect(met.size).toBe(expected);
    if (starts === undefined) expect(new Set(work).size).toBe(1);

    for (const [place, batch] of all.entries()) {
      const { part, inputIds, labels, attentionMask, length: own } = batch;
      for (const [at, inRow] of places[place]!.entries()) {
        const row = Math.floor(at / own);
        const there = row * whole.length + inRow;
        const isIn = inRow < whole.length;
        expect(inputIds[at]).toBe(isIn ? whole.inputIds[there] : PAD);
        expect(labels[at]).toBe(isIn ? whole.labels[there] : -100);
        expect(part!.targets[at]).toBe(inRow + 1 < whole.length ? whole.labels[there + 1] : -100);
        if (isIn && whole.documents !== undefined) {
          const from = documents[documentOf(row, inRow)]!;
          expect(part!.positions[at]).toBe(there - from);
        }
        expect(attentionMask?.[at] ?? 1).toBe(isIn ? (whole.attentionMask?.[there] ?? 1) : 0);
      }
    }
    expect(all.reduce((sum, { part }) => sum + part!.tokens, 0)).toBe(whole.inputIds.length);
  });
});
