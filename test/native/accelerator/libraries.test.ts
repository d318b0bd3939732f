// Libraries of an accelerator that do not load, and settings that must reach them from any thread: in processes of their
// own, since a library is opened once.
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
