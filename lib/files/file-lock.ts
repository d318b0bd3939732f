// One process at a time for a file. Where the system has flock(1), the lock is the one that Python's clients take on
// the same file; elsewhere a file beside it, kept fresh while it is held. Only spares work: what is made under it is
// right without it too.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { open, rm, stat, utimes } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { makeFolder } from "./make-folder.js";

const STALE_MS = 60_000;
const REFRESH_MS = 10_000;
const NOTICE_MS = 3000;

export interface LockOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called once where another process has held the lock for some seconds. */
  readonly onWait?: () => void;
}

/** Waits for the lock of `file`; what comes back releases it. */
export async function lockFile(file: string, options: LockOptions = {}): Promise<() => Promise<void>> {
  makeFolder(path.dirname(file));
  const notice = setTimeout(() => options.onWait?.(), NOTICE_MS);
  notice.unref();
  try {
    return (await systemLock(file, options.signal)) ?? (await ownLock(`${file}.held`, options.signal));
  } finally {
    clearTimeout(notice);
  }
}

/**
 * `flock FILE cat`: cat starts once the lock is taken, answers what was written to it, and ends, the lock with it, when
 * this process closes the pipe or dies in any manner.
 */
function systemLock(
  file: string,
  signal: AbortSignal | undefined,
): Promise<(() => Promise<void>) | undefined> {
  if (process.platform === "win32") return Promise.resolve(undefined);
  return new Promise((resolve, reject) => {
    // its own process group: the terminal's Ctrl-C is this process's to answer
    const holder = spawn("flock", [file, "cat"], { stdio: ["pipe", "pipe", "ignore"], detached: true });
    const ended = new Promise<void>((done) => holder.once("close", () => done()));
    const release = async (): Promise<void> => {
      holder.stdin.end();
      await ended;
    };
    const onAbort = (): void => {
      holder.kill("SIGKILL");
      reject(signal?.reason);
    };
    holder.stdin.on("error", () => {});
    holder.once("error", () => resolve(undefined)); // not installed
    holder.once("exit", () => resolve(undefined)); // a file system without locks
    holder.stdout.once("data", () => {
      signal?.removeEventListener("abort", onAbort);
      resolve(release);
    });
    if (signal?.aborted) onAbort();
    else {
      signal?.addEventListener("abort", onAbort, { once: true });
      holder.stdin.write("\n");
    }
  });
}

async function ownLock(file: string, signal: AbortSignal | undefined): Promise<() => Promise<void>> {
  for (;;) {
    try {
      const handle = await open(file, "wx");
      await handle.writeFile(`${process.pid}\n`);
      await handle.close();
      break;
    } catch (error) {
      // a folder that takes no lock files cannot be written to either, and downloading will say so
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") return async () => {};
    }
    const held = await stat(file).catch(() => undefined);
    if (held !== undefined && Date.now() - held.mtimeMs > STALE_MS) await rm(file, { force: true });
    else await sleep(200, undefined, { signal });
  }
  const refresh = setInterval(() => {
    const now = new Date();
    if (existsSync(file)) utimes(file, now, now).catch(() => {});
  }, REFRESH_MS);
  refresh.unref();
  return async () => {
    clearInterval(refresh);
    await rm(file, { force: true });
  };
}
