// The host's memory as the place of a device's activations: they leave while the next block computes forward, and the
// block before comes back while one computes backward. On the device at any time are those of two blocks: what is under
// way, and what leaves or arrives. Which tensors, and when: see recompute.ts.
import {
  type DType,
  empty,
  isAccelerator,
  keep,
  noGrad,
  op,
  scope,
  type Tensor,
  type Transfer,
  type Transfers,
  transfersOf,
} from "../../torch/index.js";
import { type ActivationStore, isWhole, setElements } from "./activation-store.js";

const emptyPinned =
  op<(size: readonly number[], options: { dtype: DType; device: string; pin_memory: boolean }) => Tensor>(
    "aten::empty.memory_format",
  );

interface Moved {
  /** Of the caller: it has its elements, or none. */
  readonly tensor: Tensor;
  /** In the host's memory, pinned for an accelerator. */
  readonly copy: Tensor;
}

interface Arrival {
  readonly transfer: Transfer;
  readonly arrived: readonly Tensor[];
}

/** What one `put` brought. */
interface Kept {
  readonly moved: readonly Moved[];
  /** While the tensors still have their elements: the copies to the host. */
  leaving: Transfer | undefined;
  /** While elements are on their way back. */
  arriving?: Arrival | undefined;
}

/** The memory of the host, for tensors of an accelerator. Nobody waits for a copy but the device. */
export class HostStore implements ActivationStore {
  readonly #kept = new Map<number, Kept>();
  #transfers: Transfers | undefined;

  /** @param transfers what copies; left out: the stream of the first tensor's device */
  constructor(transfers?: Transfers) {
    this.#transfers = transfers;
  }

  put(key: number, tensors: readonly Tensor[]): void {
    const whole = tensors.filter(isWhole);
    const moved = whole.map((tensor) => ({ tensor, copy: hostCopyOf(tensor) }));
    const leaving = this.#start(
      moved.map(({ copy }) => copy),
      whole,
    );
    this.#kept.set(key, { moved, leaving });
    // what was put before had a block's computing to leave in
    for (const [other, one] of this.#kept) if (other !== key && one.leaving !== undefined) letGo(one);
  }

  take(key: number): void {
    const kept = this.#kept.get(key);
    if (kept === undefined) return;
    this.#bringBack(kept);
    this.#kept.delete(key);
    const before = Math.max(...[...this.#kept.keys()].filter((other) => other < key));
    const next = this.#kept.get(before);
    if (next !== undefined && next.leaving === undefined) this.#fetch(next);
  }

  clear(): void {
    for (const { moved, leaving, arriving } of this.#kept.values()) {
      leaving?.follow();
      arriving?.transfer.follow();
      for (const tensor of [...moved.map(({ copy }) => copy), ...(arriving?.arrived ?? [])]) tensor.dispose();
    }
    this.#kept.clear();
  }

  close(): void {
    this.clear();
  }

  #start(to: readonly Tensor[], from: readonly Tensor[]): Transfer {
    this.#transfers ??= transfersOf(from[0]?.device ?? to[0]?.device ?? "cpu");
    return noGrad(() => (this.#transfers as Transfers).start(to, from));
  }

  #fetch(kept: Kept): Arrival {
    if (kept.arriving !== undefined) return kept.arriving;
    const arrived = kept.moved.map(({ tensor: { dtype, device }, copy: { shape } }) =>
      keep(empty([...shape], { dtype, device })),
    );
    const copies = kept.moved.map(({ copy }) => copy);
    kept.arriving = { transfer: this.#start(arrived, copies), arrived };
    return kept.arriving;
  }

  /** The tensors have their elements, whatever is asked of the device from now on. */
  #bringBack(kept: Kept): void {
    if (kept.leaving === undefined) {
      const { transfer, arrived } = this.#fetch(kept);
      transfer.follow();
      for (const [at, { tensor }] of kept.moved.entries()) setElements(tensor, () => arrived[at] as Tensor);
      for (const each of arrived) each.dispose();
    } else kept.leaving.follow(); // never gone: the caller may free them again
    for (const { copy } of kept.moved) copy.dispose(); // the allocator of pinned memory waits for copies by itself
  }
}

/** The elements are free for what the device computes next. */
function letGo(kept: Kept): void {
  kept.leaving?.follow();
  kept.leaving = undefined;
  for (const { tensor } of kept.moved)
    setElements(tensor, () => empty([0], { dtype: tensor.dtype, device: tensor.device }));
}

function hostCopyOf({ dtype, device, shape }: Tensor): Tensor {
  return keep(
    scope(() => emptyPinned([...shape], { dtype, device: "cpu", pin_memory: isAccelerator(device) })),
  );
}
