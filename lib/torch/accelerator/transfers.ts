// Copies between the host's memory and a device's that run beside what the device computes. Nothing here waits on the
// host: order is kept on the device, and whoever frees memory that is copied keeps to it.
import { isAccelerator } from "../device.js";
import type { Device } from "../dtype.js";
import { guarded } from "../errors.js";
import { native } from "../native.js";
import { op } from "../operators/operator.js";
import type { Tensor } from "../tensor.js";

/** Copies that were started together. */
export interface Transfer {
  /**
   * What is asked of the device from now on comes after the copies: only then is what was copied into read, and what was
   * copied from changed or freed.
   */
  follow(): void;
}

/** What copies; in tests what plays it. */
export interface Transfers {
  /** Starts to copy each `from` into the `to` beside it, after all that was asked of the device so far. */
  start(to: readonly Tensor[], from: readonly Tensor[]): Transfer;
}

const copyInto = op<(self: Tensor, src: Tensor, nonBlocking: boolean) => Tensor>("aten::copy_");

/** Copies at once, where there is nothing to copy beside. */
const atOnce: Transfers = {
  start(to, from) {
    for (const [at, each] of to.entries()) copyInto(each, from[at] as Tensor, false);
    return { follow() {} };
  },
};

/** Transfers of a device, in a stream that is opened here. */
export function transfersOf(device: Device): Transfers {
  if (!isAccelerator(device)) return atOnce;
  const stream = guarded(() => native().openTransfers(device));
  const handles = (tensors: readonly Tensor[]) => tensors.map(({ _handle }) => _handle);
  return {
    start(to, from) {
      const event = guarded(() => native().startTransfer(stream, handles(to), handles(from)));
      return { follow: () => guarded(() => native().followTransfer(event)) };
    },
  };
}
