// Compiles the addon by cmake-js into a folder that the caller names: a clone's build.mjs and an installed package's
// setup.mjs share it. It finds no libtorch and installs nothing.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { projectRoot } from "./libtorch.mjs";
import { buildShare, movingLine } from "./moving-line.mjs";
import { packageFolder, SetupError } from "./tools.mjs";

export function filesUnder(folder) {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

/** A hash over names and contents: touching a file or cloning again makes nothing stale. */
export function hashOf(files, ...more) {
  const hash = createHash("sha256").update(more.join("\0"));
  for (const file of files) {
    const name = path.relative(projectRoot, file).replaceAll("\\", "/");
    hash.update(`\0${name}\0`).update(readFileSync(file));
  }
  return hash.digest("hex");
}

const nativeFiles = () => [
  path.join(projectRoot, "CMakeLists.txt"),
  ...filesUnder(path.join(projectRoot, "native")),
];

/** A hash over the C++ alone: the same in a clone and in the package that was packed from it. */
export const nativeHash = () => hashOf(nativeFiles());

/** A hash over what an addon depends on: the C++, the libtorch and its place (which is in the rpath), the platform. */
export function addonHash({ root, version }) {
  return hashOf(nativeFiles(), root, version, process.platform, process.arch);
}

/** Where compileAddon leaves its result. */
export const compiledFile = (folder) => path.join(folder, "Release", "qwen_pt.node");

/** The addon that tokenizes, which lies beside an addon. */
export const textAddonBeside = (addon) => path.join(path.dirname(addon), "qwen_pt_text.node");

/** The addon in which several processes talk to each other, which lies beside an addon; built on Linux alone. */
export const distributedAddonBeside = (addon) => path.join(path.dirname(addon), "qwen_pt_distributed.node");

/** The module beside an addon that sets OpenMP's variables before libtorch is loaded; built on Linux alone. */
export const environmentFile = (addon) => path.join(path.dirname(addon), "qwen_pt_environment.node");

/**
 * Runs a command in the package's folder; resolves to its exit status (or its signal) and output. `onText` sees the
 * output as it grows. The command ends with this process.
 */
export function run(command, args, env = process.env, onText = () => {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: projectRoot, stdio: ["ignore", "pipe", "pipe"], env });
    let output = "";
    const keep = (text) => {
      output += text;
      onText(output);
    };
    const end = () => child.kill();
    process.once("exit", end);
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.on("error", (error) => resolve({ status: 1, output: error.message }));
    child.on("close", (status, signal) => {
      process.off("exit", end);
      resolve({ status: status ?? signal, output });
    });
  });
}

/** Loads an addon in a separate process; resolves to its exit status and output. `root` is the libtorch that it needs. */
export function smoke(addon, root) {
  // Windows has no rpath: it looks for the addon's libraries on PATH
  const onPath =
    process.platform === "win32" ? { PATH: `${path.join(root, "lib")};${process.env.PATH}` } : {};
  const program = path.join(projectRoot, "scripts", "smoke.mjs");
  return run(process.execPath, [program, addon], { ...process.env, ...onPath });
}

/** CMake refuses a build folder that was begun from other sources: a moved clone, another project's installed package. */
function dropForeign(folder) {
  const cache = path.join(folder, "CMakeCache.txt");
  if (!existsSync(cache)) return;
  const home = readFileSync(cache, "utf8").match(/^CMAKE_HOME_DIRECTORY:INTERNAL=(.*)$/m)?.[1];
  const real = (name) => path.resolve(name).replaceAll("\\", "/");
  if (home === undefined || real(home) !== real(projectRoot))
    rmSync(folder, { recursive: true, force: true });
}

/**
 * Compiles native/ against the libtorch in `root`; what an interrupted run compiled is kept in `folder` and reused.
 * `options` are more of cmake-js's, such as a definition for CMake.
 */
export async function compileAddon(folder, root, options = []) {
  const cmakeJs = path.join(packageFolder("cmake-js"), "bin", "cmake-js");
  const args = ["-O", folder, "-d", projectRoot, "-p", String(os.availableParallelism()), ...options];
  const env = { ...process.env, LIBTORCH: root };
  dropForeign(folder);
  const line = movingLine("compiling the native addon");
  const show = (output) => line.update(buildShare(output) ?? "");
  for (const step of ["configure", "build"]) {
    const { status, output } = await run(process.execPath, [cmakeJs, step, ...args], env, show);
    if (step === "build" || status !== 0) line.stop();
    if (status === 0) continue;
    process.stderr.write(output);
    throw new SetupError("the addon could not be built: the compiler's message is above.");
  }
}
