// A model that several processes write, each its units, played here by as many calls in one: who writes what, what becomes of
// it on machines that share no disk, and what a failure leaves.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { joinShards, type Shards, saveShard } from "../../../lib/models/index.js";
import { loadSafetensors } from "../../../lib/torch/index.js";
import {
  beginCheckpoint,
  checkpointPath,
  finishCheckpoint,
  measured,
  verifyCheckpoint,
  type Written,
} from "../../../lib/train/checkpoint/folder.js";
import { saveTrained } from "../../../lib/train/checkpoint/save-trained.js";
import { oneProcess, type Strategy } from "../../../lib/train/strategy/strategy.js";
import * as fixture from "../../fixtures/model/read.js";

let room = "";
beforeEach(() => {
  room = mkdtempSync(path.join(tmpdir(), "qwen-pt-save-"));
});
afterEach(() => rmSync(room, { recursive: true, force: true }));

/** Gathers among calls that run side by side. */
function meeting(size: number) {
  const rounds = new Map<number, { lists: number[][]; done: () => void; all: Promise<void> }>();
  return (rank: number) => {
    let turn = 0;
    return async (values: readonly number[]): Promise<number[][]> => {
      const at = turn++;
      if (!rounds.has(at)) {
        let done = () => {};
        const all = new Promise<void>((resolve) => {
          done = resolve;
        });
        rounds.set(at, { lists: [], done, all });
      }
      const round = rounds.get(at)!;
      round.lists[rank] = [...values];
      if (Object.keys(round.lists).length === size) round.done();
      await round.all;
      return round.lists;
    };
  };
}

const model = fixture.model("tied");
const names = [...model.stateDict().keys()];
/** Four units of the model. */
const units: Shards = [0, 1, 2, 3].map((unit) =>
  names.filter((_, at) => Math.floor((4 * at) / names.length) === unit),
);

/** Saves as `size` processes, each with its path of the folder; gives what each wrote, and what each returned. */
async function saveAs(dirs: readonly string[]) {
  const gather = meeting(dirs.length);
  const wrote: number[][] = dirs.map(() => []);
  const found = await Promise.all(
    dirs.map((dir, rank): Promise<Written> => {
      const strategy: Strategy = {
        ...oneProcess,
        rank,
        size: dirs.length,
        isDivided: true,
        gather: gather(rank),
        units: {
          names: units,
          visit(ranks, work) {
            const place = ranks.indexOf(rank);
            if (place >= 0) for (let unit = place; unit < units.length; unit += ranks.length) work(unit);
          },
        },
      };
      const shards = {
        save(to: string, all: Shards, at: number) {
          wrote[rank]!.push(at);
          return saveShard(model, to, all, at);
        },
        join: (from: string, to: string, all: Shards) => joinShards(model, from, to, all),
      };
      const beside = (to: string) => writeFileSync(path.join(to, "beside"), "rank 0 alone");
      const save = () => expect.unreachable("rank 0 does not write all of it");
      return saveTrained({ save, saveDivided: { shards, beside } }, strategy, dir);
    }),
  );
  return { wrote, found };
}

it("unit u is written by rank u mod N, and measured there", async () => {
  const dir = beginCheckpoint(room, 7);
  const { wrote, found } = await saveAs([dir, dir, dir]);
  expect(wrote).toEqual([[0, 3], [1], [2]]);
  const files = [1, 2, 3, 4].map((at) => `model-0000${at}-of-00004.safetensors`);
  expect(Object.keys(found[0]!).sort()).toEqual(files);
  for (const name of files) expect(found[0]![name]).toEqual(measured(path.join(dir, name)));
  expect(readdirSync(dir).sort()).toEqual(
    ["beside", "config.json", ...files, "model.safetensors.index.json"].sort(),
  );
  const index = JSON.parse(readFileSync(path.join(dir, "model.safetensors.index.json"), "utf8"));
  expect(Object.keys(index.weight_map).sort()).toEqual([...names].sort());
  let total = 0;
  for (const [name, file] of Object.entries(index.weight_map)) {
    const stored = loadSafetensors(path.join(dir, file as string)).get(name)!;
    expect(stored.equal(model.stateDict().get(name)!)).toBe(true);
    total += stored.numel() * 4;
  }
  expect(index.metadata.total_size).toBe(total);
  verifyCheckpoint(finishCheckpoint(room, 7, found[0]));
});

it("where a machine has another disk, those that see rank 0's write", async () => {
  const dir = path.join(room, "shared");
  mkdirSync(dir);
  const { wrote } = await saveAs([dir, path.join(room, "elsewhere"), dir]);
  expect(wrote).toEqual([[0, 2], [], [1, 3]]);
  expect(readdirSync(dir)).toContain("model-00004-of-00004.safetensors");
});

it("a file that another process wrote and that is not whole here makes no checkpoint", () => {
  const dir = beginCheckpoint(room, 1);
  writeFileSync(path.join(dir, "a"), "short");
  const known = { a: { bytes: 9, sha256: "0".repeat(64) } };
  expect(() => finishCheckpoint(room, 1, known)).toThrow(
    /a: another process has written it, and it is not whole here/,
  );
  expect(readdirSync(room)).toEqual([]);
  expect(() => verifyCheckpoint(checkpointPath(room, 1))).toThrow(/there is no folder/);
});
