// Runs a command and measures it: wall time, and the peak memory of its whole process tree (sum of PSS; shared pages
// are counted once). Linux only. One sampler for every program that is compared, ten times a second. Reading PSS walks a
// process's page tables, tens of milliseconds for gigabytes, in which the process stands still: a program would be slowed
// the more the faster it is. So resident memory, which costs nothing, is read each time, and what of it is shared, the
// difference to PSS, whenever a process has come or gone and every few seconds. Where several large processes share
// what they map, that changes all the time: there a new peak is PSS itself.
import { execFileSync, spawn } from "node:child_process";
import { createWriteStream, readdirSync, readFileSync } from "node:fs";

/** A process and its descendants, by the kernel's own lists of children. */
function treeOf(root) {
  const found = [root];
  for (let i = 0; i < found.length; i++) {
    try {
      for (const thread of readdirSync(`/proc/${found[i]}/task`)) {
        const children = readFileSync(`/proc/${found[i]}/task/${thread}/children`, "utf8").trim();
        if (children !== "") found.push(...children.split(" ").map(Number));
      }
    } catch {
      // it has ended meanwhile
    }
  }
  return found;
}

/** Sum of PSS over processes, in bytes. */
function memoryOf(pids) {
  return sum(pids, (pid) => {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    return Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0) * 1024;
  });
}

/** Sum of resident memory over processes, in bytes; what they share is counted in each. */
function residentOf(pids) {
  return sum(pids, (pid) => {
    const status = readFileSync(`/proc/${pid}/statm`, "utf8");
    return Number(status.split(" ")[1]) * PAGE;
  });
}

function sum(pids, of) {
  let total = 0;
  for (const pid of pids) {
    try {
      total += of(pid);
    } catch {
      // it has ended meanwhile
    }
  }
  return total;
}

/** Bytes of a page. */
const PAGE = Number(execFileSync("getconf", ["PAGESIZE"], { encoding: "utf8" }));
const EVERY_MS = 100;
/** What is shared is read again after this many readings, 5 seconds. */
const SHARED_EVERY = 50;

const LARGE = 64e6;
/** Then what they share changes from moment to moment, as each touches what all of them map. */
const severalAreLarge = (tree) => tree.filter((pid) => residentOf([pid]) > LARGE).length > 1;

/** Follows the peak of a process tree's PSS. */
function sampler(root) {
  let peakBytes = 0;
  let shared = 0;
  let since = 0;
  let before = "";
  let busy = 0;
  const timer = setInterval(() => {
    const started = performance.now();
    const tree = treeOf(root);
    const now = tree.join();
    const resident = residentOf(tree);
    if (now !== before || ++since >= SHARED_EVERY) {
      since = 0;
      before = now;
      const pss = memoryOf(tree);
      shared = Math.max(0, (resident + residentOf(tree)) / 2 - pss); // it may grow meanwhile
    }
    const is = resident - shared;
    if (is > peakBytes) peakBytes = Math.max(peakBytes, severalAreLarge(tree) ? memoryOf(tree) : is);
    busy += performance.now() - started;
  }, EVERY_MS);
  return {
    end() {
      clearInterval(timer);
      return { peakBytes, busySeconds: busy / 1000 };
    },
  };
}

/** Seconds from a command's launch to the first appearance of a text in its output; the command is ended there. */
export function secondsUntil(text, command, args, { cwd, env = process.env }) {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    let found;
    const read = (data) => {
      said += data;
      if (found !== undefined || !said.includes(text)) return;
      found = (performance.now() - started) / 1000;
      child.kill("SIGKILL");
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.on("error", reject);
    child.on("close", () =>
      found === undefined
        ? reject(new Error(`${command} never said "${text}": ${said.slice(-500)}`))
        : resolve(found),
    );
  });
}

/**
 * Runs a command with its output in a file. `samplerShare` is the share of the time in which memory was being read.
 * @returns {Promise<{status: number, seconds: number, peakBytes: number, samplerShare: number}>}
 */
export function measure(command, args, { cwd, env = process.env, log }) {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    const output = createWriteStream(log);
    child.stdout.pipe(output, { end: false });
    child.stderr.pipe(output, { end: false });
    const memory = sampler(child.pid);
    child.on("error", reject);
    child.on("close", (status) => {
      const { peakBytes, busySeconds } = memory.end();
      const seconds = (performance.now() - started) / 1000;
      output.end(() =>
        resolve({ status: status ?? 1, seconds, peakBytes, samplerShare: busySeconds / seconds }),
      );
    });
  });
}
