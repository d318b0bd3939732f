// Runs a command and measures it: wall time, and the peak memory of its whole process tree (sum of PSS; shared pages
// are counted once). Linux only. One sampler for every program that is compared. Reading PSS walks a process's page
// tables, tens of milliseconds for gigabytes, so it is read twice a second and not more often.
import { spawn } from "node:child_process";
import { createWriteStream, readdirSync, readFileSync } from "node:fs";

function treeOf(root) {
  const children = new Map();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch {
      // it has ended meanwhile
    }
  }
  const found = [root];
  for (let i = 0; i < found.length; i++) found.push(...(children.get(found[i]) ?? []));
  return found;
}

/** Sum of PSS over a process and all its descendants, in bytes. */
export function memoryOfTree(root) {
  let sum = 0;
  for (const pid of treeOf(root)) {
    try {
      const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
      sum += Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0) * 1024;
    } catch {
      // it has ended meanwhile
    }
  }
  return sum;
}

/**
 * Runs a command with its output in a file.
 * @returns {Promise<{status: number, seconds: number, peakBytes: number}>}
 */
export function measure(command, args, { cwd, env = process.env, log }) {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    const output = createWriteStream(log);
    child.stdout.pipe(output, { end: false });
    child.stderr.pipe(output, { end: false });
    let peakBytes = 0;
    const sampler = setInterval(() => {
      peakBytes = Math.max(peakBytes, memoryOfTree(child.pid));
    }, 500);
    child.on("error", reject);
    child.on("close", (status) => {
      clearInterval(sampler);
      output.end();
      resolve({ status: status ?? 1, seconds: (performance.now() - started) / 1000, peakBytes });
    });
  });
}
