// Signals: the decisions with an injected host, then the same in real processes.
import { type ChildProcess, spawn } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { SignalName } from "../../../lib/cli/terminal/host.js";
import { hangupIgnoredAtStart, startedByNpm, watchSignals } from "../../../lib/cli/terminal/signals.js";
import { buildProgram, FakeClock, FakeHost } from "../program.js";

function watched(env: NodeJS.ProcessEnv = {}, hangupIgnored = false) {
  const host = new FakeHost({ env });
  const clock = new FakeClock();
  const told: string[] = [];
  const family = { line: "100" };
  const watch = watchSignals({
    host,
    onFirst: (cause) => told.push(cause),
    onSecond: () => told.push("second"),
    now: clock.now,
    every: clock.every,
    hangupIgnored: () => hangupIgnored,
    ancestry: () => family.line,
  });
  return { host, clock, told, watch, family };
}

describe("watchSignals", () => {
  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as [SignalName, number][])(
    "the first %s aborts and asks for %i, a second leaves at once",
    (name, code) => {
      const { host, told, watch } = watched();
      expect([watch.signal.aborted, watch.exitCode]).toEqual([false, undefined]);
      host.raise(name);
      expect([watch.signal.aborted, watch.exitCode, told]).toEqual([true, code, [name]]);
      expect(host.exits).toEqual([]);
      host.raise(name);
      expect([host.exits, told]).toEqual([[code], [name, "second"]]);
    },
  );

  it("a second signal of another kind leaves with its own code, the first keeps its own", () => {
    const { host, watch } = watched();
    host.raise("SIGINT");
    host.raise("SIGTERM");
    expect([host.exits, watch.exitCode]).toEqual([[143], 130]);
  });

  it("an ignored SIGHUP stays ignored, the others do not", () => {
    const { host, watch } = watched({}, true);
    host.raise("SIGHUP");
    host.raise("SIGHUP");
    expect([watch.signal.aborted, host.exits]).toEqual([false, []]);
    expect(host.listeners.get("SIGHUP")?.size).toBe(1);
    host.raise("SIGINT");
    expect(watch.exitCode).toBe(130);
  });

  it("under npm the terminal's signal arrives twice and counts once", () => {
    const { host, clock } = watched({ npm_command: "exec" });
    host.raise("SIGINT");
    clock.advance(50);
    host.raise("SIGINT");
    expect(host.exits).toEqual([]);
    clock.advance(600);
    host.raise("SIGINT");
    expect(host.exits).toEqual([130]);
  });

  it("under npm a dead parent counts as SIGTERM, once", () => {
    const { host, clock, told, watch, family } = watched({ npm_lifecycle_event: "npx" });
    clock.advance(5000);
    expect(watch.signal.aborted).toBe(false);
    family.line = "1";
    clock.advance(600);
    expect([watch.signal.aborted, watch.exitCode, told]).toEqual([true, 143, ["parent"]]);
    clock.advance(5000);
    expect([host.exits, clock.running]).toEqual([[], 0]);
  });

  it("a parent that dies after the first signal does not cut the saving short", () => {
    const { host, clock, family } = watched({ npm_command: "exec" });
    host.raise("SIGINT");
    family.line = "1";
    clock.advance(2000);
    expect(host.exits).toEqual([]);
  });

  it("without npm the parent is not watched", () => {
    const { clock, watch, family } = watched();
    family.line = "1";
    clock.advance(60_000);
    expect([watch.signal.aborted, clock.running]).toEqual([false, 0]);
  });

  it("stop takes every handler and timer away", () => {
    const { host, clock, watch } = watched({ npm_command: "exec" });
    expect([host.handlers, clock.running]).toEqual([3, 1]);
    watch.stop();
    expect([host.handlers, clock.running]).toEqual([0, 0]);
  });
});

describe("the signs", () => {
  it("of npm", () => {
    expect(startedByNpm({})).toBe(false);
    for (const name of ["npm_execpath", "npm_lifecycle_event", "npm_command"])
      expect(startedByNpm({ [name]: "x" })).toBe(true);
  });

  it("of nohup", () => {
    expect(hangupIgnoredAtStart({ env: { _: "/usr/bin/nohup" }, parent: () => 1 })).toBe(true);
    expect(hangupIgnoredAtStart({ env: { _: "/usr/bin/node" }, parent: () => 1 })).toBe(false);
  });
});

// /proc tells what a process ignores and who its grandparent is: only Linux has it
describe.runIf(process.platform === "linux")("real processes", () => {
  let program: string;
  let script: string;
  beforeAll(async () => {
    program = await buildProgram({ bare: true });
    script = path.join(program, "wait.mjs");
    writeFileSync(
      script,
      `import { processHost } from "./dist/cli/terminal/host.js";
       import { watchSignals } from "./dist/cli/terminal/signals.js";
       const watch = watchSignals({ host: processHost(), onFirst: (cause) => console.log("first " + cause + " " + process.pid) });
       const keep = setInterval(() => {}, 1000);
       console.log("ready " + process.pid);
       process.stdin.resume().on("data", () => process.exit(watch.exitCode ?? 0));`,
    );
  });
  afterAll(() => rmSync(program, { recursive: true, force: true }));

  // without npm's and nohup's signs
  const clean = Object.entries(process.env).filter(([name]) => !name.startsWith("npm_") && name !== "_");
  const env = Object.fromEntries(clean);
  const said = (child: ChildProcess, pattern: RegExp) =>
    new Promise<RegExpExecArray>((resolve) => {
      let text = "";
      child.stdout?.on("data", (data) => {
        text += data;
        const match = pattern.exec(text);
        if (match) resolve(match);
      });
    });
  const ended = (child: ChildProcess) => new Promise<number | null>((resolve) => child.on("close", resolve));

  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as [NodeJS.Signals, number][])("%s once, then the program's own end with %i", async (name, code) => {
    const child = spawn(process.execPath, [script], { env });
    await said(child, /ready/);
    child.kill(name);
    await said(child, new RegExp(`first ${name}`));
    child.stdin.write("end\n");
    expect(await ended(child)).toBe(code);
  });

  it("SIGINT twice leaves at once, also while a worker sits in a native call", async () => {
    const busy = path.join(program, "busy.mjs");
    writeFileSync(
      busy,
      `import { Worker } from "node:worker_threads";
       new Worker('require("node:child_process").execFileSync("sleep", ["20"])', { eval: true });
       await import("./wait.mjs");`,
    );
    const child = spawn("sh", ["-c", '"$0" "$1"; echo "status $?"', process.execPath, busy], { env });
    const [, pid] = await said(child, /ready (\d+)/);
    process.kill(Number(pid), "SIGINT");
    await said(child, /first SIGINT/);
    const start = performance.now();
    process.kill(Number(pid), "SIGINT");
    const [, status] = await said(child, /status (\d+)/);
    expect([status, performance.now() - start < 5000]).toEqual(["130", true]);
    child.kill();
  });

  it("SIGHUP does nothing below a shell that ignores it", async () => {
    const child = spawn("sh", ["-c", `trap '' HUP; "$0" "$1"; exit $?`, process.execPath, script], { env });
    const [, pid] = await said(child, /ready (\d+)/);
    process.kill(Number(pid), "SIGHUP");
    process.kill(Number(pid), "SIGHUP");
    process.kill(Number(pid), "SIGTERM");
    await said(child, /first SIGTERM/);
    child.stdin.write("end\n");
    expect(await ended(child)).toBe(143);
  });

  it("the death of npm is noticed through the shell between", async () => {
    const starter = `const { spawn } = require("node:child_process");
      spawn("sh", ["-c", '"$0" "$1"; exit $?', process.execPath, process.argv[1]], { stdio: "inherit" });
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ["-e", starter, script], { env: { ...env, npm_command: "exec" } });
    await said(child, /ready/);
    const first = said(child, /first parent (\d+)/);
    const closed = ended(child);
    child.kill("SIGKILL");
    const [, pid] = await first;
    expect(Number(pid)).toBeGreaterThan(1);
    process.kill(Number(pid), "SIGKILL");
    await closed;
  }, 15_000);
});
