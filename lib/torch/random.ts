// Random state. The CPU generator is PyTorch's Mersenne Twister: the same seed gives the same draws as in Python.
import { isAccelerator } from "./device.js";
import { guarded } from "./errors.js";
import { Generator, wrapHandle } from "./lifetime/handle.js";
import { native } from "./native.js";
import type { Tensor } from "./tensor.js";

/** Seeds every device's default generator, as `torch.manual_seed` does. */
export function manualSeed(seed: number | bigint): void {
  guarded(() => native().manualSeed(seed));
}

/** The devices whose default generators a computation on `device` may draw from: the processor always, and its own. */
export function drawingDevices(device: string): string[] {
  return isAccelerator(device) ? ["cpu", device] : ["cpu"];
}

/** A new CPU generator, apart from the default one. */
export function createGenerator(seed: number | bigint): Generator {
  return new Generator(guarded(() => native().createGenerator(seed)));
}

/** The state of a device's default generator (default: the CPU's), or of a generator: a uint8 tensor. */
export function getRngState(source: string | Generator = "cpu"): Tensor {
  const from = typeof source === "string" ? source : source._handle;
  return wrapHandle(guarded(() => native().getRngState(from))) as Tensor;
}

/** Restores a state that {@link getRngState} gave. */
export function setRngState(state: Tensor, target: string | Generator = "cpu"): void {
  guarded(() => native().setRngState(state._handle, typeof target === "string" ? target : target._handle));
}
