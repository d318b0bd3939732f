// Processor, memory, disks, container and system: what slows a run down or ends it early. Pure.
import { excessiveCapability, type ProcessorKind, processorKind } from "../torch/machine/processor.js";
import { saysThreads, threadsFor } from "../torch/machine/thread-settings.js";
import type { Facts } from "./facts.js";
import { type Check, ok, problem, warning } from "./finding.js";

const GIB = 1024 ** 3;
const gib = (bytes: number): string => `${(bytes / GIB).toFixed(bytes < 10 * GIB ? 1 : 0)} GiB`;

/** Kinds with instructions for bfloat16 products. */
const BFLOAT16: readonly ProcessorKind[] = ["AMX", "AVX512_BF16"];

/** How bf16 weights are multiplied here, where the addon has said so. */
function multiplication({ loaded }: Facts["addon"]): string {
  if (loaded?.products === undefined) return "";
  const { frozen, other } = loaded.products;
  const names = { native: "bf16", packed: "bf16", int16: "int16", panels: "fp32" };
  const [still, moving] = [names[frozen.bfloat16], names[other.bfloat16]];
  return still === moving
    ? `: ${still} products of bf16 weights`
    : `: ${still} products of frozen bf16 weights, ${moving} of trained ones`;
}

const processor: Check = ({ arch, cpu, addon, gpu }) => {
  const kind = cpu.flags?.length || arch === "arm64" ? processorKind(cpu.flags ?? [], arch) : undefined;
  const name = `${cpu.model}, ${cpu.threads} threads`;
  if (kind === undefined)
    return ok("Processor", `${name}${addon.loaded ? `, ${addon.loaded.cpuCapability}` : ""}`);
  if (kind === "older")
    return warning("Processor", `${name}: without AVX2 training is very slow`, "use a newer machine");
  if (kind === "arm64")
    return warning(
      "Processor",
      `${name}: this package has not been tried on arm64`,
      "compare a short run with one on x86-64",
    );
  const emulates = addon.loaded?.products?.frozen.bfloat16 === "native" && !BFLOAT16.includes(kind);
  if (emulates && gpu.cards.length === 0)
    return warning(
      "Processor",
      `${name}, ${kind}: emulates bf16 products, many times slower than float32`,
      "unset QWEN_PT_PRODUCTS",
    );
  return ok("Processor", `${name}, ${kind}${multiplication(addon)}`);
};

const capability: Check = ({ arch, cpu, env }) => {
  const asked = env["ATEN_CPU_CAPABILITY"];
  if (asked === undefined) return undefined;
  const excess = excessiveCapability(asked, cpu.flags, arch);
  if (excess !== undefined) return problem("Capability", excess, "unset ATEN_CPU_CAPABILITY");
  if (/^(?:default|avx2|avx512)$/.test(asked))
    return ok(
      "Capability",
      `ATEN_CPU_CAPABILITY=${asked} holds libtorch to less than the processor may have`,
    );
  return warning(
    "Capability",
    `ATEN_CPU_CAPABILITY=${asked} is no word of libtorch's, which ignores it`,
    "set default, avx2 or avx512, or unset it",
  );
};

const threads: Check = ({ platform, cpu, env }) => {
  const said = env["OMP_NUM_THREADS"];
  if (said !== undefined && !saysThreads(env))
    return warning(
      "Threads",
      `OMP_NUM_THREADS=${said} is no number of threads, and is ignored`,
      `export OMP_NUM_THREADS=${threadsFor(cpu.quota, cpu.threads) ?? cpu.threads}, or unset it`,
    );
  if (cpu.quota === undefined || cpu.quota >= cpu.threads) return undefined;
  const share = `this container may use ${cpu.quota} of ${cpu.threads} processors`;
  const most = threadsFor(cpu.quota, cpu.threads) ?? cpu.threads;
  if (Number.parseInt(said ?? "", 10) > most)
    return warning(
      "Threads",
      `${share}, and OMP_NUM_THREADS=${said}: more threads than that wait for each other`,
      `export OMP_NUM_THREADS=${most}`,
    );
  if (said === undefined && platform !== "linux") return undefined;
  return ok("Threads", `${share}: ${said ?? most} compute`);
};

const memory: Check = ({ memory: { total, available, limit } }) => {
  const most = Math.min(total, limit ?? total);
  const name = `${gib(most)}${most < total ? ` (the container's limit; the machine has ${gib(total)})` : ""}, ${gib(Math.min(available, most))} free`;
  if (most < 3 * GIB)
    return warning("Memory", `${name}: Qwen3-0.6B with LoRA needs about 4 GiB`, "train a smaller model");
  if (Math.min(available, most) < 2 * GIB)
    return warning("Memory", name, "end other programs before training");
  return ok("Memory", name);
};

const disk: Check = ({ disk: { cache, here }, libtorch, gpu }) => {
  const needed = libtorch !== undefined ? 0 : gpu.cards.length > 0 ? 8 * GIB : 2 * GIB;
  if (cache !== undefined && cache < needed)
    return problem(
      "Disk",
      `${gib(cache)} free for the cache, and libtorch needs ${gib(needed)}`,
      "free some, or QWEN_PT_CACHE=/another/disk",
    );
  if (here !== undefined && here < 2 * GIB)
    return warning(
      "Disk",
      `${gib(here)} free here: a checkpoint may not fit`,
      "free some, or another output_dir",
    );
  const said = [
    cache === undefined ? "" : `${gib(cache)} free for the cache`,
    here === undefined ? "" : `${gib(here)} here`,
  ].filter((text) => text !== "");
  return said.length > 0 ? ok("Disk", said.join(", ")) : undefined;
};

const container: Check = ({ container: name, shm, gpu }) => {
  if (name === undefined) return undefined;
  if (shm !== undefined && shm <= 64 * 1024 ** 2 && gpu.cards.length > 1)
    return warning(
      "Container",
      `${name} with ${Math.round(shm / 1024 ** 2)} MiB of shared memory`,
      "start it with --shm-size=1g",
    );
  return ok("Container", name);
};

const locale: Check = ({ locale: name, platform }) => {
  if (platform === "win32") return undefined;
  if (name === undefined || /^(C|POSIX)$/.test(name) || !/utf-?8/i.test(name))
    return warning("Locale", `${name ?? "not set"}: Chinese text may not show`, "export LC_ALL=C.UTF-8");
  return ok("Locale", name);
};

const wsl: Check = ({ wsl: found }) => {
  if (found === undefined) return undefined;
  if (found.version === 1)
    return warning("WSL", "version 1: slow files, no GPU", "wsl --set-version DISTRIBUTION 2");
  if (found.onWindowsDisk)
    return warning(
      "WSL",
      "this folder is on Windows' disk, which is slow from here",
      "work in your Linux home folder",
    );
  return ok("WSL", "version 2");
};

const runtime: Check = ({ windows }) => {
  if (windows === undefined) return undefined;
  return windows.vcRuntime
    ? ok("VC runtime", "installed")
    : problem("VC runtime", "vcruntime140_1.dll is missing", "winget install Microsoft.VCRedist.2015+.x64");
};

const longPaths: Check = ({ windows }) => {
  if (windows === undefined) return undefined;
  const key = "HKLM\\SYSTEM\\CurrentControlSet\\Control\\FileSystem";
  return windows.longPaths
    ? ok("Long paths", "enabled")
    : warning(
        "Long paths",
        "paths end at 260 characters, and libtorch's headers are deep",
        `as administrator: reg add ${key} /v LongPathsEnabled /t REG_DWORD /d 1 /f; or QWEN_PT_CACHE=C:\\q`,
      );
};

const symlinks: Check = ({ windows }) => {
  if (windows === undefined) return undefined;
  return windows.symlinks
    ? ok("Symbolic links", "allowed")
    : warning(
        "Symbolic links",
        "not allowed: models in the cache are copied instead",
        "turn on Developer Mode",
      );
};

export const machineChecks: readonly Check[] = [
  processor,
  capability,
  threads,
  memory,
  disk,
  container,
  locale,
  wsl,
  runtime,
  longPaths,
  symlinks,
];
