// One process at a time makes a folder of ours; the others wait for it. A lock whose owner has died is taken over.
import { mkdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import path from "node:path";

/** A process that holds a lock touches it; after this long without, it is dead, whatever has its number now. */
const STALE_MS = 600_000;
const TOUCH_MS = 5_000;

/** Process numbers are those of one container: a cache on a volume may be locked from another. */
function ownerAlive(lock) {
  try {
    if (Date.now() - statSync(lock).mtimeMs > STALE_MS) return false;
    process.kill(Number(readFileSync(path.join(lock, "pid"), "utf8")), 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

function touch(lock) {
  try {
    utimesSync(lock, new Date(), new Date());
  } catch {
    // somebody removed it by hand: the work goes on anyway
  }
}

/** Runs `work` while holding `<target>.lock`; resolves to what it returns. `onWait` is called once if another has it. */
export async function withLock(target, work, onWait = () => {}) {
  const lock = `${target}.lock`;
  mkdirSync(path.dirname(target), { recursive: true });
  for (let waits = 0; ; waits++) {
    try {
      mkdirSync(lock);
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
      if (waits === 6 && ownerAlive(lock)) onWait();
      if (waits > 5 && !ownerAlive(lock)) rmSync(lock, { recursive: true, force: true });
      else await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
  const beat = setInterval(() => touch(lock), TOUCH_MS).unref();
  try {
    writeFileSync(path.join(lock, "pid"), String(process.pid));
    return await work();
  } finally {
    clearInterval(beat);
    rmSync(lock, { recursive: true, force: true });
  }
}
