// What `qwen-pt doctor` knows of a machine: plain data, so that a recorded machine can be judged as well as this one.
// probe.ts fills it in; the judging is checks.ts and its neighbours.
import type { Card } from "../install/scripts.js";
import type { ProductKinds } from "../torch/index.js";

export interface Facts {
  readonly platform: NodeJS.Platform;
  readonly arch: string;
  /** Node's version, without the v. */
  readonly node: string;
  /** An installed package, not a clone: which of two commands builds. */
  readonly installed: boolean;
  /** Linux: the C library's version; undefined where it is not glibc. */
  readonly glibc?: string;
  /** Linux: apt, dnf, pacman or zypper. */
  readonly packageTool: string;
  readonly compiler?: Compiler;
  readonly cmake?: string;
  /** ninja or make. */
  readonly buildTool?: string;
  readonly python?: { readonly version: string; readonly pip: boolean; readonly venv: boolean };
  /** The libtorch that is named or was built against. */
  readonly libtorch?: Libtorch;
  readonly addon: Addon;
  readonly gpu: Gpu;
  readonly cpu: {
    readonly model: string;
    readonly threads: number;
    readonly quota?: number;
    readonly flags?: readonly string[];
  };
  readonly memory: { readonly total: number; readonly available: number; readonly limit?: number };
  /** Free bytes where the cache is and where output goes. */
  readonly disk: { readonly cache?: number; readonly here?: number };
  readonly container?: string;
  /** Bytes of /dev/shm. */
  readonly shm?: number;
  /** What LC_ALL, LC_CTYPE or LANG says, the first that is set. */
  readonly locale?: string;
  readonly wsl?: { readonly version: 1 | 2; readonly onWindowsDisk: boolean };
  readonly windows?: { readonly longPaths: boolean; readonly vcRuntime: boolean; readonly symlinks: boolean };
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface Compiler {
  readonly kind: "gcc" | "clang" | "msvc";
  readonly version: string;
  /** Whether it compiled a line of C++20. undefined: not tried. */
  readonly cxx20?: boolean;
}

export interface Libtorch {
  readonly version?: string;
  /** The CUDA that it was built for; undefined for a CPU build. */
  readonly cuda?: string;
  /** Whether its symbols are of the C++11 ABI, which g++ builds the addon for. */
  readonly cxx11?: boolean;
}

export interface Addon {
  readonly built: boolean;
  /** The libtorch of the build. */
  readonly libtorch?: string;
  /** Why it does not load, in one line; undefined where it does. */
  readonly error?: string;
  readonly loaded?: {
    readonly libtorch: string;
    readonly cpuCapability: string;
    /** What multiplies; undefined in facts that were recorded before it was asked. */
    readonly products?: ProductKinds;
    /** CUDA devices that libtorch sees. */
    readonly devices: number;
    /** OpenMP runtimes in the process, by file name. */
    readonly openmp: readonly string[];
    /** Why libtorch's CUDA half, or a library of NVIDIA's that it needs, did not load: the loader's words. */
    readonly acceleratorError?: string;
    /** Compute capabilities that this libtorch has code for. */
    readonly capabilities?: readonly string[];
  };
}

export interface Gpu {
  readonly cards: readonly Card[];
  /** What nvidia-smi said where it lists no card; undefined where there is no nvidia-smi. */
  readonly problem?: string;
  /** Whether a display controller of NVIDIA is on the bus; undefined where that is not known. */
  readonly onBus?: boolean;
}
