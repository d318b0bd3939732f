// What a command sees of the process it runs in: streams, environment, signals, exit. The one place that reads them
// from node; tests pass commands their own host.

/** Somewhere to write text: a terminal, a pipe, or a test's buffer. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export type SignalName = "SIGINT" | "SIGTERM" | "SIGHUP";

export interface Host {
  readonly out: Output;
  readonly err: Output;
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly env: NodeJS.ProcessEnv;
  readonly pid: number;
  /** The parent's id, asked again each time: it changes when the parent dies. */
  parent(): number;
  on(signal: SignalName, listener: () => void): void;
  off(signal: SignalName, listener: () => void): void;
  /** Ends the process; waits for a worker that is in the middle of a native call. */
  exit(code: number): void;
  /** Ends the process at once, by the signal's own default action: a shell sees 128 and the signal's number. */
  die(signal: SignalName): void;
}

/** The real one. */
export function processHost(): Host {
  return {
    out: process.stdout,
    err: process.stderr,
    input: process.stdin,
    env: process.env,
    pid: process.pid,
    parent: () => process.ppid,
    on: (signal, listener) => void process.on(signal, listener),
    off: (signal, listener) => void process.off(signal, listener),
    exit: (code) => process.exit(code),
    die: (signal) => {
      // process.exit would join a training thread first, and a slow micro-step takes many seconds
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    },
  };
}

/** Runs a command; resolves to the exit code. */
export type CommandMain = (args: readonly string[], host: Host) => Promise<number>;
