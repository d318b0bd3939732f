// Recorded machines: the facts of one that is in order on Linux, one with a card, one on Windows. Tests change a fact.
import type { Facts } from "../../lib/doctor/index.js";

const GIB = 1024 ** 3;

/** Flags of processors: /proc/cpuinfo's words. */
export const AVX2 = ["sse2", "fma", "avx2"];
export const AVX512 = [...AVX2, "avx512f", "avx512vl", "avx512bw", "avx512dq"];

export const healthy: Facts = {
  platform: "linux",
  arch: "x64",
  node: "22.12.0",
  installed: true,
  glibc: "2.36",
  packageTool: "apt",
  compiler: { kind: "gcc", version: "12.2.0", cxx20: true },
  cmake: "3.25.1",
  buildTool: "ninja",
  python: { version: "3.11.2", pip: true, venv: true },
  libtorch: { version: "2.13.0+cpu", cxx11: true },
  addon: {
    built: true,
    libtorch: "2.13.0+cpu",
    loaded: { libtorch: "2.13.0", cpuCapability: "AVX512", devices: 0, openmp: ["libgomp.so.1"] },
  },
  gpu: { cards: [], onBus: false },
  cpu: { model: "AMD EPYC 9R14", threads: 8, flags: [...AVX512, "avx512_bf16"] },
  memory: { total: 32 * GIB, available: 28 * GIB },
  disk: { cache: 60 * GIB, here: 60 * GIB },
  locale: "en_US.UTF-8",
  env: {},
};

const loaded = healthy.addon.loaded!;

/** An RTX 4090 with a driver and a build that fit. */
export const withCard: Facts = {
  ...healthy,
  libtorch: { version: "2.13.0+cu130", cuda: "13.0", cxx11: true },
  addon: { built: true, libtorch: "2.13.0+cu130", loaded: { ...loaded, devices: 1 } },
  gpu: {
    cards: [{ name: "NVIDIA GeForce RTX 4090", driver: "580.65.06", capability: "8.9", memoryMiB: 24564 }],
    onBus: true,
  },
};

/** The card of withCard with another driver or capability. */
export const cardOf = (driver: string, capability = "8.9", name = "card"): Facts["gpu"] => ({
  cards: [{ name, driver, capability, memoryMiB: 16384 }],
  onBus: true,
});

/** Windows 11 with Build Tools 2022. */
export const windows: Facts = {
  ...healthy,
  platform: "win32",
  glibc: undefined,
  compiler: { kind: "msvc", version: "17.9.34607" },
  buildTool: undefined,
  libtorch: { version: "2.13.0+cpu" },
  cpu: { model: "13th Gen Intel(R) Core(TM) i7", threads: 16 },
  addon: { ...healthy.addon, loaded: { ...loaded, openmp: [], cpuCapability: "AVX2" } },
  windows: { longPaths: true, vcRuntime: true, symlinks: true },
  locale: undefined,
};

/** A machine where nothing has been set up. */
export const bare: Facts = {
  ...healthy,
  compiler: undefined,
  cmake: undefined,
  buildTool: undefined,
  python: undefined,
  libtorch: undefined,
  addon: { built: false },
};
