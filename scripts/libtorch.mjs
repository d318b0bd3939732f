// Finds libtorch for both build systems, and installs it where there is none:
//   1. LIBTORCH, a folder with lib/ and include/;  2. the active Python's torch, where LIBTORCH_USE_PYTORCH=1;
//   3. a private Python environment under the project, .libtorch/, filled by pip.
// An installed package has its own order and place: setup.mjs. It does not build anything. Run alone: `node scripts/libtorch.mjs` prints where libtorch is.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { askDriver, chooseBuild } from "./cuda.mjs";
import { withLock } from "./lock.mjs";
import { downloadSize, makeEnvironment, namesAnIndex, pipInstall, pipPlan, sitePackages } from "./pip.mjs";
import { atLeast, checkNode, checkPlatform, packageFolder, runScript, SetupError } from "./tools.mjs";

export const projectRoot = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
export const environment = path.join(projectRoot, ".libtorch");
export const torchVersion = "2.13.0";
const oldestVersion = "2.11";
const publicIndex = "https://download.pytorch.org/whl"; // and the build's name

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

/** The folder of the active Python's torch, or undefined. Nothing is imported. */
function torchOfPython() {
  const script =
    "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')";
  for (const command of [["python"], ["python3"], ["py", "-3"]]) {
    const result = spawnSync(command[0], [...command.slice(1), "-c", script], { encoding: "utf8" });
    const root = result.status === 0 ? result.stdout.trim() : "";
    if (root !== "") return root;
  }
  return undefined;
}

function fromActivePython() {
  const root = torchOfPython();
  if (root !== undefined) return checked(root, "LIBTORCH_USE_PYTORCH");
  throw new SetupError(
    "LIBTORCH_USE_PYTORCH=1, but the active Python has no torch: activate its environment or unset the variable.",
  );
}

/** The active Python's torch where the addon can be built against it: undefined, or { root, version } or { unfit }. */
export function importableLibtorch() {
  const root = torchOfPython();
  if (root === undefined) return undefined;
  try {
    const found = checked(root, "the active Python's torch");
    if (existsSync(path.join(root, "include", "ATen"))) return found;
    return { unfit: `the active Python's torch: ${root} has no headers (include/ATen).` };
  } catch (error) {
    return { unfit: error.message };
  }
}

/** The libtorch that installInto() left in a folder, or undefined. */
export function installedIn(folder) {
  try {
    const { root } = JSON.parse(readFileSync(path.join(folder, "ready.json"), "utf8"));
    return checked(root, folder);
  } catch {
    return undefined;
  }
}

/** The CUDA that the libtorch in `root` was built for ("13.0"), or undefined for a CPU build. */
export function cudaOf(root) {
  const library = process.platform === "win32" ? "torch_cuda.dll" : "libtorch_cuda.so";
  if (!existsSync(path.join(root, "lib", library))) return undefined;
  const file = path.join(root, "version.py");
  const named = existsSync(file)
    ? readFileSync(file, "utf8").match(/^cuda\b.*= '([\d.]+)'/m)?.[1]
    : undefined;
  const digits = versionOf(root).match(/\+cu(\d+)(\d)$/);
  return named ?? (digits ? `${digits[1]}.${digits[2]}` : "unknown");
}

/** libtorch where the environment names one, else undefined. */
export function namedLibtorch(env = process.env) {
  if (env.LIBTORCH) return checked(env.LIBTORCH, "LIBTORCH");
  if (env.LIBTORCH_USE_PYTORCH === "1") return fromActivePython();
  return undefined;
}

/** libtorch for a clone, where one is named or already installed, else undefined. Installs nothing. */
export const findLibtorch = (env = process.env) => namedLibtorch(env) ?? installedIn(environment);

/** The build that this machine wants ("cpu", "cu130", ...) and why. */
export function wantedBuild() {
  const { cards = [], problem } = askDriver() ?? {};
  if (cards.length === 0 && problem) return { build: "cpu", why: `nvidia-smi reports no card (${problem})` };
  return chooseBuild(cards);
}

/** pip's arguments to try, in order. PyPI's own wheel is built for CUDA 13.0 on Linux, for CPUs elsewhere. */
function attempts(folder, build) {
  const plain = `torch==${torchVersion}`;
  if (process.platform === "darwin") return [["--no-deps", plain]];
  const flags = build === "cpu" ? ["--no-deps"] : []; // a CUDA build needs NVIDIA's libraries, which are packages
  const list = [[...flags, `${plain}+${build}`]];
  const plainFirst = build === "cu130" && process.platform === "linux";
  if (plainFirst) list.push([plain]);
  if (!namesAnIndex(folder))
    list.push([...flags, "--index-url", `${publicIndex}/${build}`, `${plain}+${build}`]);
  if (build === "cpu") list.push([...flags, plain]);
  return list;
}

function say(text) {
  process.stderr.write(`qwen-pt: ${text}\n`);
}

/** What pip is about to fetch: the files, their size, the server; a line before it begins. */
async function sayPlan(plan, folder) {
  const place = path.relative(process.cwd(), folder).startsWith("..")
    ? folder
    : path.relative(process.cwd(), folder);
  if (plan === "unknown") return say(`downloading libtorch into ${place}`);
  const bytes = await downloadSize(plan);
  const wheel = decodeURIComponent(plan.find((url) => /\/torch-\d/.test(url)) ?? plan[0] ?? "torch")
    .split("/")
    .at(-1);
  const files = `${wheel.replace(/#.*/, "")}${plan.length > 1 ? ` and ${plan.length - 1} more packages` : ""}`;
  if (bytes === 0) return say(`installing ${files} into ${place} (nothing to download: pip has it here)`);
  const servers = [
    ...new Set(plan.filter((url) => !url.startsWith("file:")).map((url) => new URL(url).host)),
  ];
  const size = bytes === undefined ? "" : `, ${Math.round(bytes / 1e6)} MB`;
  say(`downloading ${files}${size} from ${servers.join(", ")} into ${place}`);
}

const sizeOf = (build) => (build === "cpu" ? "about 200 MB" : "about 2.5 GB, with CUDA");

/** Installs `build` by pip into a virtual environment in `folder`. An interrupted one starts over. */
export async function installInto(folder, { build, why }) {
  const wanted = `libtorch ${torchVersion} (${build}${why ? `: ${why}` : ""})`;
  say(`${wanted} comes from pip, once (a download of ${sizeOf(build)}); LIBTORCH=/path uses your own`);
  makeEnvironment(folder);
  let problem = "";
  for (const args of attempts(folder, build)) {
    const plan = pipPlan(folder, args);
    if (plan === undefined) continue;
    await sayPlan(plan, folder);
    // Compiling torch's thousand Python files takes longer than unpacking them, and nothing here runs them.
    problem = await pipInstall(folder, ["--no-compile", ...args]);
    if (problem !== "") continue;
    const found = checked(path.join(sitePackages(folder), "torch"), folder);
    if (build !== "cpu" && cudaOf(found.root) === undefined)
      say(`warning: pip's index has only the CPU build of torch ${torchVersion}: the GPU will not be used`);
    writeFileSync(path.join(folder, "ready.json"), `${JSON.stringify(found)}\n`);
    return found;
  }
  const other = build === "cpu" ? "" : ` of the build ${build}, which ${publicIndex}/${build} has`;
  throw new SetupError(
    `pip found no torch==${torchVersion}${other} for this Python and system${problem && ` (${problem})`}: check the network or pip's index (pip config list), or set LIBTORCH.`,
  );
}

/** libtorch for a clone, installed first where there is none. Resolves to { root, version }. */
export async function ensureLibtorch() {
  checkNode();
  checkPlatform();
  return (
    findLibtorch() ??
    (await withLock(
      environment,
      async () => installedIn(environment) ?? (await installInto(environment, wantedBuild())),
    ))
  );
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
