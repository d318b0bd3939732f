// One line, cell or document of a packed file that has no end: given up while it is read, by file and line.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { readLines } from "../../../lib/data/readers/lines.js";
import { rowChunks } from "../../../lib/data/readers/row-chunks.js";
import { readWholeFile } from "../../../lib/data/readers/whole-files.js";
import { UserError } from "../../../lib/errors.js";

const dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-longest-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const LONGEST = 1000;

function put(name: string, text: string): string {
  const file = path.join(dir, name);
  writeFileSync(file, name.endsWith(".gz") ? gzipSync(text) : text);
  return file;
}

/** How many items come before the error, and its message; the message is "" where there is none. */
async function outcome(items: AsyncIterable<unknown>): Promise<[number, string]> {
  let count = 0;
  try {
    for await (const _ of items) count++;
    return [count, ""];
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return [count, (error as Error).message];
  }
}

describe.each(["a.txt", "a.txt.gz"])("%s", (name) => {
  it.each([1, 7, 64, 4096])("lines, read %i bytes at a time", async (chunk) => {
    const fits = put(name, `a\n${"b".repeat(LONGEST)}\nc\n`);
    expect(await outcome(readLines(fits, chunk, LONGEST))).toEqual([3, ""]);
    const long = put(name, `a\n${"b".repeat(2 * LONGEST)}`);
    const [before, message] = await outcome(readLines(long, chunk, LONGEST));
    expect(before).toBe(1);
    expect(message).toBe(
      `${long}:2: a row of more than 0.001 MB begins here, which is too long to be read; cut it into several`,
    );
  });

  it.each([7, 64, 4096])("chunks of lines, read %i bytes at a time", async (chunk) => {
    const long = put(name, `{}\n{}\n${"b".repeat(9 * LONGEST)}`);
    const [, message] = await outcome(rowChunks(long, chunk, LONGEST));
    expect(message).toContain(`${long}:3: a row of more than`);
    const fits = put(name, `{}\n${"b".repeat(LONGEST - 1)}\n{}`.repeat(3));
    expect((await outcome(rowChunks(fits, chunk, LONGEST)))[1]).toBe("");
  });

  it("a document", async () => {
    expect(await outcome(readWholeFile(put(name, "a".repeat(LONGEST)), LONGEST))).toEqual([1, ""]);
    const [, message] = await outcome(readWholeFile(put(name, "a".repeat(LONGEST + 1)), LONGEST));
    expect(message).toMatch(/:1: a row of more than .*; cut it into several$/);
  });
});
