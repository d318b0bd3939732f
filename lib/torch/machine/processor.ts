// What kind of processor this is, by the instructions that matter to training. Reads /proc/cpuinfo where there is one;
// what multiplies on it is products.ts's.
import { readFileSync } from "node:fs";

/** x86-64 by its widest instructions for products; "older" has no AVX2. arm64 has not been tried. */
export type ProcessorKind =
  | "AMX"
  | "AVX512_BF16"
  | "AVX-512 without BF16"
  | "AVX-VNNI"
  | "AVX2"
  | "older"
  | "arm64";

/** The processor's flags in /proc/cpuinfo; undefined where there is no such file. */
export function processorFlags(): readonly string[] | undefined {
  try {
    const info = readFileSync("/proc/cpuinfo", "utf8");
    return /^(?:flags|Features)\s*:\s*(.*)$/m.exec(info)?.[1]?.split(/\s+/);
  } catch {
    return undefined;
  }
}

/** What libtorch asks of a processor before it computes with AVX-512. */
const AVX512 = ["avx512f", "avx512vl", "avx512bw", "avx512dq", "fma"];

/** The kind that a processor's flags speak of; undefined for another architecture. */
export function processorKind(flags: readonly string[], arch: string): ProcessorKind | undefined {
  if (arch === "arm64") return "arm64";
  if (arch !== "x64") return undefined;
  const has = (...names: string[]): boolean => names.every((name) => flags.includes(name));
  if (has("amx_bf16", "amx_tile", ...AVX512)) return "AMX";
  if (has("avx512_bf16", ...AVX512)) return "AVX512_BF16";
  if (has(...AVX512)) return "AVX-512 without BF16";
  if (has("avx_vnni", "avx2", "fma")) return "AVX-VNNI";
  return has("avx2", "fma") ? "AVX2" : "older";
}

/**
 * Why ATEN_CPU_CAPABILITY asks for more than the processor has: libtorch believes it, and the process would die at the
 * first such instruction. undefined where it does not. Words that libtorch does not know are ignored by it, with a line.
 */
export function excessiveCapability(
  asked: string | undefined,
  flags: readonly string[] | undefined,
  arch: string,
): string | undefined {
  if (asked === undefined || flags === undefined || arch !== "x64") return undefined;
  const needed = asked === "avx512" ? AVX512 : asked === "avx2" ? ["avx2", "fma"] : [];
  const missing = needed.find((flag) => !flags.includes(flag));
  return missing === undefined
    ? undefined
    : `ATEN_CPU_CAPABILITY=${asked}: this processor has no ${missing}: unset the variable`;
}
