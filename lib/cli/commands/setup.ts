// `qwen-pt setup [--build NAME] [--plan] [--force]`: libtorch and the addon for an installed package.
// The work is scripts/setup.mjs's, which a clone shares.

import { UserError } from "../../errors.js";
import { cacheFolder } from "../../files/cache-folder.js";
import { isRefusal, type SetupScript, setupScript } from "../../install/scripts.js";
import { neededNothing, readArguments } from "../terminal/arguments.js";
import type { CommandMain } from "../terminal/host.js";
import { EXIT_CODES } from "../terminal/signals.js";

export const run: CommandMain = async (args, host) => {
  const { options, flags } = neededNothing("setup", readArguments("setup", args));
  const script = await setupScript();
  const build = checkedBuild(options["build"] ?? "auto", script);
  const say = (text: string) => void host.err.write(`qwen-pt: ${text}\n`);
  const plan = flags.has("plan");
  const onSignal = (): void => {
    say("interrupted; npx qwen-pt setup goes on from here");
    host.exit(EXIT_CODES.SIGINT);
  };
  host.on("SIGINT", onSignal);
  try {
    const done = await script.setUp({ cache: cacheFolder(), build, plan, force: flags.has("force"), say });
    if (plan) return 0;
    const { native } = await import("../../torch/native.js");
    const { cpuCapability, hasCuda } = native().buildInfo();
    host.out.write(
      `qwen-pt is set up: libtorch ${done.version}, ${hasCuda ? "CUDA" : "CPU"} (${cpuCapability}). Now: npx qwen-pt train recipe.yaml\n`,
    );
    return 0;
  } catch (error) {
    if (isRefusal(error)) throw new UserError(error.message);
    throw error;
  } finally {
    host.off("SIGINT", onSignal);
  }
};

function checkedBuild(name: string, { buildNames }: SetupScript): string {
  if (buildNames.includes(name)) return name;
  throw new UserError(`setup: --build ${name}: it is one of ${buildNames.join(", ")}`);
}
