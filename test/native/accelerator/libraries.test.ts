// Libraries of an accelerator that do not load, and settings that must reach them from any thread: each in another
// process, since a library is opened once.
import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { addonPath, addonRecord } from "../../../lib/torch/index.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const made = mkdtempSync(path.join(os.tmpdir(), "qwen-pt-libraries-"));
afterAll(() => rmSync(made, { recursive: true, force: true }));

function run(script: string, env: Record<string, string> = {}): string {
  return execFileSync(process.execPath, ["--input-type=commonjs", "-e", script], {
    encoding: "utf8",
    cwd: root,
    env: { ...process.env, ...env },
  }).trim();
}

const addon = JSON.stringify(addonPath());

describe.runIf(process.platform === "linux")("libtorch's CUDA half", () => {
  it("that does not load leaves the loader's words, and the processor", () => {
    const lib = path.join(made, "lib");
    mkdirSync(lib);
    const real = realpathSync(path.join(addonRecord().libtorch as string, "lib"));
    for (const name of readdirSync(real))
      if (!name.includes("cuda")) symlinkSync(path.join(real, name), path.join(lib, name));
    writeFileSync(path.join(lib, "libtorch_cuda.so"), "not a library");
    const script = `const a = require(${addon}); const { acceleratorError, hasCuda } = a.buildInfo();
      console.log(JSON.stringify([acceleratorError, hasCuda, a.accelerator() ?? null]));`;
    const [error, ...rest] = JSON.parse(run(script, { LD_LIBRARY_PATH: lib })) as [string, boolean, null];
    expect(error).toMatch(/libtorch_cuda\.so: (file too short|invalid ELF header)/);
    expect(rest).toEqual([false, null]);
  });
});

describe.runIf(process.platform === "linux")("the driver and NVRTC, played by a few lines of C", () => {
  /** A libcuda.so.1 that starts with a code, for a card of a compute capability. */
  function driver(code: number, major: number, minor: number): string {
    const folder = mkdtempSync(path.join(made, "driver-"));
    const stubs = ["cuCtxGetCurrent", "cuCtxSetCurrent", "cuDevicePrimaryCtxRetain", "cuModuleLoadData"];
    const source = `
      int cuInit(unsigned flags) { return ${code}; }
      int cuGetErrorString(int code, const char** said) { *said = "driver version is insufficient"; return 0; }
      int cuDeviceGetAttribute(int* to, int which, int device) { *to = which == 75 ? ${major} : ${minor}; return 0; }
      ${[...stubs, "cuModuleGetFunction", "cuLaunchKernel"].map((name) => `int ${name}() { return 1; }`).join("\n")}`;
    writeFileSync(path.join(folder, "cuda.c"), source);
    execFileSync("gcc", [
      "-shared",
      "-fPIC",
      "-o",
      path.join(folder, "libcuda.so.1"),
      path.join(folder, "cuda.c"),
    ]);
    return folder;
  }
  const state = (folder: string): { reason: string; architecture: string } =>
    JSON.parse(
      run(`console.log(JSON.stringify(require(${addon}).kernelState(0)))`, {
        LD_LIBRARY_PATH: folder,
        QWEN_PT_NVRTC: path.join(made, "libnvrtc.so.13"),
      }),
    );

  it.each([
    ["no NVRTC", [0, 9, 0], /libnvrtc\.so\.13: cannot open shared object file/],
    [
      "a driver that is too old",
      [35, 9, 0],
      /^the driver does not start: driver version is insufficient \(35\)$/,
    ],
    ["a card of 5.2", [0, 5, 2], /^the card's compute capability is 5\.2, below 7\.5$/],
  ] as const)("%s is said", (_, [code, major, minor], reason) => {
    expect(state(driver(code, major, minor)).reason).toMatch(reason);
  });
});

describe("full determinism", () => {
  const script = (given: string): string => `
    const { Worker } = require("node:worker_threads");
    ${given}
    const worker = new Worker('require(' + JSON.stringify(${addon}) + ').setDeterministic(true, false)', { eval: true });
    worker.on("exit", () => console.log(process.env.CUBLAS_WORKSPACE_CONFIG ?? "unset"));`;
  // the main thread's process.env is C's environment, a worker's a copy
  it("reaches cuBLAS from a worker", () => {
    expect(run(script(""))).toBe(":16:8");
    expect(run(script('process.env.CUBLAS_WORKSPACE_CONFIG = ":4096:8";'))).toBe(":4096:8");
  });
});
