// The Python whose packages trackers' clients are: QWEN_PT_PYTHON, or the one of the environment that holds torch, or the
// first on PATH. Whether it has a client is asked without importing it.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { UserError } from "../../errors.js";
import { pipScript, toolsScript } from "../../install/scripts.js";
import { addonRecord } from "../../torch/index.js";

/** The bridge's program: assets/tracker_bridge.py. */
export const BRIDGE = fileURLToPath(new URL("../../../assets/tracker_bridge.py", import.meta.url));

const ASK_MS = 30_000;

/** @throws UserError where QWEN_PT_PYTHON names nothing, or no Python is found */
export async function trackerPython(): Promise<string> {
  const [{ onPath }, { pythonBeside }] = await Promise.all([toolsScript(), pipScript()]);
  const named = process.env["QWEN_PT_PYTHON"];
  if (named) {
    if (existsSync(named) || onPath(named) !== undefined) return named;
    throw new UserError(
      `QWEN_PT_PYTHON: ${named} does not exist; set it to a Python that has the tracker's package`,
    );
  }
  const { libtorch } = addonRecord();
  const beside = libtorch === undefined ? undefined : pythonBeside(libtorch);
  const found = beside ?? onPath("python3") ?? onPath("python");
  if (found !== undefined) return found;
  throw new UserError(
    "report_to: no Python was found for the tracker's client; set QWEN_PT_PYTHON to one that has its package, or report_to: tensorboard, which needs none",
  );
}

/** Whether a Python has a package. @throws UserError where that Python does not start */
export function hasClient(python: string, name: string): boolean {
  try {
    const said = execFileSync(python, [BRIDGE, "--installed", name], {
      encoding: "utf8",
      timeout: ASK_MS,
      stdio: ["ignore", "pipe", "ignore"],
    });
    return (JSON.parse(said) as string[]).includes(name);
  } catch {
    throw new UserError(
      `report_to: ${python} does not run; set QWEN_PT_PYTHON to a Python 3 that has the tracker's package`,
    );
  }
}
