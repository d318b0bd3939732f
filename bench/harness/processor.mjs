// Which kind of processor a result belongs to, and how a machine plays a smaller kind. The key says what libtorch, oneDNN
// and MKL compute with here, not what the machine could do: a Zen 4 that was lowered to AVX2 measures as AVX2.
import { existsSync, readFileSync } from "node:fs";

/** oneDNN's names for ONEDNN_MAX_CPU_ISA, smallest first. */
const ONEDNN = [
  "SSE41",
  "AVX",
  "AVX2",
  "AVX2_VNNI",
  "AVX2_VNNI_2",
  "AVX512_CORE",
  "AVX512_CORE_VNNI",
  "AVX512_CORE_BF16",
  "AVX512_CORE_FP16",
  "AVX512_CORE_AMX",
];

/** libtorch's kernels (ATEN_CPU_CAPABILITY), smallest first. */
const ATEN = ["default", "avx2", "avx512"];

/**
 * Kinds of x86-64 processors, largest first: the flags of /proc/cpuinfo that make one, and the settings of the three
 * libraries that lower a larger machine to it.
 */
const KINDS = {
  AMX_BF16: { flags: ["avx512f", "amx_bf16"], aten: "avx512", onednn: "AVX512_CORE_AMX", mkl: "AVX512" },
  AVX512_BF16: {
    flags: ["avx512f", "avx512_bf16"],
    aten: "avx512",
    onednn: "AVX512_CORE_BF16",
    mkl: "AVX512",
  },
  AVX512_VNNI: {
    flags: ["avx512f", "avx512_vnni"],
    aten: "avx512",
    onednn: "AVX512_CORE_VNNI",
    mkl: "AVX512",
  },
  AVX512: { flags: ["avx512f"], aten: "avx512", onednn: "AVX512_CORE", mkl: "AVX512" },
  AVX2_VNNI: { flags: ["avx2", "avx_vnni"], aten: "avx2", onednn: "AVX2_VNNI", mkl: "AVX2" },
  AVX2: { flags: ["avx2"], aten: "avx2", onednn: "AVX2", mkl: "AVX2" },
};

/** Names of the kinds, largest first. */
export const processors = Object.keys(KINDS);

/** The flags of this machine's processor; none where there is no /proc/cpuinfo. */
export function cpuFlags() {
  if (!existsSync("/proc/cpuinfo")) return [];
  const line = /^flags\s*:\s*(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"));
  return line?.[1].split(" ") ?? [];
}

const rank = (names, name) => (names.includes(name) ? names.indexOf(name) : names.length);

/**
 * The kind that computes: libtorch's capability decides between AVX2 and AVX-512, the processor's flags what is known
 * beyond them, and ONEDNN_MAX_CPU_ISA takes from that.
 * @param {{capability: string, flags: string[], env?: Record<string, string | undefined>}} machine `capability` as
 *   `buildInfo().cpuCapability` says it
 * @returns {string} a name of `processors`, or DEFAULT
 */
export function processorOf({ capability, flags, env = {} }) {
  const kernels = rank(ATEN, capability.toLowerCase());
  const isa = rank(ONEDNN, env["ONEDNN_MAX_CPU_ISA"]?.toUpperCase());
  const found = Object.entries(KINDS).find(
    ([, kind]) =>
      kind.flags.every((flag) => flags.includes(flag)) &&
      rank(ATEN, kind.aten) <= kernels &&
      rank(ONEDNN, kind.onednn) <= isa,
  );
  return found?.[0] ?? "DEFAULT";
}

/**
 * The environment that lowers libtorch, oneDNN and MKL to a kind of processor, for whatever program is started with it.
 * @throws an Error in one line where there is no such kind, or this machine is less
 */
export function lowered(name, flags = cpuFlags()) {
  const kind = KINDS[name.toUpperCase()];
  if (kind === undefined)
    throw new Error(`--processor ${name}: no such kind; there are ${processors.join(", ").toLowerCase()}`);
  const missing = kind.flags.filter((flag) => !flags.includes(flag));
  if (missing.length > 0)
    throw new Error(`--processor ${name}: this machine's processor has no ${missing.join(", ")}`);
  return {
    ATEN_CPU_CAPABILITY: kind.aten,
    ONEDNN_MAX_CPU_ISA: kind.onednn,
    MKL_ENABLE_INSTRUCTIONS: kind.mkl,
  };
}

/** Whether a kind multiplies 16-bit floats itself; elsewhere the peers' best setting is float32. */
export const multipliesBf16 = (name) => name.endsWith("_BF16");

/** The kind that computes in this process; loads libtorch. */
export async function processorHere() {
  const { buildInfo } = await import("../../dist/public/torch.js");
  return processorOf({ capability: buildInfo().cpuCapability, flags: cpuFlags(), env: process.env });
}
