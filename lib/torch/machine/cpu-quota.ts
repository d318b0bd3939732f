// How much processor time the control groups of this process leave it, in processors. Linux; both versions of the
// interface, and groups within groups: the least of them holds. Nothing here knows of threads.
import { readFileSync } from "node:fs";
import path from "node:path";

/** Reads a file; undefined where it cannot be read. */
export type ReadText = (file: string) => string | undefined;

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

/** A hierarchy of control groups as this process sees it: where it is mounted, and which of its groups is mounted there. */
interface Mount {
  readonly root: string;
  readonly point: string;
  /** 2 for the unified hierarchy, 1 for one of version 1 that controls processor time. */
  readonly version: 1 | 2;
}

/** Whether a list of options or controllers names the one that limits processor time. */
const limitsTime = (list: string): boolean => /(?:^|,)cpu(?:,|$)/.test(list);

/** mountinfo: `36 25 0:30 ROOT POINT rw,relatime - TYPE SOURCE rw,cpu,cpuacct`. */
function mounts(text: string): Mount[] {
  return text.split("\n").flatMap((line): Mount[] => {
    const [before = "", after = ""] = line.split(" - ");
    const [root, point] = before.split(" ").slice(3, 5);
    const [type, , options = ""] = after.split(" ");
    if (root === undefined || point === undefined) return [];
    if (type === "cgroup2") return [{ root, point, version: 2 }];
    return type === "cgroup" && limitsTime(options) ? [{ root, point, version: 1 }] : [];
  });
}

/** This process's group in a hierarchy. A line is `ID:CONTROLLERS:/path`; version 2 has the id 0 and names no controller. */
function groupOf(text: string, version: 1 | 2): string | undefined {
  for (const line of text.split("\n")) {
    const [id, controllers = "", ...rest] = line.split(":");
    if (version === 2 ? id === "0" && controllers === "" : limitsTime(controllers)) return rest.join(":");
  }
  return undefined;
}

/** Folders from this process's group up to the mount; the mount alone where the group is not below what is mounted. */
function foldersOf({ root, point }: Mount, group: string): string[] {
  const relative = path.posix.relative(root, group);
  if (relative.startsWith("..")) return [point];
  const names = relative.split("/").filter((name) => name !== "");
  return names.map((_, i) => path.posix.join(point, ...names.slice(0, names.length - i))).concat(point);
}

/** Processors that one group allows. */
function limitOf(folder: string, version: 1 | 2, read: ReadText): number {
  const said =
    version === 2
      ? read(`${folder}/cpu.max`)
      : `${read(`${folder}/cpu.cfs_quota_us`)} ${read(`${folder}/cpu.cfs_period_us`)}`;
  const [most, period] = (said ?? "").trim().split(/\s+/).map(Number);
  const limit = (most ?? Number.NaN) / (period ?? Number.NaN); // "max" is no number
  return limit > 0 ? limit : Number.POSITIVE_INFINITY;
}

/** Processors that this process's control groups allow it (0.5: half of one), or undefined where they set no limit. */
export function cpuQuota(read: ReadText = readText): number | undefined {
  const groups = read("/proc/self/cgroup");
  const table = read("/proc/self/mountinfo");
  if (groups === undefined || table === undefined) return undefined;
  const limits = mounts(table).flatMap((mount) => {
    const group = groupOf(groups, mount.version);
    if (group === undefined) return [];
    return foldersOf(mount, group).map((folder) => limitOf(folder, mount.version, read));
  });
  const least = Math.min(...limits);
  return Number.isFinite(least) ? least : undefined;
}
