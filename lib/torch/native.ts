// The only file that loads the addon. Types what it exports, and turns a failure to load into advice.
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf, UserError } from "../errors.js";

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
declare const fileBrand: unique symbol;
/** An open safetensors file as native code knows it. */
export interface SafetensorsHandle {
  readonly [fileBrand]: "safetensors";
}

/** One parameter of an operator, from its schema. */
export interface Parameter {
  readonly name: string;
  /** As TorchScript writes it: `Tensor`, `List[int]`, `Optional[ScalarType]`. SymInt is `int`, Scalar `number`. */
  readonly type: string;
  readonly optional: boolean;
  readonly hasDefault: boolean;
  readonly keywordOnly: boolean;
}

/** An operator that libtorch registers. */
export interface OperatorInfo {
  readonly id: number;
  readonly name: string;
  readonly schema: string;
  readonly parameters: readonly Parameter[];
  /** The argument that comes back (in-place and out= operators), or -1. */
  readonly alias: number;
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
  readonly allocated: number;
  readonly reserved: number;
  readonly peakAllocated: number;
  readonly peakReserved: number;
}

/** What the addon was built with and what this processor can do. */
export interface BuildInfo {
  readonly builtWith: string;
  readonly cpuCapability: string;
  readonly hasCuda: boolean;
  readonly hasMkldnn: boolean;
  readonly config: string;
}

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..", "..");

/** Where a build puts the addon, in the order of looking; `QWEN_PT_ADDON` comes before them. */
function candidates(): string[] {
  const given = process.env["QWEN_PT_ADDON"];
  const built = ["build/cmake/Release/qwen_pt.node", "build/Release/qwen_pt.node"].map((file) =>
    path.join(root, file),
  );
  return given ? [given] : built;
}

/** The addon's file, if it has been built. Loads nothing. */
export function addonPath(): string | undefined {
  return candidates().find((file) => existsSync(file));
}

/** The record that the build left: the libtorch it found and its version. */
export function addonRecord(): { libtorch?: string; version?: string } {
  try {
    return JSON.parse(readFileSync(path.join(root, "build", "addon.json"), "utf8")) as {
      libtorch?: string;
      version?: string;
    };
  } catch {
    return {};
  }
}

function advise(file: string, error: unknown): UserError {
  const text = messageOf(error).split("\n")[0] ?? "";
  if (
    /libtorch|libc10|torch_cpu|c10\.dll/.test(text) &&
    /cannot open|not found|could not be found/i.test(text)
  ) {
    const was = addonRecord().libtorch;
    return new UserError(
      `libtorch is not where the addon was built against it${was ? ` (${was})` : ""}: run npm run build`,
    );
  }
  if (/undefined symbol|GLIBCXX|GLIBC_|procedure could not be found/.test(text)) {
    return new UserError(
      `the addon does not fit this machine's libraries (${text}): run npm run build -- --force`,
    );
  }
  return new UserError(`the addon ${file} cannot be loaded (${text}): run npm run build -- --force`);
}

function load(): Native {
  const file = addonPath();
  if (file === undefined) {
    throw new UserError(
      `the addon has not been built (looked for ${candidates().join(" and ")}): run npm run build`,
    );
  }
  try {
    return createRequire(import.meta.url)(file) as Native;
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
