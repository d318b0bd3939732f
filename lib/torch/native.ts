// The only file that loads the addon. Types what it exports, and turns a failure to load into advice.
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf, UserError } from "../errors.js";
import { cacheFolder } from "../files/cache-folder.js";
import { packageVersion } from "../version.js";
import { cpuQuota } from "./machine/cpu-quota.js";
import { excessiveCapability, processorFlags } from "./machine/processor.js";
import { cardOfRank } from "./machine/rank-card.js";
import { threadSettings } from "./machine/thread-settings.js";

declare const handleBrand: unique symbol;
/** A tensor as native code knows it. */
export interface Handle {
  readonly [handleBrand]: "tensor";
}
declare const generatorBrand: unique symbol;
/** A random number generator as native code knows it. */
export interface GeneratorHandle {
  readonly [generatorBrand]: "generator";
}
declare const graphBrand: unique symbol;
/** A graph of a device's work as native code knows it. */
export interface GraphHandle {
  readonly [graphBrand]: "graph";
}
declare const transferBrand: unique symbol;
/** A stream that copies, or what was started in it, as native code knows it. */
export interface TransferHandle {
  readonly [transferBrand]: "transfer";
}
declare const fileBrand: unique symbol;
/** An open safetensors file as native code knows it. */
export interface SafetensorsHandle {
  readonly [fileBrand]: "safetensors";
}

/** One parameter of an operator, from its schema. */
export interface Parameter {
  /** As the schema spells it: `keepdim`, `dim0`. */
  readonly name: string;
  /** As TorchScript writes it: `Tensor`, `List[int]`, `Optional[ScalarType]`. SymInt is `int`, Scalar `number`. */
  readonly type: string;
  /** Whether it may be undefined or null. */
  readonly optional: boolean;
  /** Whether it may be left out. */
  readonly hasDefault: boolean;
  /** Whether PyTorch takes it by name alone. */
  readonly keywordOnly: boolean;
}

/** An operator that libtorch registers. */
export interface OperatorInfo {
  /** The number that the addon calls it by; differs from process to process. */
  readonly id: number;
  /** Namespace, name and overload: `aten::sum.dim_IntList`. */
  readonly name: string;
  /** The whole schema as TorchScript writes it. */
  readonly schema: string;
  /** Its parameters in order. */
  readonly parameters: readonly Parameter[];
  /** The argument that comes back (in-place and out= operators), or -1. */
  readonly alias: number;
  /** How many values it returns. */
  readonly returns: number;
}

/** What the addon exports: see native/*.cc, where each function has its line of description. */
export interface Native {
  resolve(name: string): OperatorInfo;
  invoke(id: number, ...args: unknown[]): unknown;
  operators(): string[];
  tensorShape(handle: Handle): number[];
  tensorStrides(handle: Handle): number[];
  tensorDtype(handle: Handle): string;
  tensorDevice(handle: Handle): string;
  tensorRequiresGrad(handle: Handle): boolean;
  tensorSetRequiresGrad(handle: Handle, value: boolean): void;
  tensorIsLeaf(handle: Handle): boolean;
  tensorGrad(handle: Handle): Handle | undefined;
  tensorSetGrad(handle: Handle, grad: Handle | undefined): void;
  tensorVersion(handle: Handle): number;
  tensorDataPointer(handle: Handle): bigint;
  tensorIsDisposed(handle: Handle): boolean;
  tensorDispose(handle: Handle): void;
  tensorItem(handle: Handle): number | bigint | boolean;
  tensorFromBytes(
    data: ArrayBuffer,
    shape: readonly number[],
    dtype: string,
    offset: number,
    length: number,
  ): Handle;
  tensorToBytes(handle: Handle): ArrayBuffer;
  openScope(): number;
  closeScope(id: number, keep: Handle[]): void;
  keepTensor(handle: Handle): void;
  liveTensors(): number;
  scopeDepth(): number;
  backward(
    outputs: Handle[],
    grads: (Handle | undefined)[] | undefined,
    retainGraph: boolean,
    createGraph: boolean,
    inputs: Handle[] | undefined,
  ): void;
  grad(
    outputs: Handle[],
    inputs: Handle[],
    grads: (Handle | undefined)[] | undefined,
    retainGraph: boolean,
    createGraph: boolean,
    allowUnused: boolean,
  ): (Handle | undefined)[];
  setGradEnabled(enabled: boolean): boolean;
  isGradEnabled(): boolean;
  enterAutocast(device: string, dtype: string): string | undefined;
  leaveAutocast(device: string, before: string | undefined): void;
  manualSeed(seed: number | bigint): void;
  createGenerator(seed: number | bigint): GeneratorHandle;
  getRngState(source: string | GeneratorHandle): Handle;
  setRngState(state: Handle, target: string | GeneratorHandle): void;
  accelerator(): { type: string; count: number } | undefined;
  deviceMemory(device: string): DeviceMemory;
  resetPeakMemory(device: string): void;
  freeDeviceMemory(device: string): { free: number; total: number };
  setKernelFolders(sources: string, cache: string): void;
  loadKernelEmulator(path: string): void;
  startProfiler(withDevice: boolean): void;
  stopProfiler(file: string): void;
  openGraphs(library: string): string;
  beginGraph(index: number): GraphHandle;
  endGraph(graph: GraphHandle): void;
  replayGraph(graph: GraphHandle): void;
  freeGraph(graph: GraphHandle): void;
  openTransfers(device: string): TransferHandle;
  startTransfer(stream: TransferHandle, to: readonly Handle[], from: readonly Handle[]): TransferHandle;
  followTransfer(event: TransferHandle): void;
  kernelState(index: number): KernelState;
  compileKernels(source: string, architecture: string): { code: ArrayBuffer; log: string; compiler: string };
  startRecording(): void;
  stopRecording(): Recorded;
  synchronize(device: string): void;
  emptyCache(): void;
  setNumThreads(count: number): void;
  getNumThreads(): number;
  setFloat32Precision(precision: "highest" | "high" | "medium"): void;
  setDeterministic(deterministic: boolean, warnOnly: boolean): void;
  holdLease(): void;
  releaseLease(): void;
  leaseHeldByAnother(): boolean;
  buildInfo(): BuildInfo;
  safetensorsOpen(
    path: string,
  ): [
    file: SafetensorsHandle,
    tensors: [name: string, dtype: string, shape: number[], bytes: number][],
    metadata: [key: string, value: string][],
  ];
  safetensorsTensor(file: SafetensorsHandle, name: string): Handle;
  safetensorsClose(file: SafetensorsHandle): void;
  safetensorsWrite(
    path: string,
    names: string[],
    tensors: Handle[],
    metadata: [key: string, value: string][],
  ): void;
}

/** Bytes that an accelerator's allocator holds. */
export interface DeviceMemory {
  /** Bytes that tensors take now. */
  readonly allocated: number;
  /** Bytes that the allocator holds of the device now, in use or kept for later. */
  readonly reserved: number;
  /** The most bytes that tensors took at once. */
  readonly peakAllocated: number;
  /** The most bytes that the allocator held at once. */
  readonly peakReserved: number;
}

/** Whether the fused kernels run on a card: native/accelerator/kernels.h. */
export interface KernelState {
  /** What they are compiled for: `sm_90`. */
  readonly architecture: string;
  /** The card's compute capability times ten, 90; 0 where no driver says it. */
  readonly capability: number;
  /** Why they do not run; empty where they do. */
  readonly reason: string;
  /** NVRTC's version; empty where there is none. */
  readonly compiler: string;
}

/** What was asked of a device while operators were recorded: native/accelerator/recorder.h. */
export interface Recorded {
  /** Kernels by the operator, or the kernel of this package, that they belong to. */
  readonly launches: Readonly<Record<string, number>>;
  /** Copies from the host's memory to the device, and those of them that are waited for. */
  readonly uploads: number;
  readonly waitedUploads: number;
  /** Copies to the host, each of which is waited for. */
  readonly downloads: number;
}

/** What the addon was built with and what this processor can do. */
export interface BuildInfo {
  /** The version of libtorch that the addon was built against. */
  readonly builtWith: string;
  /** The instructions that libtorch's kernels use here, in its words: `AVX2`, `AVX512`. */
  readonly cpuCapability: string;
  /** Whether libtorch was built with CUDA and finds it. */
  readonly hasCuda: boolean;
  /** Whether libtorch has MKL or oneDNN for its products. */
  readonly hasMkldnn: boolean;
  /** libtorch's own report of its build, over several lines. */
  readonly config: string;
  /** Why libtorch's CUDA half did not load, in the loader's words; undefined where it did or there is none. */
  readonly acceleratorError?: string;
}

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..", "..");

/** A clone builds with npm; an installed package, in whose folder nothing may be written, with `qwen-pt setup`. */
const isClone = existsSync(path.join(root, "lib")) && existsSync(path.join(root, "tsconfig.json"));

/** The command that builds the addon here. */
export function buildCommand(force = false): string {
  if (isClone) return force ? "npm run build -- --force" : "npm run build";
  return force ? "npx qwen-pt setup --force" : "npx qwen-pt setup";
}

/** What a build left: the addon, the libtorch it was built against and that libtorch's version. */
export interface AddonRecord {
  /** The addon's file. */
  readonly addon?: string;
  /** libtorch's folder. */
  readonly libtorch?: string;
  /** libtorch's version. */
  readonly version?: string;
  /** The CUDA that libtorch was built for, such as 13.0. */
  readonly cuda?: string;
}

function readJson(file: string): Record<string, string | undefined> {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Record<string, string | undefined>;
  } catch {
    return {};
  }
}

/** The record that `qwen-pt setup` writes last, named by the version, the platform and the C++ of this package. */
function setupRecord(): AddonRecord {
  const sources = readJson(path.join(root, "dist", "native.json"))["sources"];
  if (sources === undefined) return {};
  const name = `${packageVersion()}-${process.platform}-${process.arch}-${sources.slice(0, 12)}.json`;
  return readJson(path.join(cacheFolder(), "addon", name));
}

/** Where a build puts the addon, in the order of looking; `QWEN_PT_ADDON` comes before them. */
function candidates(): string[] {
  const given = process.env["QWEN_PT_ADDON"];
  if (given) return [given];
  const built = ["build/cmake/Release/qwen_pt.node", "build/Release/qwen_pt.node"].map((file) =>
    path.join(root, file),
  );
  if (isClone) return built;
  const { addon } = setupRecord();
  return addon === undefined ? built : [...built, addon];
}

/** The addon's file, if it has been built. Loads nothing. */
export function addonPath(): string | undefined {
  return candidates().find((file) => existsSync(file));
}

/** The record of the build that {@link addonPath} found. */
export function addonRecord(): AddonRecord {
  const cached = isClone ? {} : setupRecord();
  if (cached.addon !== undefined && cached.addon === addonPath()) return cached;
  return readJson(path.join(root, "build", "addon.json"));
}

/** The version of the libtorch in a folder ("2.13.0+cpu"), from the file that a wheel or an archive carries. */
export function libtorchVersion(folder: string): string | undefined {
  try {
    const text = readFileSync(path.join(folder, "version.py"), "utf8");
    const version = /^__version__ = '([^']+)'/m.exec(text)?.[1];
    if (version !== undefined) return version;
  } catch {
    // not a wheel's
  }
  try {
    return readFileSync(path.join(folder, "build-version"), "utf8").trim() || undefined;
  } catch {
    return undefined;
  }
}

/** What to do where no addon has been built. */
function notBuilt(): UserError {
  const given = process.env["QWEN_PT_ADDON"];
  if (given) return new UserError(`QWEN_PT_ADDON: ${given} does not exist: mend the path or unset it`);
  return new UserError(
    isClone
      ? `the addon has not been built (looked for ${candidates().join(" and ")}): run ${buildCommand()}`
      : `qwen-pt has not been set up for this machine: run ${buildCommand()} (it finds or fetches libtorch and compiles the addon, once)`,
  );
}

function advise(file: string, error: unknown): UserError {
  const text = messageOf(error).split("\n")[0] ?? "";
  if (
    /libtorch|libc10|torch_cpu|c10\.dll/.test(text) &&
    /cannot open|not found|could not be found/i.test(text)
  ) {
    const was = addonRecord().libtorch;
    return new UserError(
      `libtorch is not where the addon was built against it${was ? ` (${was})` : ""}: run ${buildCommand()}`,
    );
  }
  if (/undefined symbol|GLIBCXX|GLIBC_|procedure could not be found/.test(text)) {
    return new UserError(
      `the addon does not fit this machine's libraries (${text}): run ${buildCommand(true)}`,
    );
  }
  return new UserError(`the addon ${file} cannot be loaded (${text}): run ${buildCommand(true)}`);
}

/** A libtorch that was upgraded in place is another library under the same name: loading it may crash. */
function checkVersion({ libtorch, version }: AddonRecord): void {
  const now = libtorch === undefined ? undefined : libtorchVersion(libtorch);
  if (version === undefined || now === undefined || now === version) return;
  throw new UserError(
    `the addon was built against libtorch ${version}, and ${libtorch} is now ${now}: run ${buildCommand()}`,
  );
}

/** The addon's file. Throws UserError where none has been built: commands ask before they begin anything. */
export function neededAddon(): string {
  const file = addonPath();
  if (file === undefined) throw notBuilt();
  return file;
}

/** Words for QWEN_PT_PRODUCTS, which the addon reads (native/products/product_kind.cc). */
const PRODUCTS = ["int16", "packed", "panels", "native"];

function checkProducts(): void {
  const word = process.env["QWEN_PT_PRODUCTS"];
  if (word === undefined || word === "" || PRODUCTS.includes(word)) return;
  throw new UserError(
    `QWEN_PT_PRODUCTS: "${word}" is none of ${PRODUCTS.join(", ")}: unset it, or choose one`,
  );
}

/**
 * Says how many threads compute and how they wait, and on which card, where OpenMP's runtime and CUDA will read it. A module beside the addon does,
 * since a worker's process.env is a copy; without it (an addon that was built elsewhere) the main thread's own does.
 */
function settleEnvironment(file: string): void {
  if (process.platform !== "linux") return;
  const settings = threadSettings(process.env, cpuQuota(), os.availableParallelism());
  const card = cardOfRank(process.env);
  if (card !== undefined) settings["CUDA_VISIBLE_DEVICES"] = card;
  const module = path.join(path.dirname(file), "qwen_pt_environment.node");
  if (!existsSync(module)) {
    Object.assign(process.env, settings);
    return;
  }
  const { setVariables } = createRequire(import.meta.url)(module) as {
    setVariables(...namesAndValues: string[]): void;
  };
  setVariables(...Object.entries(settings).flat());
}

function load(): Native {
  checkProducts();
  const file = neededAddon();
  const excess = excessiveCapability(process.env["ATEN_CPU_CAPABILITY"], processorFlags(), process.arch);
  if (excess !== undefined) throw new UserError(excess);
  if (!process.env["QWEN_PT_ADDON"]) {
    const record = addonRecord();
    checkVersion(record);
    // Windows has no rpath: it looks for an addon's libraries on PATH
    if (process.platform === "win32" && record.libtorch !== undefined)
      process.env["PATH"] = `${path.join(record.libtorch, "lib")};${process.env["PATH"] ?? ""}`;
  }
  settleEnvironment(file);
  try {
    const addon = createRequire(import.meta.url)(file) as Native;
    const sources = path.join(root, "native", "kernels", "cuda");
    addon.setKernelFolders(sources, path.join(cacheFolder(), "kernels"));
    return addon;
  } catch (error) {
    throw advise(file, error);
  }
}

let loaded: Native | undefined;

/**
 * The addon, loaded at first use: importing the package costs nothing and works where libtorch is absent.
 * @throws UserError that says how to build it.
 */
export function native(): Native {
  loaded ??= load();
  return loaded;
}
