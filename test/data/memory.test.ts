// A large array is read with bounded memory, and the token store costs about four bytes a token.

import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { readRows } from "../../lib/data/records.js";

const MEGABYTE = 1 << 20;
const ROWS = 60;
let dir: string;
let file: string;

beforeAll(() => {
  dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-memory-"));
  file = path.join(dir, "large.json");
  const handle = openSync(file, "w");
  // 600 rows a megabyte, 60 of them: one JSON array of about 63 MB.
  const text = `${"春眠不覺曉 ".repeat(100)}\\n\\"quoted\\"`;
  const chunk = Array.from({ length: 600 }, (_, i) => `{"id": ${i}, "text": "${text}"}`).join(",\n");
  writeSync(handle, "[");
  for (let i = 0; i < ROWS; i++) writeSync(handle, (i > 0 ? ",\n" : "") + chunk);
  writeSync(handle, "]");
  closeSync(handle);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

it("streams a JSON array of 60 MB in less memory than half of it", async () => {
  const before = process.memoryUsage();
  let peak = 0;
  let rows = 0;
  let characters = 0;
  for await (const row of readRows(file)) {
    characters += (row.value.text as string).length;
    if (++rows % 1000 === 0) {
      const now = process.memoryUsage();
      peak = Math.max(peak, now.heapUsed + now.external - before.heapUsed - before.external);
    }
  }
  expect(rows).toBe(ROWS * 600);
  expect(characters).toBe(rows * 609);
  expect(peak).toBeLessThan(30 * MEGABYTE);
}, 60_000);
