// The fused CUDA kernels of this package, which NVRTC compiles on the machine at first use: whether a card runs them.
import { accessSync, constants, mkdirSync } from "node:fs";
import path from "node:path";
import { messageOf } from "../../errors.js";
import { cacheFolder } from "../../files/cache-folder.js";
import { isAccelerator } from "../device.js";
import { type KernelState, native } from "../native.js";

/** Where compiled kernels are kept from run to run. */
export function kernelCache(): string {
  return path.join(cacheFolder(), "kernels");
}

/** Whether the fused kernels run on a device; undefined where there is no question of them. */
export function fusedKernels(device: string): KernelState | undefined {
  if (!isAccelerator(device)) return undefined;
  return native().kernelState(Number(device.split(":")[1] ?? 0));
}

/** Why compiled kernels cannot be kept, in the system's words; undefined where they can. */
export function kernelCacheProblem(folder: string = kernelCache()): string | undefined {
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}
