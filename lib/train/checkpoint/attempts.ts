// Several processes that are started again after a failure (torchrun's restarts, MAX_RESTARTS) go on from the newest
// checkpoint of the same run, whatever the recipe says of older ones: a file in output_dir says when the run began.
import { rmSync, statSync } from "node:fs";
import path from "node:path";
import { writeWhole } from "../../files/output-file.js";
import { listCheckpoints } from "./folder.js";

const BEGUN_FILE = ".qwen-pt.begun";

/** Notes that a run's first attempt begins now. Throws UserError where the disk refuses. */
export function noteBeginning(outputDir: string): void {
  writeWhole(path.join(outputDir, BEGUN_FILE), `${JSON.stringify({ begun: new Date().toISOString() })}\n`);
}

/** The checkpoints that earlier attempts of this run wrote, the newest first. */
export function checkpointsOfRun(outputDir: string): string[] {
  const begun = statSync(path.join(outputDir, BEGUN_FILE), { throwIfNoEntry: false })?.mtimeMs;
  if (begun === undefined) return [];
  return listCheckpoints(outputDir)
    .map(({ dir }) => dir)
    .filter((dir) => statSync(dir).mtimeMs >= begun);
}

/** Forgets it: a run that is over has nothing to resume. */
export function forgetBeginning(outputDir: string): void {
  rmSync(path.join(outputDir, BEGUN_FILE), { force: true });
}
