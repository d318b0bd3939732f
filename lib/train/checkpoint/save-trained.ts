// What was trained, written into a folder. Where processes keep a part of the model each, an adapter is gathered and written
// by rank 0; a model is written by all of them, a unit at a time each, so that none ever has more than that.
import { existsSync, mkdirSync } from "node:fs";
import path from "node:path";
import type { ModelShards } from "../../assembly/adapters.js";
import { UserError } from "../../errors.js";
import { writeError } from "../../files/output-file.js";
import { gatherJson } from "../strategy/gather-json.js";
import type { Strategy } from "../strategy/strategy.js";
import { measured, removeFolder, type Written } from "./folder.js";

/** How a model is written of which processes keep a part each. */
export interface DividedSaving {
  /** Writes its units; undefined where what is written is what is trained. */
  readonly shards: ModelShards | undefined;
  /** Writes what belongs beside them. */
  beside(dir: string): void;
}

/** How a model is written. */
export interface Saving {
  /** Writes it, and what belongs beside it, into a folder. */
  save(dir: string): void;
  readonly saveDivided?: DividedSaving | undefined;
}

/**
 * Writes what was trained into a folder that rank 0 has made; every process asks, with rank 0's path.
 * @param written what this process has written there before
 * @returns on rank 0, the files that were written and measured by the processes that did it; the others are its own
 * @throws UserError where the disk refuses
 */
export async function saveTrained(
  { save, saveDivided }: Saving,
  strategy: Strategy,
  dir: string,
  written: Written = {},
): Promise<Written> {
  const isMain = strategy.rank === 0;
  const shards = strategy.isDivided ? saveDivided?.shards : undefined;
  if (shards !== undefined) {
    const files = await saveShards(shards, strategy, dir, written);
    if (isMain) reported(dir, () => saveDivided?.beside(dir));
    return files;
  }
  const read = saveDivided === undefined ? undefined : "trained";
  await strategy.whole(() => {
    if (isMain) reported(dir, () => save(dir));
  }, read);
  return strategy.isDivided ? gatherWritten(strategy, written) : written;
}

async function saveShards(
  shards: ModelShards,
  strategy: Strategy,
  dir: string,
  written: Written,
): Promise<Written> {
  const { rank, units } = strategy;
  if (units === undefined) throw new Error("saveShards: the model has not been divided");
  const { names } = units;
  const pid = await pidOfMain(strategy);
  const folder = path.join(dir, `.model.${pid}.tmp`);
  try {
    if (rank === 0) reported(dir, () => mkdirSync(folder, { recursive: true }));
    await strategy.gather([]); // it is there now
    const own: Record<string, Written[string]> = { ...written };
    units.visit(await ranksThatSee(folder, strategy), (unit) => {
      const name = shards.save(folder, names, unit);
      own[name] = measured(path.join(folder, name));
    });
    const files = await gatherWritten(strategy, own);
    if (rank === 0) reported(dir, () => shards.join(folder, dir, names));
    return files;
  } finally {
    if (rank === 0) removeFolder(folder);
  }
}

/** The number of rank 0's process. What it did before is done once this is known. */
export async function pidOfMain(strategy: Strategy): Promise<number> {
  const [[pid = 0] = []] = await strategy.gather(strategy.rank === 0 ? [process.pid] : []);
  return pid;
}

/** Of machines that share no disk those of rank 0's. */
async function ranksThatSee(folder: string, strategy: Strategy): Promise<number[]> {
  const seen = await strategy.gather([Number(existsSync(folder))]);
  return seen.flatMap(([sees], rank) => (sees === 1 ? [rank] : []));
}

/** What all processes have written, on each of them. */
async function gatherWritten(strategy: Strategy, own: Written): Promise<Written> {
  return Object.assign({}, ...(await gatherJson(own, strategy)));
}

/** Runs `body`, whose failure is the disk's. */
function reported(dir: string, body: () => void): void {
  try {
    body();
  } catch (error) {
    throw error instanceof UserError ? error : writeError(dir, error);
  }
}
