// PiSSA's decompositions where a weight is: on meta, which stands for any device, nothing may come from the processor.
import { expect, it, vi } from "vitest";
import { type PissaInit, pissaParts } from "../../lib/peft/pissa.js";
import { randn, zeros } from "../../lib/torch/index.js";
import { native } from "../../lib/torch/native.js";

it.each(["pissa", "pissa_niter_2"] as const)("%s stays on the weight's device", (init: PissaInit) => {
  const seen = new Set<string>();
  const addon = native();
  const real = addon.invoke;
  const device = addon.tensorDevice;
  vi.spyOn(addon, "invoke").mockImplementation((id, ...args) => {
    const result = real.call(addon, id, ...args);
    for (const handle of [result].flat()) {
      if (typeof handle !== "object" || handle === null) continue;
      seen.add(device.call(addon, handle as never));
    }
    return result;
  });
  for (const shape of [
    [24, 16],
    [16, 24],
  ]) {
    const { a, b, residual } = pissaParts(zeros(shape, { device: "meta", dtype: "bfloat16" }), init, 4, 2);
    expect([a.shape, b.shape, residual.dtype]).toEqual([[4, shape[1]], [shape[0], 4], "bfloat16"]);
  }
  vi.restoreAllMocks();
  expect([...seen]).toEqual(["meta"]);
});

it("the draw is the same on the processor as it was", () => {
  const weight = randn([12, 8]);
  const { a, b, residual } = pissaParts(weight, "pissa_niter_2", 8, 2);
  expect(residual.add(b.matmul(a).mul(2)).sub(weight).abs().max().item()).toBeLessThan(1e-4);
});
