// The way from the arguments to a command. Turns what a command throws into one line and an exit code. Which commands
// there are is said in commands/table.ts.
import { nearestName } from "../config/nearest.js";
import { withoutTokens } from "../config/secret.js";
import { messageOf, UserError } from "../errors.js";
import { LANGUAGES, type Language, languageOf, speak } from "../languages/language.js";
import { COMMANDS, ELSEWHERE } from "./commands/table.js";
import type { Host } from "./terminal/host.js";

const ALIASES: ReadonlyMap<string, string> = new Map([
  ["--help", "help"],
  ["-h", "help"],
  ["--version", "version"],
  ["-v", "version"],
]);

/** Whether the command that `args` name goes on when the reader of its output goes away. */
export function outlivesReader([name = ""]: readonly string[]): boolean {
  return Object.hasOwn(COMMANDS, name) && COMMANDS[name]?.outlivesReader === true;
}

/** Runs the command that `args` name and returns its exit code. Prints an error as one line; never throws. */
export async function dispatch(args: readonly string[], host: Host): Promise<number> {
  try {
    const [given, ...rest] = chooseLanguage(args, host.env);
    if (given === undefined) {
      const { usage } = await import("./commands/help.js");
      host.err.write(`${usage()}\n`);
      return 1;
    }
    const name = ALIASES.get(given) ?? given;
    if (name === "help") return await help(rest, host);
    const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (command === undefined) {
      const near = nearestName(name, [...Object.keys(COMMANDS), "help"]);
      const all = "qwen-pt help lists them all";
      const guess = near === undefined ? all : `did you mean \`qwen-pt ${near}\`? (${all})`;
      const advice = ELSEWHERE.get(name) ?? guess;
      host.err.write(`error: unknown command ${given}; ${advice}\n`);
      return 1;
    }
    if (rest.includes("-h") || rest.includes("--help")) return await help([name], host);
    const { run } = await command.load();
    return await run(rest, host);
  } catch (error) {
    host.err.write(`${describe(error, host.env)}\n`);
    return 1;
  }
}

/** Sets the language: `--lang zh`, anywhere in the line, before the environment. Returns the other arguments. */
function chooseLanguage(args: readonly string[], env: NodeJS.ProcessEnv): string[] {
  const at = args.findIndex((arg) => /^--lang(?:=|$)/.test(arg));
  speak(languageOf(env));
  if (at < 0) return [...args];
  const joined = /^--lang=(.*)$/.exec(args[at] as string)?.[1];
  const language = joined ?? args[at + 1] ?? "";
  if (!LANGUAGES.includes(language as Language))
    throw new UserError(`--lang ${language}: it is one of ${LANGUAGES.join(", ")}`);
  speak(language as Language);
  return args.toSpliced(at, joined === undefined ? 2 : 1);
}

/** The one command that shows the table, and is therefore not in it. */
async function help(args: readonly string[], host: Host): Promise<number> {
  const { run } = await import("./commands/help.js");
  return run(args, host);
}

/** One line for an error. A stack trace only where QWEN_PT_DEBUG asks for it. */
export function describe(error: unknown, env: NodeJS.ProcessEnv): string {
  const message =
    withoutTokens(messageOf(error))
      .replace(/\s*[\r\n]+\s*/g, " ")
      .trim() || "unknown error";
  if (env.QWEN_PT_DEBUG) return `error: ${error instanceof Error && error.stack ? error.stack : message}`;
  // an error that crossed from the worker has lost its class but not its name
  const expected = error instanceof Error && ["UserError", "DistributedError"].includes(error.name);
  return expected
    ? `error: ${message}`
    : `error: ${message} (unexpected: set QWEN_PT_DEBUG=1 for the stack trace)`;
}
