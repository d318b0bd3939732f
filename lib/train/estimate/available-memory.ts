// How much memory this process may still take: what the machine has left, or less where a container limits it.
import { readFileSync } from "node:fs";
import os from "node:os";

function text(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

/** What a control group leaves: its limit less what it holds, of version 2 or 1; files' pages that it may drop count as left. */
function groupLeaves(read: typeof text): number {
  const number = (file: string) => {
    const value = read(file)?.trim();
    return value === undefined || value === "max" ? Number.NaN : Number(value);
  };
  for (const [limit, used, stat, name] of [
    [
      "/sys/fs/cgroup/memory.max",
      "/sys/fs/cgroup/memory.current",
      "/sys/fs/cgroup/memory.stat",
      "inactive_file",
    ],
    [
      "/sys/fs/cgroup/memory/memory.limit_in_bytes",
      "/sys/fs/cgroup/memory/memory.usage_in_bytes",
      "/sys/fs/cgroup/memory/memory.stat",
      "total_inactive_file",
    ],
  ] as const) {
    const left = number(limit) - number(used);
    const droppable = Number(new RegExp(`^${name} (\\d+)$`, "m").exec(read(stat) ?? "")?.[1] ?? 0);
    if (Number.isFinite(left)) return Math.max(0, left + droppable);
  }
  return Number.POSITIVE_INFINITY;
}

/** Bytes that are left, beside what this process has already. `read` gives a file's text, or undefined. */
export function availableMemory(read: typeof text = text): number {
  const kilobytes = /^MemAvailable:\s+(\d+) kB/m.exec(read("/proc/meminfo") ?? "")?.[1];
  const machine = kilobytes === undefined ? os.freemem() : Number(kilobytes) * 1024;
  return Math.min(machine, groupLeaves(read));
}
