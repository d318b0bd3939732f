// Processor, memory, disks, container and system: what slows a run down or ends it early. Pure.
import { type Check, ok, problem, warning } from "./finding.js";

const GIB = 1024 ** 3;
const gib = (bytes: number): string => `${(bytes / GIB).toFixed(bytes < 10 * GIB ? 1 : 0)} GiB`;

const processor: Check = ({ cpu, gpu, addon }) => {
  const has = (flag: string): boolean => cpu.flags?.includes(flag) ?? false;
  const kinds = ["avx2", "avx512f", "avx512_bf16", "amx_bf16"].filter(has);
  const name = `${cpu.model}, ${cpu.threads} threads`;
  if (cpu.flags === undefined)
    return ok("Processor", `${name}${addon.loaded ? `, ${addon.loaded.cpuCapability}` : ""}`);
  if (!has("avx2") && cpu.flags.length > 0 && cpu.flags.includes("sse2"))
    return warning("Processor", `${name}: without AVX2 training is very slow`, "use a newer machine");
  if (gpu.cards.length === 0 && !has("avx512_bf16") && !has("amx_bf16") && !has("bf16"))
    return warning(
      "Processor",
      `${name} (${kinds.join(", ")}): bfloat16 is emulated, slower than float32`,
      "on the processor, leave bf16 out of the recipe",
    );
  return ok("Processor", `${name} (${kinds.join(", ") || "bf16"})`);
};

const quota: Check = ({ cpu, env }) => {
  if (cpu.quota === undefined || cpu.quota >= cpu.threads) return undefined;
  const threads = Math.max(1, Math.floor(cpu.quota));
  if (Number(env["OMP_NUM_THREADS"]) <= threads)
    return ok("CPU quota", `${cpu.quota} of ${cpu.threads} processors`);
  return warning(
    "CPU quota",
    `this container may use ${cpu.quota} of ${cpu.threads} processors; more threads than that wait for each other`,
    `export OMP_NUM_THREADS=${threads}`,
  );
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
  quota,
  memory,
  disk,
  container,
  locale,
  wsl,
  runtime,
  longPaths,
  symlinks,
];
