// Ctrl-C, SIGTERM, SIGHUP and a parent that died, turned into one abort and, if it is repeated, an immediate exit.
// Decides nothing about what to save: that is the trainer's, once its AbortSignal fires.
import { readFileSync, readlinkSync } from "node:fs";
import path from "node:path";
import type { Host, SignalName } from "./host.js";

/** The exit code of a process that a signal ended: 128 and the signal's number. */
export const EXIT_CODES: Readonly<Record<SignalName, number>> = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };

/** npm hands its child the signal that the terminal has already sent to both. */
const ECHO_MS = 500;
const PARENT_POLL_MS = 500;

export interface SignalWatch {
  /** Fires at the first signal. */
  readonly signal: AbortSignal;
  /** The exit code that the first signal asks for; undefined while there was none. */
  readonly exitCode: number | undefined;
  /** Takes every handler off again. */
  stop(): void;
}

export interface SignalOptions {
  host: Host;
  /** Told of the first signal. */
  onFirst?: (cause: SignalName | "parent") => void;
  /** Told just before the exit at the second. */
  onSecond?: () => void;
  /** For tests. */
  now?: () => number;
  every?: (milliseconds: number, tick: () => void) => () => void;
  hangupIgnored?: () => boolean;
  ancestry?: () => string;
}

/** Starts to listen. The first signal aborts; a second one exits at once with its own code. */
export function watchSignals(options: SignalOptions): SignalWatch {
  const { host, now = Date.now, every = interval } = options;
  const controller = new AbortController();
  const throughNpm = startedByNpm(host.env);
  let exitCode: number | undefined;
  let first: { name: SignalName; at: number } | undefined;

  const receive = (name: SignalName, cause: SignalName | "parent") => {
    if (first === undefined) {
      first = { name, at: now() };
      exitCode = EXIT_CODES[name];
      options.onFirst?.(cause);
      controller.abort();
      return;
    }
    // a dead parent does not hurry anyone who is already leaving
    if (cause === "parent") return;
    if (throughNpm && name === first.name && now() - first.at < ECHO_MS) return;
    options.onSecond?.();
    host.die(name);
  };

  const ignored = (options.hangupIgnored ?? (() => hangupIgnoredAtStart(host)))();
  const listeners: [SignalName, () => void][] = [
    ["SIGINT", () => receive("SIGINT", "SIGINT")],
    ["SIGTERM", () => receive("SIGTERM", "SIGTERM")],
    // node restores the default action of every signal, so it must be ignored again
    ["SIGHUP", ignored ? () => {} : () => receive("SIGHUP", "SIGHUP")],
  ];
  for (const [name, listener] of listeners) host.on(name, listener);

  let unwatch = () => {};
  if (throughNpm || host.env.QWEN_PT_LAUNCHER) {
    const ancestry = options.ancestry ?? (() => ancestryOf(host));
    const start = ancestry();
    unwatch = every(PARENT_POLL_MS, () => {
      if (ancestry() === start) return;
      unwatch();
      receive("SIGTERM", "parent");
    });
  }
  return {
    signal: controller.signal,
    get exitCode() {
      return exitCode;
    },
    stop() {
      unwatch();
      for (const [name, listener] of listeners) host.off(name, listener);
    },
  };
}

function interval(milliseconds: number, tick: () => void): () => void {
  const timer = setInterval(tick, milliseconds);
  timer.unref();
  return () => clearInterval(timer);
}

/** npx and `npm run` leave these in the environment. They do not forward SIGTERM. */
export function startedByNpm(env: NodeJS.ProcessEnv): boolean {
  return Boolean(env.npm_execpath || env.npm_lifecycle_event || env.npm_command);
}

/** What to type for this program, as whoever started it did. */
export function programOf(env: NodeJS.ProcessEnv): string {
  return startedByNpm(env) ? "npx qwen-pt" : "qwen-pt";
}

/** The parent, and its parent where the parent is only the shell that npm puts between: it outlives npm. */
function ancestryOf(host: Host): string {
  const parent = host.parent();
  const stat = procFile(`${parent}/stat`);
  // pid (name) state ppid ...; the name may hold anything, so cut at its last bracket
  const [, name = "", rest = ""] = /^\d+ \((.*)\) \S (\d+)/s.exec(stat) ?? [];
  return /^(?:ba|da|a|z|k)?sh$/.test(name) ? `${parent} ${rest}` : String(parent);
}

/** Whether whoever started this process wanted it to outlive the terminal. Node has already restored the default
 * action by now, so the signs are indirect: nohup in `_`, the write-only /dev/null that nohup makes of a terminal's
 * standard input, or a parent that itself ignores SIGHUP (`trap '' HUP`). */
export function hangupIgnoredAtStart(host: Pick<Host, "env" | "parent">): boolean {
  if (path.basename(host.env._ ?? "") === "nohup") return true;
  if (ignoresHangup(procFile("self/status"))) return true;
  const parent = host.parent();
  if (parent > 1 && ignoresHangup(procFile(`${parent}/status`))) return true;
  const access = /^flags:\s*(\d+)$/m.exec(procFile("self/fdinfo/0"))?.[1] ?? "0";
  return (Number.parseInt(access, 8) & 3) === 1 && procLink("self/fd/0") === "/dev/null";
}

/** Bit 0 of the mask of ignored signals is signal 1, SIGHUP. */
function ignoresHangup(status: string): boolean {
  const mask = /^SigIgn:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  return mask !== undefined && (Number.parseInt(mask.slice(-1), 16) & 1) === 1;
}

function procFile(name: string): string {
  try {
    return readFileSync(`/proc/${name}`, "utf8");
  } catch {
    return "";
  }
}

function procLink(name: string): string {
  try {
    return readlinkSync(`/proc/${name}`);
  } catch {
    return "";
  }
}
