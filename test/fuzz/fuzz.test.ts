// A few hundred damaged files, read as `npm run fuzz` reads hundreds of thousands: each is read or refused in one line.
import { expect, it } from "vitest";
import { fuzz } from "./fuzz.mjs";

// those whose readers are made in a moment
const KINDS = [
  "json",
  "jsonl",
  "csv",
  "txt",
  "parquet",
  "arrow",
  "recipe",
  "datasetInfo",
  "tokenizer",
  "savedDataset",
];

it("files of every kind, damaged, are read or refused in one line", async () => {
  const { counts, faults } = await fuzz({ count: 300, seed: 1, kinds: KINDS });
  expect(faults).toEqual([]);
  const sum = (outcome: "read" | "refused") =>
    Object.values(counts).reduce((total, kind) => total + kind[outcome], 0);
  expect(sum("read")).toBeGreaterThan(30);
  expect(sum("refused")).toBeGreaterThan(150);
  expect(sum("read") + sum("refused")).toBe(300);
}, 60_000);
