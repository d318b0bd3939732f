// The command line as real processes: lib/ transpiled into a separate folder, so that no test depends on an earlier
// build. Beside it, a host made of plain objects for tests that stay in the process.
import { spawn } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { transformWithOxc } from "vite";
import type { Host, SignalName } from "../../lib/cli/terminal/host.js";
import { EXIT_CODES } from "../../lib/cli/terminal/signals.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Transpiles lib/ (without those folders) and returns the folder that holds dist/. */
export async function buildProgram(options: { without?: string[]; bare?: boolean } = {}): Promise<string> {
  const target = mkdtempSync(path.join(tmpdir(), "qwen-pt-cli-"));
  copyFileSync(path.join(ROOT, "package.json"), path.join(target, "package.json"));
  for (const shared of ["node_modules", "assets"]) {
    if (!options.bare && existsSync(path.join(ROOT, shared)))
      symlinkSync(path.join(ROOT, shared), path.join(target, shared));
  }
  const files = readdirSync(path.join(ROOT, "lib"), { recursive: true, encoding: "utf8" });
  for (const file of files.filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts"))) {
    if (options.without?.some((folder) => file.startsWith(folder))) continue;
    const source = readFileSync(path.join(ROOT, "lib", file), "utf8");
    const { code } = await transformWithOxc(source, file, { sourcemap: false });
    const output = path.join(target, "dist", file.replace(/\.ts$/, ".js"));
    mkdirSync(path.dirname(output), { recursive: true });
    writeFileSync(output, code);
  }
  return target;
}

export interface Finished {
  code: number | null;
  out: string;
  err: string;
  milliseconds: number;
}

/** Runs `qwen-pt ...args` to its end. */
export function runProgram(program: string, args: string[], env: NodeJS.ProcessEnv = {}): Promise<Finished> {
  return runNode([path.join(program, "dist/cli/main.js"), ...args], { ...process.env, ...env }, program);
}

/** Runs `node ...args` to its end. */
export function runNode(args: string[], env = process.env, cwd = tmpdir()): Promise<Finished> {
  const start = performance.now();
  const child = spawn(process.execPath, args, { env, cwd });
  let [out, err] = ["", ""];
  child.stdout.on("data", (data) => (out += data));
  child.stderr.on("data", (data) => (err += data));
  return new Promise((resolve) => {
    child.on("close", (code) => resolve({ code, out, err, milliseconds: performance.now() - start }));
  });
}

/** A host whose output is text, whose signals are calls, and whose exit is recorded. */
export class FakeHost implements Host {
  text = "";
  errors = "";
  exits: number[] = [];
  parentId = 100;
  readonly pid = 200;
  readonly out: { isTTY?: boolean; columns?: number; write: (text: string) => void };
  readonly err = {
    write: (text: string) => {
      this.errors += text;
    },
  };
  readonly listeners = new Map<SignalName, Set<() => void>>();
  readonly input: Host["input"];
  readonly env: NodeJS.ProcessEnv;

  constructor(
    options: {
      tty?: boolean;
      columns?: number;
      env?: NodeJS.ProcessEnv;
      lines?: string[];
      inputTty?: boolean;
    } = {},
  ) {
    this.env = options.env ?? {};
    const write = (text: string) => {
      this.text += text;
    };
    this.out = { isTTY: options.tty ?? false, columns: options.columns, write };
    const input = Readable.from((options.lines ?? []).map((line) => `${line}\n`));
    this.input = Object.assign(input, { isTTY: options.inputTty ?? false });
  }

  parent(): number {
    return this.parentId;
  }

  on(signal: SignalName, listener: () => void): void {
    this.listeners.set(signal, (this.listeners.get(signal) ?? new Set()).add(listener));
  }

  off(signal: SignalName, listener: () => void): void {
    this.listeners.get(signal)?.delete(listener);
  }

  exit(code: number): void {
    this.exits.push(code);
  }

  die(signal: SignalName): void {
    this.exits.push(EXIT_CODES[signal]);
  }

  /** Delivers a signal. */
  raise(signal: SignalName): void {
    for (const listener of this.listeners.get(signal) ?? []) listener();
  }

  /** How many handlers are still installed. */
  get handlers(): number {
    return [...this.listeners.values()].reduce((sum, set) => sum + set.size, 0);
  }
}

/** A clock that stands until it is moved, and runs what is due when it is. */
export class FakeClock {
  time = 0;
  private timers: { due: number; period: number; tick: () => void }[] = [];
  readonly now = () => this.time;
  readonly every = (period: number, tick: () => void) => {
    const timer = { due: this.time + period, period, tick };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((one) => one !== timer);
    };
  };

  advance(milliseconds: number): void {
    const end = this.time + milliseconds;
    for (;;) {
      const next = this.timers.filter(({ due }) => due <= end).sort((a, b) => a.due - b.due)[0];
      if (!next) break;
      this.time = next.due;
      next.due += next.period;
      next.tick();
    }
    this.time = end;
  }

  get running(): number {
    return this.timers.length;
  }
}
