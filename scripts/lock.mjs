// One process at a time makes a folder of ours; the others wait for it. A lock whose owner has died is taken over.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";

function ownerAlive(lock) {
  try {
    process.kill(Number(readFileSync(path.join(lock, "pid"), "utf8")), 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
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
  try {
    writeFileSync(path.join(lock, "pid"), String(process.pid));
    return await work();
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}
