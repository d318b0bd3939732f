// Which checkpoint a run goes on from, and whether it may write where the recipe says.

import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import type { Recipe } from "../../config/index.js";
import { UserError } from "../../errors.js";
import type { Emit } from "../../events.js";
import { checkWritable } from "../../files/output-file.js";
import { checkpointsOfRun, noteBeginning } from "../checkpoint/attempts.js";
import { cleanStale, listCheckpoints, verifyCheckpoint } from "../checkpoint/folder.js";
import { LOOP_FILE } from "../checkpoint/run-state.js";
import { gatherJson } from "../strategy/gather-json.js";

const WEIGHT_FILES = ["adapter_model.safetensors", "model.safetensors", "model.safetensors.index.json"];
/** A whole checkpoint may still lack what resuming needs: it must not be silently skipped for an older one. */
function resumable(dir: string): string {
  if (existsSync(path.join(dir, LOOP_FILE))) return dir;
  throw new UserError(
    `${dir} was written with save_only_model: true and cannot be resumed; name another in resume_from_checkpoint, or start over with overwrite_output_dir: true`,
  );
}

/** The first of the folders that is complete and undamaged; a warning for each before it. */
async function firstWhole(dirs: readonly string[], emit: Emit, run: Attempt): Promise<string | undefined> {
  for (const dir of dirs) {
    const fault = await faultOf(dir, run);
    if (fault === undefined) return resumable(dir);
    emit({ type: "message", level: "warning", text: `skipped: ${fault}` });
  }
  return undefined;
}

/** What is wrong with a checkpoint, of which each process reads a share of the files; the same line for all of them. */
async function faultOf(dir: string, run: Attempt): Promise<string | undefined> {
  let fault = "";
  try {
    verifyCheckpoint(dir, run);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    fault = error.message;
  }
  const faults = await gatherJson(fault, run);
  const rank = faults.findIndex((text) => text !== "");
  if (rank < 0) return undefined;
  return rank === 0 ? faults[0] : `rank ${rank}: ${faults[rank]}`; // it may see another disk
}

/** What rank 0 has found, on every process: folders change while it looks. */
async function asRank0<T>(found: () => T, run: Attempt): Promise<T> {
  const [said] = await gatherJson(run.rank === 0 ? found() : null, run);
  return said as T;
}

/** A run's processes, as far as they matter here. */
export interface Attempt {
  readonly rank: number;
  readonly size: number;
  /** How often the processes were started again. */
  readonly attempt: number;
  /** The lists of all processes, in the order of ranks. */
  gather(values: readonly number[]): Promise<number[][]>;
}

/**
 * Where to go on from: the folder that the recipe names, or the last complete checkpoint of output_dir; for processes
 * that were started again, the last one of their run.
 * @throws UserError for a folder that is no complete checkpoint, and for an output_dir that would be overwritten
 */
export async function findResume(recipe: Recipe, emit: Emit, run: Attempt): Promise<string | undefined> {
  const { output_dir, resume_from_checkpoint: wanted, overwrite_output_dir } = recipe;
  const { own, all, weights } = await asRank0(() => {
    checkWritable(output_dir);
    cleanStale(output_dir);
    if (run.size > 1 && run.attempt === 0) noteBeginning(output_dir);
    return {
      own: run.attempt > 0 ? checkpointsOfRun(output_dir) : [],
      all: listCheckpoints(output_dir).map(({ dir }) => dir),
      weights: existsSync(output_dir)
        ? readdirSync(output_dir).find((name) => WEIGHT_FILES.includes(name))
        : undefined,
    };
  }, run);
  const newest = await firstWhole(own, emit, run);
  if (newest !== undefined) return newest;
  if (typeof wanted === "string") {
    const fault = await faultOf(wanted, run);
    if (fault !== undefined) throw new UserError(fault);
    return resumable(wanted);
  }
  if (wanted !== true && overwrite_output_dir) return undefined;
  const last = await firstWhole(all, emit, run);
  if (last !== undefined) return last;
  if (wanted === true)
    throw new UserError(
      `resume_from_checkpoint: there is no complete checkpoint in ${output_dir}; leave it out to start over`,
    );
  if (weights !== undefined) {
    throw new UserError(
      `output_dir: ${output_dir} holds ${weights} of an earlier run; choose another folder or set overwrite_output_dir: true`,
    );
  }
  return undefined;
}
