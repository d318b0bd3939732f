// The Python whose packages trackers' clients are: QWEN_PT_PYTHON, or the one of the environment that holds torch, or the
// first on PATH. Which of the clients it has is asked once, without importing them.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { UserError } from "../../errors.js";
import { addonRecord } from "../../torch/index.js";

/** The bridge's program: assets/tracker_bridge.py. */
export const BRIDGE = fileURLToPath(new URL("../../../assets/tracker_bridge.py", import.meta.url));

const ASK_MS = 30_000;

/** @throws UserError where QWEN_PT_PYTHON names nothing, or no Python is found */
export function trackerPython(env: NodeJS.ProcessEnv = process.env): string {
  const named = env["QWEN_PT_PYTHON"];
  if (named) {
    if (existsSync(named) || onPath(named, env) !== undefined) return named;
    throw new UserError(
      `QWEN_PT_PYTHON: ${named} does not exist; set it to a Python that has the tracker's package`,
    );
  }
  const beside = besideTorch(addonRecord().libtorch);
  const found = beside ?? onPath("python3", env) ?? onPath("python", env);
  if (found !== undefined) return found;
  throw new UserError(
    "report_to: no Python was found for the tracker's client; set QWEN_PT_PYTHON to one that has its package, or report_to: tensorboard, which needs none",
  );
}

/** The Python whose site-packages hold this libtorch: <environment>/lib/python3.x/site-packages/torch. */
function besideTorch(libtorch: string | undefined): string | undefined {
  if (libtorch === undefined || path.basename(path.dirname(libtorch)) !== "site-packages") return undefined;
  const windows = process.platform === "win32";
  const environment = path.resolve(libtorch, windows ? "../../.." : "../../../..");
  const python = windows
    ? path.join(environment, "Scripts", "python.exe")
    : path.join(environment, "bin", "python");
  return existsSync(python) ? python : undefined;
}

function onPath(name: string, env: NodeJS.ProcessEnv): string | undefined {
  const endings = process.platform === "win32" ? [".exe", ""] : [""];
  return (env["PATH"] ?? "")
    .split(path.delimiter)
    .flatMap((folder) => endings.map((ending) => path.join(folder, name + ending)))
    .find((file) => existsSync(file));
}

/** Which of some packages a Python has. @throws UserError where that Python does not start */
export function installedClients(python: string, names: readonly string[]): string[] {
  try {
    const said = execFileSync(python, [BRIDGE, "--installed", ...names], {
      encoding: "utf8",
      timeout: ASK_MS,
      stdio: ["ignore", "pipe", "ignore"],
    });
    return JSON.parse(said) as string[];
  } catch {
    throw new UserError(
      `report_to: ${python} does not run; set QWEN_PT_PYTHON to a Python 3 that has the tracker's package`,
    );
  }
}
