// The emulator of CUDA kernels (emulator.h), compiled once for its sources and loaded into this process. Not a test.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, renameSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { native } from "../../../lib/torch/native.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const here = path.join(root, "test", "native", "accelerator");
const kernels = path.join(root, "native", "kernels", "cuda");

/** Whether this system can have it: fibers are Linux's, and a compiler is needed, as for the addon. */
export const canEmulate = process.platform === "linux" && spawnSync("g++", ["--version"]).status === 0;

/** Compiles the emulator unless that has been done for these sources, and has the addon launch kernels by it. */
export function loadEmulator(): void {
  const files = [
    ...["emulator.h", "emulator.cc"].map((name) => path.join(here, name)),
    ...readdirSync(kernels).map((name) => path.join(kernels, name)),
  ].filter((file) => /\.(h|cuh|cu)$|emulator\.cc$/.test(file));
  const hash = createHash("sha256");
  for (const file of files.sort()) hash.update(readFileSync(file));
  const library = path.join(root, "build", `emulator-${hash.digest("hex").slice(0, 16)}.so`);
  if (!existsSync(library)) {
    const made = `${library}.${process.pid}`;
    const flags = ["-std=c++20", "-O1", "-fPIC", "-shared", "-ffp-contract=off", "-Wno-unknown-pragmas"];
    const { status, stderr } = spawnSync(
      "g++",
      [...flags, "-I", kernels, path.join(here, "emulator.cc"), "-o", made],
      { encoding: "utf8" },
    );
    if (status !== 0) throw new Error(`the emulator does not compile: ${stderr}`);
    renameSync(made, library);
  }
  native().loadKernelEmulator(library);
}

/** What a body launches, by kernel. */
export function launchedBy(body: () => void): Record<string, number> {
  native().startRecording();
  let launches: Readonly<Record<string, number>> = {};
  try {
    body();
  } finally {
    launches = native().stopRecording().launches;
  }
  return Object.fromEntries(
    Object.entries(launches).flatMap(([name, count]) =>
      name.startsWith("kernel ") ? [[name.slice(7), count]] : [],
    ),
  );
}
