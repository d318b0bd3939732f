// The tools that the build needs from the machine: which are missing or too old, and how to get them.
// Every refusal is one line. Knows nothing of libtorch.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(import.meta.url);

/** A refusal that the user can act on: shown as one line, without a stack. */
export class SetupError extends Error {}

/** Runs `main`; a SetupError becomes one line on stderr and exit status 1. */
export async function runScript(main) {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`qwen-pt: ${error.message}\n`);
    process.exit(1);
  }
}

const isWindows = process.platform === "win32";

/** First line of a command's output, or undefined where it is missing or fails. */
function firstLine(command, args) {
  const result = spawnSync(command, args, { encoding: "utf8" });
  if (result.error || result.status !== 0) return undefined;
  return `${result.stdout}${result.stderr}`.split("\n")[0].trim();
}

/** The folder of an installed npm package. */
export function packageFolder(name) {
  try {
    return path.dirname(require.resolve(`${name}/package.json`));
  } catch {
    throw new SetupError(`the npm package ${name} is not installed: run npm ci first.`);
  }
}

/** Full path of a command on PATH, or undefined. */
export function onPath(name) {
  const endings = isWindows ? (process.env.PATHEXT ?? ".EXE;.CMD").split(";") : [""];
  for (const folder of (process.env.PATH ?? "").split(path.delimiter)) {
    for (const ending of endings) {
      const file = path.join(folder, name + ending);
      if (folder && existsSync(file)) return file;
    }
  }
  return undefined;
}

const packages = {
  python: {
    apt: "python3 python3-venv",
    dnf: "python3",
    pacman: "python",
    zypper: "python311",
    brew: "python@3.12",
    winget: "Python.Python.3.12",
  },
  venv: {
    apt: "python3-venv",
    dnf: "python3",
    pacman: "python",
    zypper: "python311",
    brew: "python@3.12",
    winget: "Python.Python.3.12",
  },
  cmake: {
    apt: "cmake",
    dnf: "cmake",
    pacman: "cmake",
    zypper: "cmake",
    brew: "cmake",
    winget: "Kitware.CMake",
  },
  compiler: {
    apt: "g++",
    dnf: "gcc-c++",
    pacman: "gcc",
    zypper: "gcc-c++",
    winget: "Microsoft.VisualStudio.2022.BuildTools",
  },
  make: { apt: "make", dnf: "make", pacman: "make", zypper: "make" },
};

/** The package tool that is on PATH, on Linux. */
export const packageTool = () => ["apt", "dnf", "pacman", "zypper"].find((tool) => onPath(tool)) ?? "apt";

/** The command that installs `what` on a platform; on Linux the package tool decides. */
export function howToGet(what, platform = process.platform, tool = packageTool()) {
  const names = packages[what];
  if (platform === "darwin" && (what === "compiler" || what === "make")) return "xcode-select --install";
  if (platform === "win32") return `winget install ${names.winget}`;
  if (platform === "darwin") return `brew install ${names.brew}`;
  return `sudo ${tool} ${tool === "pacman" ? "-S" : "install"} ${names[tool]}`;
}

/** True where `version` ("3.25.1") is at least `least` ("3.18"). */
export function atLeast(version, least) {
  const have = version.split(".").map(Number);
  const want = least.split(".").map(Number);
  for (let i = 0; i < want.length; i++) {
    const difference = (have[i] ?? 0) - want[i];
    if (difference !== 0) return difference > 0;
  }
  return true;
}

export function checkNode(version = process.versions.node) {
  if (!atLeast(version, "20.19")) {
    throw new SetupError(`Node ${version} is too old: 20.19 or newer is needed (https://nodejs.org).`);
  }
}

/** libtorch is built against glibc; its wheels do not load where the C library is musl. */
export function checkPlatform(platform = process.platform, report = () => process.report.getReport()) {
  if (platform === "linux" && report().header.glibcVersionRuntime === undefined) {
    throw new SetupError(
      "this system's C library is musl (Alpine): PyTorch publishes libtorch for glibc only; use a Debian, Ubuntu or Fedora image.",
    );
  }
}

/** The command that starts Python 3.10 or newer, as an argument list. */
export function findPython() {
  const tried = [];
  for (const command of isWindows ? [["py", "-3"], ["python"]] : [["python3"], ["python"]]) {
    const line = firstLine(command[0], [...command.slice(1), "--version"]);
    const version = line?.match(/^Python (\d+\.\d+[.\d]*)/)?.[1];
    if (version && atLeast(version, "3.10")) return command;
    if (version) tried.push(version);
  }
  const have = tried.length > 0 ? `Python ${tried[0]} is too old` : "Python was not found";
  throw new SetupError(`${have}: 3.10 or newer is needed, to install libtorch by pip: ${howToGet("python")}`);
}

function checkCMake() {
  const version = firstLine("cmake", ["--version"])?.match(/version (\d+\.\d+[.\d]*)/)?.[1];
  if (!version)
    throw new SetupError(`CMake was not found, which builds the native addon: ${howToGet("cmake")}`);
  if (!atLeast(version, "3.18")) {
    throw new SetupError(`CMake ${version} is too old: 3.18 or newer is needed: ${howToGet("cmake")}`);
  }
}

function checkCompiler() {
  if (isWindows) return; // cmake-js and node-gyp look for Visual Studio by themselves, and say so
  const compiler = process.env.CXX ?? (process.platform === "linux" ? "g++" : "c++");
  const line = firstLine(compiler.split(" ")[0], ["--version"]);
  if (!line) throw new SetupError(`no C++ compiler (${compiler}) was found: ${howToGet("compiler")}`);
  if (process.platform !== "linux") return;
  if (/clang/i.test(line)) {
    throw new SetupError(
      "CXX is clang: on Linux the addon is built by g++, whose OpenMP runtime is libtorch's: set CXX=g++.",
    );
  }
  const version = line.match(/(\d+\.\d+\.\d+)/)?.[1];
  if (version && !atLeast(version, "11")) {
    throw new SetupError(
      `g++ ${version} is too old for C++20: 11 or newer is needed: ${howToGet("compiler")}`,
    );
  }
  if (!onPath("ninja") && !onPath("make")) throw new SetupError(`make was not found: ${howToGet("make")}`);
}

/** Throws a one-line SetupError for the first tool that is missing or too old. */
export function checkTools() {
  checkNode();
  checkPlatform();
  checkCMake();
  checkCompiler();
}
