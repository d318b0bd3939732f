// manifest.json and loop_state.json of a checkpoint that were damaged, or come from elsewhere: one line with the place.
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { UserError } from "../../../lib/errors.js";
import { cleanStale, verifyCheckpoint } from "../../../lib/train/checkpoint/folder.js";
import { readLoop } from "../../../lib/train/checkpoint/loop-numbers.js";

const dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-checkpoint-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const hash = createHash("sha256").update("x").digest("hex");

it("what a dead process left is removed though its number lives again; what a live one writes stays", () => {
  const folder = path.join(dir, "leftovers");
  mkdirSync(path.join(folder, `.checkpoint-4.${process.ppid}.tmp`), { recursive: true });
  const old = [
    `.checkpoint-4.${process.ppid}.tmp`,
    `.a.json.${process.ppid}.tmp`,
    `a.safetensors.tmp-${process.ppid}-0`,
  ];
  for (const name of old.slice(1)) writeFileSync(path.join(folder, name), "");
  for (const name of old) utimesSync(path.join(folder, name), 1e9, 1e9); // long before the parent began
  const young = [`.b.json.${process.ppid}.tmp`, `b.safetensors.tmp-${process.ppid}-0`, "c.tmp"];
  for (const name of young) writeFileSync(path.join(folder, name), "");
  cleanStale(folder);
  expect(readdirSync(folder).sort()).toEqual(young.sort());
});

describe("manifest.json", () => {
  const verify = (files: unknown, format: unknown = 1) => {
    const folder = path.join(dir, "checkpoint-1");
    mkdirSync(folder, { recursive: true });
    writeFileSync(path.join(folder, "a"), "x");
    writeFileSync(path.join(dir, "b"), "x");
    writeFileSync(path.join(folder, "manifest.json"), JSON.stringify({ format, step: 1, files }));
    verifyCheckpoint(folder);
  };

  it("of a whole checkpoint passes", () => {
    expect(() => verify({ a: { bytes: 1, sha256: hash } })).not.toThrow();
  });

  it.each<[unknown, string, unknown?]>([
    [null, "files: an object is needed, not null"],
    [undefined, "files: is missing"],
    [["a"], "files: an object is needed"],
    [{ a: null }, "files.a: an object is needed, not null"],
    [{ a: 3 }, "files.a: an object is needed, not 3"],
    [{ a: { bytes: "1", sha256: hash } }, 'files.a.bytes: a whole number from 0 is needed, not "1"'],
    [{ a: { bytes: 1 } }, "files.a.sha256: is missing"],
    [{ a: { bytes: 1, sha256: hash } }, "format: 1 is needed, not 2", 2],
    [{ "../b": { bytes: 1, sha256: hash } }, '"../b" is no name of a file inside'],
    [{ "": { bytes: 1, sha256: hash } }, '"" is no name of a file inside'],
    [{ a: { bytes: 2, sha256: hash } }, "has 1 bytes where 2 were written"],
    [{ a: { bytes: 1, sha256: hash.replace(/./, "g") } }, "files.a.sha256: a SHA-256 is needed"],
    [{ c: { bytes: 1, sha256: hash } }, "c is missing; resume from another checkpoint"],
  ])("%j is refused", (files, message, format) => {
    expect(() => verify(files, format)).toThrow(UserError);
    expect(() => verify(files, format)).toThrow(message);
  });
});

describe("loop_state.json", () => {
  const good = {
    scheduleSteps: 3,
    lossSinceLog: 0.5,
    lossBeforeLog: null,
    loggedStep: 2,
    skippedSteps: 0,
    tokensSeen: 100,
    totalFlos: 1e9,
    lossScale: { scale: 65536, goodSteps: 3 },
    rates: null,
    best: { metric: null, step: null, waited: 0 },
    pending: "step",
    data: { blocks: 4, tokens: 128, blockLength: 32 },
  };
  const file = path.join(dir, "loop_state.json");
  const read = (content: unknown) => {
    writeFileSync(file, JSON.stringify(content));
    return readLoop(file, 3);
  };

  it("that is whole comes back", () => {
    expect(read(good)).toEqual(good);
    expect(read({ ...good, rates: { rates: [1e-4], best: null, bad: 0, good: 0 } }).rates?.rates).toEqual([
      1e-4,
    ]);
  });

  it.each<[unknown, string]>([
    [{}, "scheduleSteps: is missing"],
    [null, "an object is needed, not null"],
    [{ ...good, scheduleSteps: -1 }, "scheduleSteps: a whole number from 0 is needed, not -1"],
    [{ ...good, tokensSeen: 0.5 }, "tokensSeen: a whole number from 0"],
    [{ ...good, lossSinceLog: "1" }, 'lossSinceLog: a number is needed, not "1"'],
    [{ ...good, lossScale: null }, "lossScale: an object is needed"],
    [{ ...good, lossScale: {} }, "lossScale.scale: is missing"],
    [{ ...good, rates: { rates: ["x"] } }, "rates.rates[0]: a number is needed"],
    [{ ...good, best: undefined }, "best: is missing"],
    [{ ...good, pending: "soon" }, 'pending: "step" or "epoch" is needed, not "soon"'],
    [{ ...good, data: [] }, "data: an object is needed, not []"],
    [{ ...good, sources: [null] }, "sources[0]: an object is needed, not null"],
    [
      { ...good, scheduleSteps: 9 },
      "scheduleSteps 9, skippedSteps 0 and loggedStep 2 do not belong to global_step 3",
    ],
  ])("%j is refused", (content, message) => {
    expect(() => read(content)).toThrow(UserError);
    expect(() => read(content)).toThrow(message);
    expect(() => read(content)).toThrow(/resume from another checkpoint$/);
  });

  it("that is not there", () => {
    expect(() => readLoop(path.join(dir, "none.json"), 1)).toThrow(
      /none\.json: is missing: .*save_only_model/,
    );
  });
});
