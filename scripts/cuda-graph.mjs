// Builds the optional library of CUDA graphs (native/cuda_graph) beside the addon, where libtorch is a CUDA build: no
// toolkit, but headers of the packages nvidia-cuda-runtime (a dependency of torch's), nvidia-cuda-crt and nvidia-cuda-cccl.
// Without them it says so and does nothing.
//
//   node scripts/cuda-graph.mjs [--output FILE] [--headers FOLDER] [--check]
//
// --headers names a folder with them (its include/, or nvidia/*/include below it); --check only looks whether the source
// compiles, which it does with the headers of a CPU build of libtorch too.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { compiledFile } from "./addon.mjs";
import { findLibtorch, projectRoot } from "./libtorch.mjs";
import { runScript, SetupError } from "./tools.mjs";

const option = (name) => {
  const at = process.argv.indexOf(name);
  return at < 0 ? undefined : process.argv[at + 1];
};
const source = path.join(projectRoot, "native", "cuda_graph", "cuda_graph.cc");
/** Of each package that is needed, a header. */
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
export const missingPackages = (includes) =>
  Object.entries(HEADERS)
    .filter(([, header]) => !includes.some((place) => existsSync(path.join(place, header))))
    .map(([name]) => name);

await runScript(async () => {
  const libtorch = findLibtorch();
  if (libtorch === undefined) throw new SetupError("libtorch is not there: run `npm run build` first.");
  const { root } = libtorch;
  const hasCuda = existsSync(path.join(root, "lib", "libtorch_cuda.so"));
  const isCheck = process.argv.includes("--check");
  if (!hasCuda && !isCheck) {
    process.stdout.write("cuda-graph: this libtorch has no CUDA; nothing is to be built.\n");
    return;
  }
  const given = option("--headers");
  const places = [...(given === undefined ? [] : [path.resolve(given)]), path.dirname(root)];
  const includes = places.flatMap(includesBelow);
  const missing = missingPackages(includes);
  if (missing.length > 0) {
    process.stdout.write(
      `cuda-graph: not built, for want of headers: python -m pip install ${missing.join(" ")} beside torch, then run this again. Training works without.\n`,
    );
    return;
  }
  const work = mkdtempSync(path.join(os.tmpdir(), "qwen-pt-graph-"));
  try {
    const macros = path.join(work, "c10", "cuda", "impl", "cuda_cmake_macros.h");
    if (!existsSync(path.join(root, "include", "c10", "cuda", "impl", "cuda_cmake_macros.h"))) {
      mkdirSync(path.dirname(macros), { recursive: true });
      writeFileSync(macros, "#pragma once\n#define C10_CUDA_BUILD_SHARED_LIBS\n"); // what a CUDA build generates
    }
    const output =
      option("--output") ??
      (isCheck
        ? path.join(work, "check.so")
        : path.join(
            path.dirname(compiledFile(path.join(projectRoot, "build", "cmake"))),
            "qwen_pt_cuda_graph.so",
          ));
    const args = ["-std=c++20", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-I", work];
    for (const place of [path.join(root, "include"), ...includes]) args.push("-isystem", place);
    args.push("-o", output, source);
    if (hasCuda)
      args.push(
        `-L${path.join(root, "lib")}`,
        "-lc10",
        "-ltorch_cpu",
        "-lc10_cuda",
        "-ltorch_cuda",
        `-Wl,-rpath,${path.join(root, "lib")}`,
      );
    const { status, stderr, error } = spawnSync(process.env.CXX ?? "g++", args, { encoding: "utf8" });
    if (status !== 0)
      throw new SetupError(`the library of CUDA graphs does not compile: ${stderr ?? error?.message}`);
    process.stdout.write(isCheck ? "cuda-graph: compiles.\n" : `cuda-graph: built ${output}\n`);
  } finally {
    rmSync(work, { recursive: true });
  }
});
