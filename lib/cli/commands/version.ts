// `qwen-pt version`. Reads package.json and nothing else: it must answer at once and without libtorch.
import { packageVersion } from "../../version.js";
import type { CommandMain } from "../terminal/host.js";

export const run: CommandMain = async (_args, host) => {
  host.out.write(`qwen-pt ${packageVersion()}\n`);
  return 0;
};
