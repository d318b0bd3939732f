// output_dir belongs to one run: a file in it says whose it is. A second run would write between the first one's lines and
// remove its checkpoints. A run that was killed leaves the file behind; the next one sees that nobody is there any more.
// Not for waiting: a training takes hours.
import { readdirSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { UserError } from "../../errors.js";
import { recallJson } from "../../files/json-file.js";
import { makeFolder } from "../../files/make-folder.js";
import { writeError } from "../../files/output-file.js";
import { isThere, startOf } from "../../files/processes.js";
import { count, type Of, object, text } from "../../files/shape.js";

/** The file in an output folder that says which run has it. */
export const LOCK_FILE = ".qwen-pt.lock";

const OWNER_SHAPE = object({
  pid: count,
  host: text,
  /** When the run began, for people. */
  since: text,
  /** When the process began, in the system's ticks: a number that was given again belongs to another. "" where unknown. */
  started: text,
});
type Owner = Of<typeof OWNER_SHAPE>;

/**
 * Takes an output folder for this run, and makes it where it is not there.
 * @returns what gives it back; a folder that was made and is empty goes with it
 * @throws UserError naming the process that has it
 */
export function claimOutput(dir: string): () => void {
  const file = path.join(dir, LOCK_FILE);
  let made: string | undefined;
  try {
    made = makeFolder(dir);
    for (let attempt = 0; !take(file); attempt++) {
      const owner = ownerOf(file);
      if (owner !== undefined && isUnderWay(owner)) throw inUse(dir, file, owner);
      // stale: two that find it so at once both try again, and one of them takes it
      rmSync(file, { force: true });
      if (attempt === 10) throw Object.assign(new Error("it comes back"), { code: "EEXIST" });
    }
  } catch (error) {
    throw error instanceof UserError ? error : writeError(file, error);
  }
  return () => {
    const owner = ownerOf(file);
    if (owner?.pid !== process.pid) return;
    rmSync(file, { force: true });
    if (made !== undefined) removeEmpty(dir, made);
  };
}

function take(file: string): boolean {
  const owner: Owner = {
    pid: process.pid,
    host: os.hostname(),
    since: new Date().toISOString(),
    started: startOf(process.pid),
  };
  try {
    writeFileSync(file, `${JSON.stringify(owner)}\n`, { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Undefined where there is no file, or one that was cut short: its writer did not live long. */
function ownerOf(file: string): Owner | undefined {
  return recallJson(file, OWNER_SHAPE);
}

/** Whether its run may still be under way. This process computes one run at a time, so its own is over. */
function isUnderWay({ pid, host, started }: Owner): boolean {
  if (host !== os.hostname()) return true; // nobody here can tell
  if (pid === process.pid || pid < 1) return false;
  if (!isThere(pid)) return false;
  const now = startOf(pid);
  return now === "" || started === "" || now === started;
}

function inUse(dir: string, file: string, { pid, host, since }: Owner): UserError {
  const elsewhere = host === os.hostname() ? "" : ` on ${host}`;
  const over = elsewhere === "" ? "" : `, or remove ${file} if that run is over`;
  return new UserError(
    `output_dir: ${dir} belongs to a run that is under way (process ${pid}${elsewhere}, since ${since}); wait for it, or choose another output_dir${over}`,
  );
}

/** The folder and those above it that were made for it, as long as nothing is in them. */
function removeEmpty(dir: string, top: string): void {
  const last = path.resolve(top);
  for (let at = path.resolve(dir); at.length >= last.length; at = path.dirname(at)) {
    try {
      if (readdirSync(at).length > 0) return;
      rmdirSync(at);
    } catch {
      return;
    }
  }
}
