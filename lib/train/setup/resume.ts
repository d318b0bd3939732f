// Which checkpoint a run goes on from, and whether it may write where the recipe says.

import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import type { Recipe } from "../../config/index.js";
import { UserError } from "../../errors.js";
import type { Emit } from "../../events.js";
import { checkWritable } from "../../files/output-file.js";
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

/**
 * Where to go on from: the folder that the recipe names, or the last complete checkpoint of output_dir.
 * @param isMain whether this process is the one that writes there
 * @throws UserError for a folder that is no complete checkpoint, and for an output_dir that would be overwritten
 */
export function findResume(recipe: Recipe, emit: Emit, isMain = true): string | undefined {
  const { output_dir, resume_from_checkpoint: wanted, overwrite_output_dir } = recipe;
  if (isMain) {
    checkWritable(output_dir);
    cleanStale(output_dir);
  }
  if (typeof wanted === "string") {
    verifyCheckpoint(wanted);
    return resumable(wanted);
  }
  if (wanted !== true && overwrite_output_dir) return undefined;
  for (const { dir } of listCheckpoints(output_dir)) {
    try {
      verifyCheckpoint(dir);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      emit({ type: "message", level: "warning", text: `skipped: ${error.message}` });
      continue;
    }
    return resumable(dir);
  }
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
