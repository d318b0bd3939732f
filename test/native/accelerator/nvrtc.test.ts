// The CUDA kernels compile, where NVRTC is at hand: in a CUDA build of libtorch, or where QWEN_PT_NVRTC names the pip
// package's library. `node scripts/checks/cuda-kernels.mjs` compiles for every architecture.
import { describe, expect, it } from "vitest";
import { native } from "../../../lib/torch/native.js";
import { kernelsIn } from "../../../scripts/checks/cubin.mjs";
import { sources } from "../../../scripts/checks/cuda-kernels.mjs";

const hasCompiler = native().kernelState(0).compiler !== "";

describe.runIf(hasCompiler)("NVRTC", () => {
  it.each(sources().filter((name) => !name.startsWith("norm")))(
    "compiles %s.cu for the newest card, nothing spilt",
    (source) => {
      const { code, log } = native().compileKernels(source, "sm_120");
      const kernels = kernelsIn(Buffer.from(code));
      expect([log, kernels.length > 0]).toEqual(["", true]);
      for (const { name, registers, local } of kernels)
        expect([name, registers > 0, local]).toEqual([name, true, 0]);
    },
  );

  it("says what is wrong in a line, with the file", () => {
    expect(() => native().compileKernels("swiglu", "sm_10")).toThrow(/swiglu\.cu for sm_10: /);
  });
});

describe.runIf(!hasCompiler)("without NVRTC", () => {
  it("says that it is missing", () => {
    expect(() => native().compileKernels("swiglu", "sm_90")).toThrow(/^NVRTC: .*nvrtc/);
  });
});

it("a source that is not there is named, with a remedy", () => {
  if (!hasCompiler) return;
  expect(() => native().compileKernels("none", "sm_90")).toThrow(/none\.cu in .*install the package again/);
});

it("what is no cubin is refused", () => {
  expect(() => kernelsIn(Buffer.from("text"))).toThrow(RangeError);
});
