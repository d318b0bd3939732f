// What a run on a card says of its kernels, for each thing that may be wrong, and of a card that fails.
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { kernelCacheProblem, TorchError } from "../../../lib/torch/index.js";
import { lostCard } from "../../../lib/train/run.js";
import { kernelLines } from "../../../lib/train/setup/fused-kernels.js";
import { folder } from "../runs.js";

const ready = { architecture: "sm_90", capability: 90, reason: "", compiler: "13.0" };
const without = (reason: string) => kernelLines("cuda:0", { ...ready, reason }, undefined);

describe("the fused kernels", () => {
  it("that run are named in a line", () => {
    expect(kernelLines("cuda:0", ready, undefined)).toEqual([
      { level: "info", text: "fused kernels: sm_90, NVRTC 13.0" },
    ]);
  });

  it.each([
    [
      "libnvrtc.so: cannot open shared object file: No such file or directory",
      /: install the package nvidia-cuda-nvrtc/,
    ],
    ["the card's compute capability is 5.2, below 7.5", /: a card of 7\.5 or newer has them$/],
    ["libcuda.so.1: cannot open shared object file", /: install or update NVIDIA's driver$/],
    ["QWEN_PT_FUSED is 0", /: unset it$/],
  ])("that do not run for %s: a line with the remedy", (reason, remedy) => {
    const [line, ...more] = without(reason);
    expect([line?.level, more]).toEqual(["warning", []]);
    expect(line?.text).toContain(`without the fused kernels, which is slower (${reason})`);
    expect(line?.text).toMatch(remedy);
  });

  it("that cannot be kept: a line with the remedy", () => {
    const file = path.join(folder(), "file");
    writeFileSync(file, "");
    const problem = kernelCacheProblem(path.join(file, "kernels"));
    expect(problem).toMatch(/ENOTDIR|EEXIST/);
    expect(kernelLines("cuda:0", ready, problem)[1]?.text).toMatch(
      /^compiled kernels cannot be kept, and every run compiles them again \(.*\): set QWEN_PT_CACHE/,
    );
  });

  it.skipIf(process.getuid?.() === 0)("in a folder without rights", () => {
    const dir = path.join(folder(), "kernels");
    mkdirSync(dir);
    chmodSync(dir, 0o500);
    expect(kernelCacheProblem(dir)).toMatch(/EACCES/);
  });
});

describe("a card that fails", () => {
  it.each([
    "CUDA error: uncorrectable ECC error encountered\nCUDA kernel errors might be asynchronously reported",
    "aten::mm: CUDA error: unspecified launch failure\nSearch for `cudaErrorLaunchFailure'",
  ])("is a line that says what to look at", (said) => {
    const { message } = lostCard(new TorchError(said)) as Error;
    expect(message).toMatch(
      /^the card failed \(CUDA error: (uncorrectable ECC error encountered|unspecified launch failure)\): see dmesg .* resume from the last checkpoint, which is whole$/,
    );
  });

  it("leaves other errors as they are", () => {
    const other = new TorchError("mat1 and mat2 shapes cannot be multiplied");
    expect(lostCard(other)).toBe(other);
    expect(lostCard(new Error("CUDA error: of no library"))).not.toHaveProperty("cause");
  });
});
