// Whether what a process left behind is still its own: its number may have been given to another since. It ends nobody.
import { readFileSync } from "node:fs";

/** /proc counts in hundredths of a second, on every system that has it. */
const TICK_MS = 10;
/** The clock of files and that of processes may differ by as much. */
const SLACK_MS = 2000;

/** Whether there is a process of this number. */
export function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** When a process began, in the system's ticks; "" on other systems than Linux, and for one that is gone. */
export function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // the name, in brackets, may hold anything; then this is field 22
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return "";
  }
}

/** Whether the process that wrote something at `writtenMs` may still be there: one that began later is another. */
export function mayStillWrite(pid: number, writtenMs: number): boolean {
  if (pid === process.pid || !isThere(pid)) return false;
  const began = Number(startOf(pid) || Number.NaN) * TICK_MS + bootMs();
  return !(began > writtenMs + SLACK_MS); // unknown: it may be there
}

function bootMs(): number {
  try {
    return 1000 * Number(/^btime (\d+)$/m.exec(readFileSync("/proc/stat", "utf8"))?.[1] ?? Number.NaN);
  } catch {
    return Number.NaN;
  }
}
