// Compiles an optional library beside the addon, of one source file that needs CUDA's headers, where libtorch is a CUDA
// build: no toolkit, but headers of the packages that torch's wheel depends on, nvidia-cuda-crt and nvidia-cuda-cccl.
// Without them it says so and does nothing. What it compiles: cuda-graph.mjs and nccl.mjs say, each a command with
//
//   [--output FILE] [--headers FOLDER] [--check]
//
// --headers names a folder with them (its include/, or nvidia/*/include below it); --check only looks whether the source
// compiles, which it does with the headers of a CPU build of libtorch too.
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { compiledFile } from "./addon.mjs";
import { findLibtorch, projectRoot } from "./libtorch.mjs";
import { SetupError } from "./tools.mjs";

/** Of each package that every such source needs, a header. */
const HEADERS = {
  "nvidia-cuda-runtime": "cuda_runtime_api.h",
  "nvidia-cuda-crt": "crt/host_defines.h",
  "nvidia-cuda-cccl": "nv/target",
};

/** Folders of headers below a folder: its own include/, those of nvidia's packages, and cccl's inside them. */
function includesBelow(folder) {
  const below = (place) =>
    existsSync(place) ? readdirSync(place).map((name) => path.join(place, name)) : [];
  const roots = [folder, ...below(path.join(folder, "nvidia"))].map((place) => path.join(place, "include"));
  return roots.flatMap((place) => [place, path.join(place, "cccl")]).filter((place) => existsSync(place));
}

/** What is missing of the headers, as packages. */
const missingPackages = (headers, includes) =>
  Object.entries(headers)
    .filter(([, header]) => !includes.some((place) => existsSync(path.join(place, header))))
    .map(([name]) => name);

/** What the command line says. */
function optionsOf(args) {
  const option = (name) => {
    const at = args.indexOf(name);
    return at < 0 ? undefined : args[at + 1];
  };
  return { output: option("--output"), headers: option("--headers"), isCheck: args.includes("--check") };
}

/** libtorch's folder, and that of the addon which was built against it: a clone's, or what `qwen-pt setup` left. */
async function addonAndLibtorch() {
  if (!existsSync(path.join(projectRoot, "tsconfig.json"))) {
    const { addonPath, addonRecord } = await import("../dist/torch/native.js");
    const { libtorch } = addonRecord();
    if (libtorch !== undefined) return { root: libtorch, beside: path.dirname(addonPath()) };
  }
  const libtorch = findLibtorch();
  if (libtorch === undefined) throw new SetupError("libtorch is not there: run `npm run build` first.");
  return {
    root: libtorch.root,
    beside: path.dirname(compiledFile(path.join(projectRoot, "build", "cmake"))),
  };
}

/**
 * Compiles one library, as the command line says.
 * @param {object} library
 * @param {string} library.command what the lines that it prints begin with
 * @param {string} library.source the file below native/
 * @param {string} library.file the library's name
 * @param {string} library.without what works where it is not built
 * @param {Record<string, string>} [library.headers] packages needed beside CUDA's, and a header of each
 * @param {string[]} [library.flags] more of the compiler's arguments
 */
export async function buildCudaLibrary({ command, source, file, without, headers = {}, flags = [] }) {
  const { output, headers: given, isCheck } = optionsOf(process.argv);
  const say = (text) => process.stdout.write(`${command}: ${text}\n`);
  const { root, beside } = await addonAndLibtorch();
  const hasCuda = existsSync(path.join(root, "lib", "libtorch_cuda.so"));
  if (!hasCuda && !isCheck) return say("this libtorch has no CUDA; nothing is to be built.");
  const places = [...(given === undefined ? [] : [path.resolve(given)]), path.dirname(root)];
  const includes = places.flatMap(includesBelow);
  const missing = missingPackages({ ...HEADERS, ...headers }, includes);
  if (missing.length > 0)
    return say(
      `not built, for want of headers: python -m pip install ${missing.join(" ")} beside torch, then run this again. ${without}`,
    );
  const work = mkdtempSync(path.join(os.tmpdir(), `qwen-pt-${command}-`));
  try {
    const macros = path.join("c10", "cuda", "impl", "cuda_cmake_macros.h");
    if (!existsSync(path.join(root, "include", macros))) {
      mkdirSync(path.join(work, path.dirname(macros)), { recursive: true });
      writeFileSync(path.join(work, macros), "#pragma once\n#define C10_CUDA_BUILD_SHARED_LIBS\n"); // what a CUDA build generates
    }
    const made = path.join(work, file);
    const args = ["-std=c++20", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-I", work, ...flags];
    const own = ["include", "include/torch/csrc/api/include"].map((name) => path.join(root, name));
    for (const place of [...own, ...includes]) args.push("-isystem", place);
    args.push("-o", made, path.join(projectRoot, "native", source));
    if (hasCuda) args.push(...linked(root));
    const { status, stderr, error } = spawnSync(process.env.CXX ?? "g++", args, { encoding: "utf8" });
    if (status !== 0) throw new SetupError(`native/${source} does not compile: ${stderr ?? error?.message}`);
    if (isCheck) return say("compiles.");
    const place = output ?? path.join(beside, file);
    copyFileSync(made, `${place}.part`);
    renameSync(`${place}.part`, place);
    say(`built ${place}`);
  } finally {
    rmSync(work, { recursive: true });
  }
}

/** What libtorch does not have fails the build, and not a run. */
function linked(root) {
  const lib = path.join(root, "lib");
  const libraries = ["-lc10", "-ltorch_cpu", "-lc10_cuda", "-ltorch_cuda"];
  return [`-L${lib}`, "-Wl,--no-as-needed", ...libraries, `-Wl,-rpath,${lib}`, "-Wl,-z,defs,-z,now"];
}
