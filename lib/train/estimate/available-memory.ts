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

/** Where each version of control groups keeps a group's limit, what it holds, and pages of files that it may drop. */
const VERSIONS = [
  {
    root: "/sys/fs/cgroup",
    line: /^0::(.*)$/m,
    limit: "memory.max",
    used: "memory.current",
    droppable: "inactive_file",
  },
  {
    root: "/sys/fs/cgroup/memory",
    line: /^\d+:(?:[^:\n]*,)?memory(?:,[^:\n]*)?:(.*)$/m,
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    droppable: "total_inactive_file",
  },
] as const;

/** A group and those that it is in: in a container its own is the root, elsewhere (Slurm, systemd-run) it has a path. */
function groupsOf(root: string, own: string): string[] {
  const parts = own.split("/").filter(Boolean);
  return [root, ...parts.map((_, i) => `${root}/${parts.slice(0, i + 1).join("/")}`)];
}

/** What control groups leave: the least of each one's limit less what it holds; files' pages that it may drop count as left. */
function groupLeaves(read: typeof text): number {
  const own = read("/proc/self/cgroup") ?? "";
  const left = VERSIONS.flatMap(({ root, line, limit, used, droppable }) =>
    groupsOf(root, line.exec(own)?.[1] ?? "").flatMap((group) => {
      const number = (name: string): number => {
        const value = read(`${group}/${name}`)?.trim();
        return value === undefined || value === "max" ? Number.NaN : Number(value);
      };
      const rest = number(limit) - number(used);
      const pages = new RegExp(`^${droppable} (\\d+)$`, "m").exec(read(`${group}/memory.stat`) ?? "")?.[1];
      return Number.isFinite(rest) ? [Math.max(0, rest + Number(pages ?? 0))] : [];
    }),
  );
  return Math.min(Number.POSITIVE_INFINITY, ...left);
}

/** Bytes that are left, beside what this process has already. `read` gives a file's text, or undefined. */
export function availableMemory(read: typeof text = text): number {
  const kilobytes = /^MemAvailable:\s+(\d+) kB/m.exec(read("/proc/meminfo") ?? "")?.[1];
  const machine = kilobytes === undefined ? os.freemem() : Number(kilobytes) * 1024;
  return Math.min(machine, groupLeaves(read));
}
