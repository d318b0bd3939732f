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

const WEIGHT_FILES = ["adapter_model.safetensors", "model.safetensors", "model.safetensors.index.json"];
/** A whole checkpoint may still lack what resuming needs: it must not be silently skipped for an older one. */
function resumable(dir: string): string {
  if (existsSync(path.join(dir, LOOP_FILE))) return dir;
  throw new UserError(
    `${dir} was written with save_only_model: true and cannot be resumed; name another in resume_from_checkpoint, or start over with overwrite_output_dir: true`,
  );
}

/** The first of the folders that is complete and undamaged; a warning for each before it. */
function firstWhole(dirs: readonly string[], emit: Emit): string | undefined {
  for (const dir of dirs) {
    try {
      verifyCheckpoint(dir);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      emit({ type: "message", level: "warning", text: `skipped: ${error.message}` });
      continue;
    }
    return resumable(dir);
  }
  return undefined;
}

/** A run's processes, as far as they matter here. */
export interface Attempt {
  readonly rank: number;
  readonly size: number;
  /** How often the processes were started again. */
  readonly attempt: number;
}

/**
 * Where to go on from: the folder that the recipe names, or the last complete checkpoint of output_dir; for processes
 * that were started again, the last one of their run.
 * @throws UserError for a folder that is no complete checkpoint, and for an output_dir that would be overwritten
 */
export function findResume(recipe: Recipe, emit: Emit, { rank, size, attempt }: Attempt): string | undefined {
  const { output_dir, resume_from_checkpoint: wanted, overwrite_output_dir } = recipe;
  if (rank === 0) {
    checkWritable(output_dir);
    cleanStale(output_dir);
    if (size > 1 && attempt === 0) noteBeginning(output_dir);
  }
  if (attempt > 0) {
    const own = firstWhole(checkpointsOfRun(output_dir), emit);
    if (own !== undefined) return own;
  }
  if (typeof wanted === "string") {
    verifyCheckpoint(wanted);
    return resumable(wanted);
  }
  if (wanted !== true && overwrite_output_dir) return undefined;
  const last = firstWhole(
    listCheckpoints(output_dir).map(({ dir }) => dir),
    emit,
  );
  if (last !== undefined) return last;
  if (wanted === true)
    throw new UserError(
      `resume_from_checkpoint: there is no complete checkpoint in ${output_dir}; leave it out to start over`,
    );
  const weights = existsSync(output_dir)
    ? readdirSync(output_dir).find((name) => WEIGHT_FILES.includes(name))
    : undefined;
  if (weights !== undefined) {
    throw new UserError(
      `output_dir: ${output_dir} holds ${weights} of an earlier run; choose another folder or set overwrite_output_dir: true`,
    );
  }
  return undefined;
}
