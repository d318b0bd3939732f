// What is known of an accelerator's memory, and which devices there are, with the addon's answers in a card's place.
import { afterEach, describe, expect, it, vi } from "vitest";
import {
  availableDeviceMemory,
  deviceMemory,
  hasDevice,
  peakMemory,
  startPeakMemory,
} from "../../lib/torch/index.js";
import { native } from "../../lib/torch/native.js";

afterEach(() => vi.restoreAllMocks());

/** An allocator that remembers peaks, as a card's does. */
function card(free = 1000) {
  const held = { allocated: 0, reserved: 0, peakAllocated: 0, peakReserved: 0 };
  const addon = native();
  vi.spyOn(addon, "accelerator").mockReturnValue({ type: "cuda", count: 2 });
  vi.spyOn(addon, "deviceMemory").mockImplementation(() => ({ ...held }));
  vi.spyOn(addon, "freeDeviceMemory").mockReturnValue({ free, total: 2000 });
  vi.spyOn(addon, "resetPeakMemory").mockImplementation(() => {
    held.peakAllocated = held.allocated;
    held.peakReserved = held.reserved;
  });
  return (allocated: number): void => {
    held.allocated = allocated;
    held.reserved = Math.max(held.reserved, allocated);
    held.peakAllocated = Math.max(held.peakAllocated, allocated);
    held.peakReserved = Math.max(held.peakReserved, held.reserved);
  };
}

describe("an accelerator's peak", () => {
  it("is of a step, and the run's stays", () => {
    const hold = card();
    for (const most of [700, 400]) {
      startPeakMemory("cuda:0");
      hold(most);
      hold(100);
      expect(peakMemory("cuda:0")).toBe(most);
    }
    expect(deviceMemory("cuda:0").peakAllocated).toBe(700);
    expect(deviceMemory("cuda:0").allocated).toBe(100);
  });

  it("on the processor is its resident memory", () => {
    const reset = vi.spyOn(native(), "resetPeakMemory");
    startPeakMemory("cpu");
    expect(peakMemory("cpu")).toBeGreaterThan(1e7);
    expect(reset).not.toHaveBeenCalled();
  });
});

describe("an accelerator's free memory", () => {
  it("counts what its allocator keeps without using it", () => {
    const hold = card(1000);
    hold(300);
    hold(100);
    expect(availableDeviceMemory("cuda:0")).toBe(1200);
  });

  it("is unknown where there is none", () => expect(availableDeviceMemory("cuda:0")).toBeUndefined());
});

it("says which devices this machine has", () => {
  expect(["cpu", "meta", "cuda:0"].map(hasDevice)).toEqual([true, true, false]);
  card();
  expect(["cuda", "cuda:0", "cuda:1", "cuda:2", "xpu:0"].map(hasDevice)).toEqual([
    true,
    true,
    true,
    false,
    false,
  ]);
});
