// Devices, their memory, threads, numerical modes, and the lease that keeps two threads from computing at once.
import { guarded } from "./errors.js";
import { type BuildInfo, type DeviceMemory, native } from "./native.js";

/** The accelerator that this libtorch and this machine have: its type (`cuda`) and how many there are. */
export function accelerator(): { type: string; count: number } | undefined {
  return guarded(() => native().accelerator());
}

/** The most that a device's allocator held before its peaks were counted again. */
const before = new Map<string, Pick<DeviceMemory, "peakAllocated" | "peakReserved">>();

/** Bytes that an accelerator's allocator holds now and held at most; zeros before the first tensor. */
export function deviceMemory(device: string): DeviceMemory {
  const now = guarded(() => native().deviceMemory(device));
  const { peakAllocated = 0, peakReserved = 0 } = before.get(device) ?? {};
  return {
    ...now,
    peakAllocated: Math.max(now.peakAllocated, peakAllocated),
    peakReserved: Math.max(now.peakReserved, peakReserved),
  };
}

/** The peak of a stretch of work begins here: {@link peakMemory} says how much was held since. */
export function startPeakMemory(device: string): void {
  if (!isAccelerator(device)) return;
  const { peakAllocated, peakReserved } = deviceMemory(device);
  before.set(device, { peakAllocated, peakReserved });
  guarded(() => native().resetPeakMemory(device));
}

/** The most bytes in use on a device since {@link startPeakMemory}; on the processor, the resident memory now. */
export function peakMemory(device: string): number {
  if (!isAccelerator(device)) return process.memoryUsage.rss();
  return guarded(() => native().deviceMemory(device)).peakAllocated;
}

/**
 * Bytes of an accelerator that this process may still take: what the driver says is free, and what the allocator keeps
 * without using it. Undefined where the device does not tell.
 */
export function availableDeviceMemory(device: string): number | undefined {
  try {
    const { free } = native().freeDeviceMemory(device);
    const { reserved, allocated } = native().deviceMemory(device);
    return free + reserved - allocated;
  } catch {
    return undefined;
  }
}

/** Whether a device is the processor, whose memory is the process's own. */
export function isHost(device: string): boolean {
  return /^cpu\b/.test(device);
}

/** Whether tensors there have values: on `meta` they have a shape alone. */
export function holdsValues(device: string): boolean {
  return !/^meta\b/.test(device);
}

/** The device that a run takes unless it is told otherwise: the first accelerator, or the processor. */
export function defaultDevice(): string {
  const found = accelerator();
  return found === undefined ? "cpu" : `${found.type}:0`;
}

/** Whether this machine has a device: the processor always, an accelerator by its type and number. */
export function hasDevice(device: string): boolean {
  if (!isAccelerator(device)) return true;
  const [type, index = "0"] = device.split(":");
  const found = accelerator();
  return found !== undefined && found.type === type && Number(index) < found.count;
}

/** Whether a device computes on its own, apart from the host: neither the processor nor `meta`. */
export function isAccelerator(device: string): boolean {
  return !isHost(device) && holdsValues(device);
}

/** Bytes in use by what computes on a device: the accelerator's allocator's, or the process's resident memory. */
export function memoryInUse(device: string): number {
  return isAccelerator(device) ? deviceMemory(device).allocated : process.memoryUsage.rss();
}

/** The number of a device whose work can be recorded as a graph; undefined for every other. */
export function graphDevice(device: string): number | undefined {
  const [type, index = "0"] = device.split(":");
  return type === "cuda" ? Number(index) : undefined;
}

/** Waits until everything enqueued on an accelerator is done. On the CPU there is nothing to wait for. */
export function synchronize(device: string): void {
  if (!isAccelerator(device)) return;
  guarded(() => native().synchronize(device));
}

/** Gives unused memory back to the system: the accelerator's, and what the process has freed but keeps for later. */
export function emptyCache(): void {
  guarded(() => native().emptyCache());
}

/** How many threads an operator may use on the CPU. */
export function setNumThreads(count: number): void {
  guarded(() => native().setNumThreads(count));
}

/** How many threads an operator uses on the CPU. */
export function getNumThreads(): number {
  return native().getNumThreads();
}

/** Precision of float32 matrix products: `highest` (IEEE), `high` (tf32 where there is one), `medium` (bfloat16). */
export function setFloat32Precision(precision: "highest" | "high" | "medium"): void {
  guarded(() => native().setFloat32Precision(precision));
}

/** Chooses deterministic kernels; an operator without one throws, or warns if `warnOnly`. */
export function setDeterministic(deterministic: boolean, options: { warnOnly?: boolean } = {}): void {
  guarded(() => native().setDeterministic(deterministic, options.warnOnly ?? false));
}

/** What the addon was built with and what this processor can do. */
export function buildInfo(): BuildInfo {
  return native().buildInfo();
}

/**
 * Keeps every other thread of this process from computing until {@link releaseLease}. A training run holds it.
 * @throws LeaseError where another thread has it.
 */
export function holdLease(): void {
  guarded(() => native().holdLease());
}

/** Gives the lease back; does nothing where this thread does not have it. */
export function releaseLease(): void {
  native().releaseLease();
}

/** Whether another thread of this process is computing, or holds the lease. */
export function isComputingElsewhere(): boolean {
  return native().leaseHeldByAnother();
}
