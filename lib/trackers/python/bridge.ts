// A tracker that is a Python package: its official client, in a process that nothing waits for until the run is over.
// What is said to the client: assets/tracker_bridge.py.
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { messageOf, UserError } from "../../errors.js";
import { jsonLine } from "../../files/json.js";
import { type Ending, shownFigures, type TrackedRun, type Tracker } from "../tracker.js";
import { BRIDGE, hasClient, trackerPython } from "./interpreter.js";

/** Bytes that may wait for a client that does not take them; then figures are dropped. */
const MOST_WAITING = 16 << 20;
const FINISH_SECONDS = 60;
/** What a client printed last, for the reason why it died. */
const MOST_SAID = 4096;

/** What a client needs beside {@link TrackedRun}. */
export interface ClientSettings {
  /** Project in wandb and trackio. */
  readonly project: string;
  readonly swanlab: Readonly<Record<string, string | null>>;
  readonly trackio: Readonly<Record<string, unknown>>;
  /** Values that never appear in a message. */
  readonly secrets: readonly string[];
}

type Answer =
  | { ready: { remember: Record<string, string>; place: string | null } }
  | { error: string }
  | { finished: true };

/** A tracker behind the bridge. `name` is the package's and the word in report_to. */
export class PythonTracker implements Tracker {
  readonly name: string;
  readonly #settings: ClientSettings;
  #python = "";
  #child: ChildProcess | undefined;
  #run: TrackedRun | undefined;
  #said = "";
  #dropped = 0;
  #isOver = false;
  #ended: Promise<void> = Promise.resolve();

  constructor(name: string, settings: ClientSettings) {
    this.name = name;
    this.#settings = settings;
  }

  async check(): Promise<void> {
    this.#python = await trackerPython();
    if (hasClient(this.#python, this.name)) return;
    throw new UserError(
      `report_to: the package ${this.name} is not installed for ${this.#python}; install it with: ${this.#python} -m pip install ${this.name} (or set QWEN_PT_PYTHON to a Python that has it, or report_to: none)`,
    );
  }

  begin(run: TrackedRun): void {
    this.#run = run;
    const child = spawn(this.#python, ["-u", BRIDGE, "3", this.name], {
      stdio: ["pipe", "pipe", "pipe", "pipe"],
      // Ctrl-C goes to a terminal's whole group; the client outlives it to send what it holds
      detached: process.platform !== "win32",
      windowsHide: true,
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr] as Readable[]) {
      stream.setEncoding("utf8");
      stream.on("data", (text: string) => {
        this.#said = (this.#said + text).slice(-MOST_SAID);
      });
    }
    (child.stdin as Writable).on("error", () => {}); // its end is reported by "close"
    createInterface({ input: child.stdio[3] as Readable }).on("line", (line) => this.#hear(line));
    this.#ended = new Promise((resolve) => {
      child.on("error", (error) => {
        this.#fail(error.message);
        resolve();
      });
      child.on("close", (code, signal) => {
        if (!this.#isOver)
          this.#fail(`its client ended (${signal ?? `exit code ${code}`})${this.#lastLine()}`);
        resolve();
      });
    });
    const { name, parameters, startStep, remembered, outputDir } = run;
    const { project, swanlab, trackio } = this.#settings;
    this.#tell({
      begin: {
        name: name ?? null,
        parameters,
        startStep,
        remembered: remembered ?? null,
        dir: outputDir,
        project,
        swanlab,
        trackio,
        fresh_id: freshId(),
      },
    });
  }

  log(figures: Readonly<Record<string, number>>, step: number): void {
    this.#tell({ log: { figures, ...shownFigures(figures), step } });
  }

  artifact({ path, what, step }: { path: string; what: string; step: number }): void {
    this.#tell({ artifact: { path, what, step } });
  }

  /** Waits for the client to deliver, for a minute at most (QWEN_PT_TRACKER_TIMEOUT, in seconds). */
  async finish(ending: Ending): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.#tell({ finish: ending });
    child.stdin?.end();
    const seconds = Number(process.env["QWEN_PT_TRACKER_TIMEOUT"] || FINISH_SECONDS);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(() => resolve("late"), 1000 * seconds);
    });
    const how = await Promise.race([this.#ended, late]);
    clearTimeout(timer);
    if (how === "late") {
      this.#fail(`it did not take everything within ${seconds} s (QWEN_PT_TRACKER_TIMEOUT sets the limit)`);
      child.kill("SIGKILL");
    }
    for (const stream of child.stdio) stream?.destroy();
    child.unref();
    if (this.#dropped > 0)
      this.#run?.say(
        `report_to: ${this.name}: ${this.#dropped} log entries were dropped because it took them too slowly; trainer_log.jsonl has them all`,
        "warning",
      );
  }

  #tell(command: Readonly<Record<string, unknown>>): void {
    const input = this.#child?.stdin;
    if (this.#isOver || !input?.writable) return;
    if (input.writableLength > MOST_WAITING && !("finish" in command)) {
      this.#dropped++;
      return;
    }
    input.write(jsonLine(command)); // the bridge reads a NaN that is text as a number
  }

  /** An answer comes when nobody calls: what goes wrong with it (a full disk) must not end the process. */
  #hear(line: string): void {
    try {
      this.#take(JSON.parse(line) as Answer);
    } catch (error) {
      this.#fail(messageOf(error));
    }
  }

  #take(answer: Answer): void {
    if ("error" in answer) this.#fail(answer.error);
    else if ("finished" in answer) this.#isOver = true;
    else {
      const { remember, place } = answer.ready;
      this.#run?.remember(remember);
      if (place !== null) this.#run?.say(`report_to: ${this.name}: the run is at ${place}`);
    }
  }

  #fail(why: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#run?.say(
      `report_to: ${this.name}: ${this.#masked(why)}; nothing more is reported to it, the run goes on and trainer_log.jsonl has every figure`,
      "warning",
    );
  }

  #masked(text: string): string {
    return this.#settings.secrets.reduce((rest, secret) => rest.replaceAll(secret, "..."), text);
  }

  #lastLine(): string {
    const line = this.#said.trim().split("\n").at(-1)?.trim() ?? "";
    return line === "" ? "" : `: ${line.slice(0, 300)}`;
  }
}

/** 21 lower-case letters and digits, as SwanLab wants an id. */
function freshId(): string {
  const letters = "abcdefghijklmnopqrstuvwxyz0123456789";
  const bytes = crypto.getRandomValues(new Uint8Array(21));
  return Array.from(bytes, (byte) => letters[byte % letters.length]).join("");
}
