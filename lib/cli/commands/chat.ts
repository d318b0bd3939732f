// `qwen-pt chat`: continues prompts, token by token. A conversation format is not applied: a model that was
// pre-trained further continues text.
import { createInterface } from "node:readline";
import type { Recipe } from "../../config/index.js";
import { UserError } from "../../errors.js";
import type { Completer } from "../../inference/completer.js";
import { readArguments } from "../terminal/arguments.js";
import { DownloadLine } from "../terminal/download-line.js";
import type { CommandMain, Host } from "../terminal/host.js";
import { Progress } from "../terminal/progress.js";
import { EXIT_CODES } from "../terminal/signals.js";

export const run: CommandMain = async (args, host) => {
  const found = readArguments("chat", args);
  const { recipe, notes } = await chatRecipe(found.recipe, found.options, found.overrides, host);
  for (const note of notes) host.err.write(`${note}\n`);
  const { openCompleter } = await import("../../inference/completer.js");
  const download = new DownloadLine(new Progress({ out: host.err, env: host.env }));
  const completer = await openCompleter(recipe, (event) => download.show(event)).finally(() =>
    download.stop(),
  );
  return chat(completer, found.options.prompt, host);
};

/** From a file, or from --model and --adapter; overrides come last either way. */
async function chatRecipe(
  file: string | undefined,
  options: Readonly<Record<string, string>>,
  overrides: string[],
  host: Host,
): Promise<{ recipe: Recipe; notes: readonly string[] }> {
  const { loadRecipe, resolveRecipe } = await import("../../config/index.js");
  const { model, adapter } = options;
  const extra = adapter === undefined ? [] : [`adapter_name_or_path=${adapter}`];
  if (file !== undefined) {
    const base = model === undefined ? [] : [`model_name_or_path=${model}`];
    return loadRecipe(file, [...base, ...extra, ...overrides], { for: "chat", env: host.env });
  }
  if (model === undefined) {
    throw new UserError(
      "chat needs a model: qwen-pt chat recipe.yaml, or qwen-pt chat --model DIR [--adapter DIR]",
    );
  }
  const input = { model_name_or_path: model };
  return resolveRecipe(input, {
    for: "chat",
    env: host.env,
    source: "chat",
    overrides: [...extra, ...overrides],
  });
}

/** Completes `prompt`, or else every line of standard input. Resolves to the exit code. Ctrl-C ends a completion; at a
 * terminal's prompt, or where there is none to go back to, it ends the command. */
export async function chat(completer: Completer, prompt: string | undefined, host: Host): Promise<number> {
  const interactive = prompt === undefined && host.input.isTTY === true;
  let running: AbortController | undefined;
  let code = 0;
  const leave = (name: "SIGINT" | "SIGTERM") => () => {
    if (running === undefined) host.exit(EXIT_CODES[name]);
    if (name === "SIGTERM" || !interactive) code = EXIT_CODES[name];
    running?.abort();
  };
  const [onInterrupt, onTerminate] = [leave("SIGINT"), leave("SIGTERM")];
  host.on("SIGINT", onInterrupt);
  host.on("SIGTERM", onTerminate);
  try {
    const prompts = prompt === undefined ? lines(host, interactive) : [prompt];
    for await (const text of prompts) {
      running = new AbortController();
      await complete(completer, text, running.signal, host);
      running = undefined;
      if (code !== 0) break;
    }
    return code;
  } finally {
    host.off("SIGINT", onInterrupt);
    host.off("SIGTERM", onTerminate);
  }
}

async function* lines(host: Host, interactive: boolean): AsyncGenerator<string> {
  const ask = () => {
    if (interactive) host.out.write("> ");
  };
  if (interactive)
    host.out.write("Type a text to continue; `exit` or Ctrl-D leaves, Ctrl-C stops a completion.\n");
  const reader = createInterface({ input: host.input, terminal: false, crlfDelay: Number.POSITIVE_INFINITY });
  try {
    ask();
    for await (const line of reader) {
      if (interactive && line.trim() === "exit") return;
      if (line !== "") yield line;
      ask();
    }
    if (interactive) host.out.write("\n");
  } finally {
    reader.close();
  }
}

/** Streams one completion. A character whose bytes are not all there yet is held back. */
async function complete(completer: Completer, text: string, signal: AbortSignal, host: Host): Promise<void> {
  const ids: number[] = [];
  let written = "";
  for await (const id of completer.continue(await completer.encode(text), signal)) {
    ids.push(id);
    const whole = completer.decode(ids);
    if (whole.endsWith("\ufffd")) continue;
    host.out.write(whole.slice(written.length));
    written = whole;
  }
  host.out.write(`${completer.decode(ids).slice(written.length)}\n`);
}
