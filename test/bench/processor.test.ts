// The bench's kinds of processor: which one computes, and how a machine is lowered to a smaller one.
import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import {
  cpuFlags,
  lowered,
  multipliesBf16,
  processorOf,
  processors,
} from "../../bench/harness/processor.mjs";
import { root } from "../../bench/harness/subject.mjs";

const zen4 = ["avx2", "avx512f", "avx512_vnni", "avx512_bf16"];

describe("the kind that computes", () => {
  it.each([
    ["Zen 4", "AVX512", zen4, {}, "AVX512_BF16"],
    ["Zen 3", "AVX2", ["avx2"], {}, "AVX2"],
    ["Sapphire Rapids", "AVX512", [...zen4, "avx_vnni", "amx_bf16"], {}, "AMX_BF16"],
    ["Ice Lake", "AVX512", ["avx2", "avx512f", "avx512_vnni"], {}, "AVX512_VNNI"],
    ["Skylake", "AVX512", ["avx2", "avx512f"], {}, "AVX512"],
    ["Alder Lake", "AVX2", ["avx2", "avx_vnni"], {}, "AVX2_VNNI"],
    ["none of them", "DEFAULT", ["sse4_2"], {}, "DEFAULT"],
    // libtorch alone is lowered, or oneDNN alone
    ["Zen 4 with libtorch's AVX2", "AVX2", zen4, {}, "AVX2"],
    ["Zen 4 with oneDNN's VNNI", "AVX512", zen4, { ONEDNN_MAX_CPU_ISA: "AVX512_CORE_VNNI" }, "AVX512_VNNI"],
    ["Zen 4 with oneDNN's AVX-512", "AVX512", zen4, { ONEDNN_MAX_CPU_ISA: "AVX512_CORE" }, "AVX512"],
    ["a small letter", "AVX512", zen4, { ONEDNN_MAX_CPU_ISA: "avx2" }, "AVX2"],
  ])("%s", (_, capability, flags, env, kind) => {
    expect(processorOf({ capability, flags, env })).toBe(kind);
  });

  it("is what a lowered machine measures as", () => {
    const everything = ["avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16"];
    for (const name of processors) {
      const env = lowered(name.toLowerCase(), everything);
      expect(processorOf({ capability: env.ATEN_CPU_CAPABILITY, flags: everything, env })).toBe(name);
    }
  });

  it("multiplies bf16 itself only with the instructions for it", () => {
    expect(processors.filter(multipliesBf16)).toEqual(["AMX_BF16", "AVX512_BF16"]);
  });
});

describe("lowering", () => {
  it("says in one line what this machine lacks, and which kinds there are", () => {
    expect(() => lowered("avx512_bf16", ["avx2"])).toThrow(
      "--processor avx512_bf16: this machine's processor has no avx512f, avx512_bf16",
    );
    expect(() => lowered("sse5")).toThrow(/^--processor sse5: no such kind; there are amx_bf16, .*avx2$/);
  });

  it.runIf(cpuFlags().includes("avx2"))("reaches libtorch in a program that inherits it", () => {
    const program = `import { processorHere } from "./bench/harness/processor.mjs"; console.log(await processorHere());`;
    const said = execFileSync(process.execPath, ["--input-type=module", "-e", program], {
      cwd: root,
      encoding: "utf8",
      env: { ...process.env, ...lowered("avx2") },
    });
    expect(said.trim()).toBe("AVX2");
  });
});
