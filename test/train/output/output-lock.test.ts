// An output folder belongs to one run: a second one is refused with the first's process, a dead one's lock is taken over.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, it } from "vitest";
import { claimOutput, LOCK_FILE } from "../../../lib/train/output/output-lock.js";
import { folder, logLines, run } from "../runs.js";

const root = mkdtempSync(path.join(tmpdir(), "qwen-pt-lock-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let count = 0;
const place = (): string => mkdtempSync(path.join(root, `${++count}-`));
const lock = (dir: string): string => path.join(dir, LOCK_FILE);

function write(dir: string, owner: Record<string, unknown> | string): string {
  writeFileSync(lock(dir), typeof owner === "string" ? owner : JSON.stringify(owner));
  return dir;
}

it("is taken, named after this process, and given back", () => {
  const dir = place();
  const release = claimOutput(dir);
  expect(JSON.parse(readFileSync(lock(dir), "utf8"))).toMatchObject({ pid: process.pid, host: hostname() });
  release();
  expect(existsSync(lock(dir))).toBe(false);
  expect(existsSync(dir)).toBe(true);
});

it("a folder that was made for nothing goes with it", () => {
  const dir = path.join(place(), "a", "b");
  const release = claimOutput(dir);
  expect(existsSync(dir)).toBe(true);
  release();
  expect(existsSync(path.dirname(dir))).toBe(false);
});

it("is refused while its process lives, and taken over once that is gone", async () => {
  const other = spawn(process.execPath, ["-e", "setTimeout(() => {}, 60000)"]);
  try {
    const dir = write(place(), { pid: other.pid, host: hostname(), since: "2026-01-01", started: "" });
    expect(() => claimOutput(dir)).toThrow(
      new RegExp(
        `output_dir: .* belongs to a run that is under way \\(process ${other.pid}, since 2026-01-01\\)`,
      ),
    );
    const gone = new Promise((resolve) => other.once("close", resolve));
    other.kill("SIGKILL");
    await gone;
    claimOutput(dir)();
  } finally {
    other.kill("SIGKILL");
  }
});

it.skipIf(!existsSync("/proc/self/stat"))("a number that another process has by now is no owner", () => {
  const dir = write(place(), { pid: process.ppid, host: hostname(), since: "", started: "1" });
  claimOutput(dir)();
  expect(existsSync(lock(dir))).toBe(false);
});

it("of another machine is not judged from here", () => {
  const dir = write(place(), { pid: 1, host: `not-${hostname()}`, since: "yesterday", started: "1" });
  expect(() => claimOutput(dir)).toThrow(
    /process 1 on not-.*, since yesterday\).*or remove .*\.qwen-pt\.lock/,
  );
});

it.each(["", "{", "null", "[]", '{"pid": "1"}', '{"pid": 1.5, "host": "x"}', '{"pid": 9}'])(
  "a lock that was cut short (%s) is taken over",
  (text) => {
    const dir = write(place(), text);
    claimOutput(dir)();
    expect(existsSync(lock(dir))).toBe(false);
  },
);

it("a run asks for it before it reads data, and leaves none behind", async () => {
  const gone = spawnSync(process.execPath, ["-e", ""]).pid;
  const dir = write(folder(), { pid: gone, host: hostname(), since: "", started: "" });
  await run({ output_dir: dir, max_steps: 1, overwrite_output_dir: true });
  expect(existsSync(lock(dir))).toBe(false);
  write(dir, { pid: 1, host: "elsewhere", since: "", started: "" });
  await expect(run({ output_dir: dir, dataset: "nonesuch" })).rejects.toThrow(/belongs to a run/);
});

it("a run that was killed before its first checkpoint leaves no line twice", async () => {
  const dir = folder();
  const killed = '{"current_steps": 1, "total_steps": 2, "loss": 6.0}\n{"current_steps": 2, "tot';
  writeFileSync(path.join(dir, "trainer_log.jsonl"), killed);
  await run({
    output_dir: dir,
    max_steps: 2,
    logging_steps: 1,
    save_steps: 500,
    overwrite_output_dir: false,
  });
  const steps = logLines(dir).map((line) => line["current_steps"]);
  expect(steps.slice(0, 2)).toEqual([1, 2]);
  expect(steps.filter((step) => step === 1)).toHaveLength(1);
});
