// Large files of every kind are read with bounded memory.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import v8 from "node:v8";
import vm from "node:vm";
import { gzipSync } from "node:zlib";
import { Table, tableFromArrays, tableToIPC } from "apache-arrow";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readRows } from "../../lib/data/index.js";

const MEGABYTE = 1 << 20;
const PIECES = 60;
/** Rows of a piece of about a megabyte. */
const ROWS = 600;
const TEXT = `${"春眠不覺曉 ".repeat(100)}\n"quoted"`;

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-memory-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

// What is kept, not what waits for a collection: when the collector runs hangs on the machine and on the tests before.
v8.setFlagsFromString("--expose-gc");
const collect = vm.runInNewContext("gc") as () => void;
const kept = () => {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};

const rows = <T>(row: (i: number) => T) => Array.from({ length: ROWS }, (_, i) => row(i));
const pieces = (piece: string | Uint8Array, between = "") =>
  Buffer.concat(
    Array.from({ length: PIECES }, (_, i) => [Buffer.from(i > 0 ? between : ""), Buffer.from(piece)]).flat(),
  );

const FILES: Record<string, () => Uint8Array> = {
  "array.json": () =>
    Buffer.concat([
      Buffer.from("["),
      pieces(rows((i) => JSON.stringify({ id: i, text: TEXT })).join(",\n"), ",\n"),
      Buffer.from("]"),
    ]),
  "packed.jsonl.gz": () =>
    pieces(gzipSync(rows((i) => `${JSON.stringify({ id: i, text: TEXT })}\n`).join(""))),
  "cells.csv": () =>
    Buffer.concat([
      Buffer.from("id,text\n"),
      pieces(rows((i) => `${i},"${TEXT.replaceAll('"', '""')}"\n`).join("")),
    ]),
  "batches.arrow": () => {
    const { schema, batches } = tableFromArrays({ text: rows(() => TEXT) });
    return tableToIPC(new Table(schema, Array(PIECES).fill(batches[0])), "stream");
  },
};

describe("60 MB are streamed while less than 8 MB are kept", () => {
  for (const [name, content] of Object.entries(FILES)) {
    it(name, async () => {
      const file = path.join(dir, name);
      writeFileSync(file, content());
      const before = kept();
      let peak = 0;
      let count = 0;
      let characters = 0;
      for await (const row of readRows(file, ["text"])) {
        characters += (row.value.text as string).length;
        if (++count % 1000 === 0) peak = Math.max(peak, kept() - before);
      }
      expect(count).toBe(PIECES * ROWS);
      expect(characters).toBe(count * TEXT.length);
      expect(peak).toBeLessThan(8 * MEGABYTE);
    }, 60_000);
  }
});
