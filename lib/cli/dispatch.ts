// The table of commands and the way to one: each is imported when it is called. Turns what a command throws into one
// line and an exit code.
import { nearestName } from "../config/nearest.js";
import { messageOf } from "../errors.js";
import type { Host } from "./terminal/host.js";

/** Runs a command; resolves to the exit code. */
export type Run = (args: readonly string[], host: Host) => Promise<number>;

interface Command {
  summary: string;
  load(): Promise<{ run: Run }>;
}

/** Every command, in the order in which `help` shows them. */
export const COMMANDS: Readonly<Record<string, Command>> = {
  init: { summary: "write a recipe after four questions", load: () => import("./commands/init.js") },
  train: { summary: "train from a recipe", load: () => import("./commands/train.js") },
  estimate: {
    summary: "how much memory and time a recipe takes",
    load: () => import("./commands/estimate.js"),
  },
  export: {
    summary: "merge an adapter into its base model and save it",
    load: () => import("./commands/export.js"),
  },
  chat: {
    summary: "complete prompts with a base model or an adapter",
    load: () => import("./commands/chat.js"),
  },
  eval: {
    summary: "perplexity on held-out text, before and after",
    load: () => import("./commands/eval.js"),
  },
  download: {
    summary: "fetch a model from a hub into the cache",
    load: () => import("./commands/download.js"),
  },
  corpora: {
    summary: "well-known pre-training sets, with size and license",
    load: () => import("./commands/corpora.js"),
  },
  setup: {
    summary: "find or fetch libtorch and compile the addon",
    load: () => import("./commands/setup.js"),
  },
  doctor: { summary: "what is wrong with this installation", load: () => import("./commands/doctor.js") },
  env: { summary: "versions and hardware, for a bug report", load: () => import("./commands/env.js") },
  version: { summary: "print the version", load: () => import("./commands/version.js") },
  help: { summary: "explain a command or a recipe key", load: () => import("./commands/help.js") },
};

const ALIASES: ReadonlyMap<string, string> = new Map([
  ["--help", "help"],
  ["-h", "help"],
  ["--version", "version"],
  ["-v", "version"],
]);

/** Runs the command that `args` name and returns its exit code. Prints an error as one line; never throws. */
export async function dispatch(args: readonly string[], host: Host): Promise<number> {
  try {
    const [given, ...rest] = args;
    if (given === undefined) {
      const { usage } = await import("./commands/help.js");
      host.err.write(`${usage()}\n`);
      return 1;
    }
    const name = ALIASES.get(given) ?? given;
    const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (command === undefined) {
      const near = nearestName(name, Object.keys(COMMANDS));
      host.err.write(
        `error: unknown command ${given}; did you mean \`qwen-pt ${near}\`? (qwen-pt help lists them all)\n`,
      );
      return 1;
    }
    if (name !== "help" && (rest.includes("-h") || rest.includes("--help"))) {
      const { run } = await import("./commands/help.js");
      return await run([name], host);
    }
    const { run } = await command.load();
    return await run(rest, host);
  } catch (error) {
    host.err.write(`${describe(error, host.env)}\n`);
    return 1;
  }
}

/** One line for an error. A stack trace only where QWEN_PT_DEBUG asks for it. */
export function describe(error: unknown, env: NodeJS.ProcessEnv): string {
  const message =
    messageOf(error)
      .replace(/\s*[\r\n]+\s*/g, " ")
      .trim() || "unknown error";
  if (env.QWEN_PT_DEBUG) return `error: ${error instanceof Error && error.stack ? error.stack : message}`;
  // an error that crossed from the worker has lost its class but not its name
  const expected = error instanceof Error && error.name === "UserError";
  return expected
    ? `error: ${message}`
    : `error: ${message} (unexpected: set QWEN_PT_DEBUG=1 for the stack trace)`;
}
