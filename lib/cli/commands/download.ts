// `qwen-pt download NAME ...`: fetches models into the cache, for machines that train without a network. What is there
// already is not fetched again.

import { UserError } from "../../errors.js";
import type { HubKeys, ModelOptions } from "../../hub/index.js";
import { readArguments } from "../terminal/arguments.js";
import { DownloadLine } from "../terminal/download-line.js";
import type { CommandMain } from "../terminal/host.js";
import { Progress } from "../terminal/progress.js";
import { EXIT_CODES } from "../terminal/signals.js";

export const run: CommandMain = async (args, host) => {
  const rest: string[] = [];
  const names: string[] = [];
  for (const arg of args) (isName(arg, rest.at(-1)) ? names : rest).push(arg);
  const { options, recipe, overrides } = readArguments("download", rest);
  const stray = recipe ?? overrides[0];
  if (stray !== undefined) {
    throw new UserError(`download: ${stray} is no repository's name; write it such as Qwen/Qwen3-0.6B`);
  }
  const { adapter } = options;
  if (names.length === 0 && adapter === undefined) {
    throw new UserError("download needs a name: qwen-pt download Qwen/Qwen3-0.6B");
  }
  const { fetchAdapter, fetchModel } = await import("../../hub/index.js");
  const keys: HubKeys = { model_revision: options.revision, cache_dir: options["cache-dir"] };
  const line = new DownloadLine(new Progress({ out: host.err, env: host.env }));
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  host.on("SIGINT", onSignal);
  const to: ModelOptions = { keys, env: host.env, signal: stop.signal, onEvent: (event) => line.show(event) };
  try {
    for (const name of names) host.out.write(`${await fetchModel(name, to)}\n`);
    if (adapter !== undefined) host.out.write(`${await fetchAdapter(adapter, to)}\n`);
    return 0;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    line.stop();
    host.err.write("interrupted; the same command goes on where it stopped\n");
    return EXIT_CODES.SIGINT;
  } finally {
    line.stop();
    host.off("SIGINT", onSignal);
  }
};

/** A value of `--adapter NAME` is the option's. */
function isName(arg: string, before: string | undefined): boolean {
  return /^[\w.-]+\/[\w.-]+$/.test(arg) && !arg.startsWith("-") && !/^--?[a-z-]+$/.test(before ?? "");
}
