// Finds libtorch for both build systems, and installs it where there is none:
//   1. LIBTORCH, a folder with lib/ and include/;  2. the active Python's torch, where LIBTORCH_USE_PYTORCH=1;
//   3. a private Python environment under the project, .libtorch/, filled by pip.
// It does not build anything. Run by itself: `node scripts/libtorch.mjs` prints where libtorch is.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { withLock } from "./lock.mjs";
import { downloadSize, makeEnvironment, namesAnIndex, pipInstall, pipPlan, sitePackages } from "./pip.mjs";
import { atLeast, checkNode, checkPlatform, onPath, packageFolder, runScript, SetupError } from "./tools.mjs";

export const projectRoot = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
export const environment = path.join(projectRoot, ".libtorch");
export const torchVersion = "2.13.0";
const oldestVersion = "2.11";
const publicCpuIndex = "https://download.pytorch.org/whl/cpu";

const libraryName = { linux: "libtorch_cpu.so", darwin: "libtorch_cpu.dylib", win32: "torch_cpu.dll" }[
  process.platform
];

/** The version of the libtorch in `root` ("2.13.0+cpu"), from the file that a wheel or an archive carries. */
export function versionOf(root) {
  const read = (name) =>
    existsSync(path.join(root, name)) ? readFileSync(path.join(root, name), "utf8") : "";
  const fromWheel = read("version.py").match(/^__version__ = '([^']+)'/m)?.[1];
  return fromWheel ?? read("build-version").trim();
}

/** Throws unless `root` holds a libtorch that the addon builds against. `where` names the setting to mend. */
function checked(root, where) {
  if (!existsSync(path.join(root, "lib", libraryName ?? "libtorch_cpu.so"))) {
    throw new SetupError(
      `${where}: ${root} has no lib/${libraryName}; it must be libtorch's folder (with lib/ and include/).`,
    );
  }
  const version = versionOf(root);
  if (version === "" || !atLeast(version.split("+")[0], oldestVersion)) {
    throw new SetupError(
      `${where}: libtorch ${version || "of unknown version"} is too old: ${oldestVersion} or newer is needed.`,
    );
  }
  return { root: path.resolve(root), version };
}

function fromActivePython() {
  const script =
    "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')";
  for (const command of [["python"], ["python3"], ["py", "-3"]]) {
    const result = spawnSync(command[0], [...command.slice(1), "-c", script], { encoding: "utf8" });
    const root = result.status === 0 ? result.stdout.trim() : "";
    if (root !== "") return checked(root, "LIBTORCH_USE_PYTORCH");
  }
  throw new SetupError(
    "LIBTORCH_USE_PYTORCH=1, but the active Python has no torch: activate its environment or unset the variable.",
  );
}

function ready() {
  try {
    const { root } = JSON.parse(readFileSync(path.join(environment, "ready.json"), "utf8"));
    return checked(root, ".libtorch");
  } catch {
    return undefined;
  }
}

/** libtorch where one is named or already installed, else undefined. Installs nothing. */
export function findLibtorch(env = process.env) {
  if (env.LIBTORCH) return checked(env.LIBTORCH, "LIBTORCH");
  if (env.LIBTORCH_USE_PYTORCH === "1") return fromActivePython();
  return ready();
}

/** True where an NVIDIA driver is loaded: then the wheel with CUDA is wanted. */
function hasNvidiaDriver() {
  if (process.platform === "linux" && existsSync("/proc/driver/nvidia/version")) return true;
  return onPath("nvidia-smi") !== undefined && spawnSync("nvidia-smi", ["-L"]).status === 0;
}

/** pip's arguments to try, in order. */
function attempts(cuda) {
  const plain = `torch==${torchVersion}`;
  if (cuda) return [[plain]];
  if (process.platform === "darwin") return [["--no-deps", plain]];
  const list = [["--no-deps", `${plain}+cpu`]];
  if (!namesAnIndex(environment)) list.push(["--no-deps", "--index-url", publicCpuIndex, `${plain}+cpu`]);
  return [...list, ["--no-deps", plain]];
}

function say(text) {
  process.stderr.write(`qwen-pt: ${text}\n`);
}

async function sayPlan(plan) {
  const bytes = plan === "unknown" ? undefined : await downloadSize(plan);
  if (bytes === 0) say("installing libtorch into .libtorch/ (nothing to download: pip has the wheel here)");
  else if (bytes !== undefined) say(`downloading libtorch into .libtorch/: ${Math.round(bytes / 1e6)} MB`);
  else say("downloading libtorch into .libtorch/");
}

async function install() {
  const cuda = hasNvidiaDriver();
  const size = cuda ? "about 2.5 GB, with CUDA for the NVIDIA driver found here" : "about 200 MB";
  say(`libtorch ${torchVersion} comes from pip, once (a download of ${size}); LIBTORCH=/path uses your own`);
  makeEnvironment(environment);
  let problem = "";
  for (const args of attempts(cuda)) {
    const plan = pipPlan(environment, args);
    if (plan === undefined) continue;
    await sayPlan(plan);
    // Compiling torch's thousand Python files takes longer than unpacking them, and nothing here runs them.
    problem = await pipInstall(environment, ["--no-compile", ...args]);
    if (problem !== "") continue;
    const root = path.join(sitePackages(environment), "torch");
    const found = checked(root, ".libtorch");
    writeFileSync(path.join(environment, "ready.json"), `${JSON.stringify(found)}\n`);
    return found;
  }
  throw new SetupError(
    `pip found no torch==${torchVersion} for this Python and system${problem && ` (${problem})`}: check the network or pip's index (pip config list), or set LIBTORCH.`,
  );
}

/** libtorch, installed first where there is none. Resolves to { root, version }. */
export async function ensureLibtorch() {
  checkNode();
  checkPlatform();
  return findLibtorch() ?? (await withLock(environment, async () => ready() ?? (await install())));
}

const forward = (folder) => folder.replaceAll("\\", "/");

/** What a build file asks for: folders with forward slashes. */
async function print(what) {
  if (what === "node-addon-api") return forward(packageFolder("node-addon-api"));
  if (what === "node-api-headers") return forward(path.join(packageFolder("node-api-headers"), "include"));
  const { root } = await ensureLibtorch();
  if (what !== "cmake") return forward(root);
  return [forward(root), await print("node-addon-api"), await print("node-api-headers")].join(";");
}

if (process.argv[1] && import.meta.url === pathToFileURL(realpathSync(process.argv[1])).href) {
  await runScript(async () => {
    const flag = process.argv.indexOf("--print");
    process.stdout.write(`${await print(flag < 0 ? "root" : process.argv[flag + 1])}\n`);
  });
}
