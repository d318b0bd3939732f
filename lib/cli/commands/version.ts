// `qwen-pt version`. Reads package.json and nothing else: it must answer at once and without libtorch.
import { packageVersion } from "../../version.js";
import { neededNothing, readArguments } from "../terminal/arguments.js";
import type { CommandMain } from "../terminal/host.js";

export const run: CommandMain = async (args, host) => {
  const { flags } = neededNothing("version", readArguments("version", args));
  const version = packageVersion();
  host.out.write(flags.has("json") ? `${JSON.stringify({ version })}\n` : `qwen-pt ${version}\n`);
  return 0;
};
