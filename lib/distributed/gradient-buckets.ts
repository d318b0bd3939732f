// Gradients added up over the ranks, in buckets that go as soon as they are complete: the last backward pass of a window goes
// on meanwhile. Small gradients lie end to end in a buffer, so that a collective's cost is paid once for many; large ones
// stay where they are. A parameter that no rank has a gradient for keeps none. Why not c10d's Reducer:
// docs/decisions/gradients-in-buckets.md.
import diagnostics from "node:diagnostics_channel";
import { bytesPerElement, cat, keep, noGrad, scope, type Tensor, zeros, zerosLike } from "../torch/index.js";
import type { Times, World } from "./world.js";

/** Bytes of a bucket at the most, as PyTorch's DistributedDataParallel has them; a larger gradient goes alone. */
const MOST_BYTES = 25 << 20;
/** Fewer bytes, and less than an eighth of all, wait for what is complete next: each bucket has a cost. */
const LEAST_BYTES = 1 << 20;
const LEAST_SHARE = 1 / 8;

/** A member's gradient as the bucket found it. */
interface Sent {
  readonly bucket: readonly Tensor[];
  /** All of them end to end, or the one gradient itself. */
  readonly flat: Tensor;
  readonly isWhole: boolean;
  readonly present: readonly boolean[];
  readonly times: Promise<Times | undefined>;
}

/** What {@link GradientBuckets.finish} publishes to the channel `qwen-pt:gradients`, for measurements. */
export interface GradientTimes {
  /** Milliseconds in which gradients moved between ranks. */
  readonly sent: number;
  /** Those of them in which this rank was computing. */
  readonly hidden: number;
}

const channel = diagnostics.channel("qwen-pt:gradients");

/** Sums the gradients of the same parameters on every rank, again and again. */
export class GradientBuckets {
  readonly #world: World;
  /** In the order in which they go. */
  readonly #buckets: readonly (readonly Tensor[])[];
  /** How many of them have all of their gradients once a group is complete, by the group. */
  readonly #ready: readonly number[];
  #sent: Sent[] = [];

  /**
   * @param groups parameters whose gradients are complete at the same time, in the order in which they are; the same on
   *   every rank
   */
  constructor(groups: readonly (readonly Tensor[])[], world: World) {
    this.#world = world;
    const { buckets, ready } = planBuckets(groups);
    this.#buckets = buckets;
    this.#ready = ready;
  }

  /** Starts to sum what is complete: the gradients of groups up to this one. They belong to the buckets until the end. */
  begin(group: number): void {
    if (this.#world.size > 1) this.#beginUpTo(this.#ready[group] ?? this.#buckets.length);
  }

  /**
   * Sums every gradient over the ranks, in place, what was not begun too.
   * @param afterwards what is done with a sum: of one gradient, or of several end to end
   */
  async finish(afterwards?: (sum: Tensor) => void): Promise<void> {
    const world = this.#world;
    if (world.size === 1) return;
    const computed = Number(process.hrtime.bigint()) / 1e6;
    this.#beginUpTo(this.#buckets.length);
    const all = this.#sent;
    this.#sent = [];
    const ranks = await world.sum(all.flatMap(({ present }) => present.map(Number)));
    let place = 0;
    let [sent, hidden] = [0, 0];
    for (const one of all) {
      const [began, ended] = (await one.times) ?? [0, 0];
      sent += ended - began;
      hidden += Math.max(0, Math.min(ended, computed) - began);
      afterwards?.(one.flat);
      const known = ranks.slice(place, place + one.bucket.length).map((count) => count > 0);
      place += one.bucket.length;
      giveBack(one, known);
    }
    if (channel.hasSubscribers) channel.publish({ sent, hidden } satisfies GradientTimes);
  }

  #beginUpTo(count: number): void {
    for (const bucket of this.#buckets.slice(this.#sent.length, count)) this.#sent.push(this.#begin(bucket));
  }

  #begin(bucket: readonly Tensor[]): Sent {
    const { flat, isWhole, present } = takeGradients(bucket);
    const times = this.#world.sumMeanwhile(flat);
    times.catch(() => {}); // finish() waits for it, and may come later than its failure
    return { bucket, flat, isWhole, present, times };
  }
}

function takeGradients(bucket: readonly Tensor[]): Pick<Sent, "flat" | "isWhole" | "present"> {
  return scope(() =>
    noGrad(() => {
      const gradients = bucket.map(({ grad }) => grad);
      const present = gradients.map((gradient) => gradient !== undefined);
      const [only] = bucket;
      if (bucket.length === 1 && only !== undefined) {
        only.grad = gradients[0]?.contiguous() ?? zerosLike(only.detach());
        return { flat: keep(only.grad as Tensor), isWhole: true, present };
      }
      const rows = bucket.map((parameter, at) => {
        const { dtype, device } = parameter;
        return gradients[at]?.reshape([-1]) ?? zeros([parameter.numel()], { dtype, device });
      });
      const flat = keep(cat(rows));
      for (const parameter of bucket) parameter.grad = undefined;
      return { flat, isWhole: false, present };
    }),
  );
}

/** The sums become the gradients of their parameters: views of the bucket, which lives as long as one of them. */
function giveBack({ bucket, flat, isWhole }: Sent, known: readonly boolean[]): void {
  let at = 0;
  scope(() => {
    for (const [place, parameter] of bucket.entries()) {
      const size = parameter.numel();
      if (!isWhole && parameter.grad !== undefined)
        throw new Error("a gradient was computed after its bucket had gone");
      if (known[place] !== true) parameter.grad = undefined;
      else if (!isWhole) parameter.grad = flat.narrow(0, at, size).view([...parameter.shape]);
      at += size;
    }
  });
  flat.dispose();
}

const bytesOf = (parameter: Tensor): number => parameter.numel() * bytesPerElement(parameter.dtype);

/** Parameters in runs of one dtype and at most {@link MOST_BYTES}; a group's end ends one that is large enough to go. */
function planBuckets(groups: readonly (readonly Tensor[])[]) {
  const total = groups.flat().reduce((sum, parameter) => sum + bytesOf(parameter), 0);
  const least = Math.min(LEAST_BYTES, total * LEAST_SHARE);
  const buckets: Tensor[][] = [];
  const ready: number[] = [];
  let bucket: Tensor[] = [];
  let bytes = 0;
  const close = (): void => {
    if (bucket.length > 0) buckets.push(bucket);
    bucket = [];
    bytes = 0;
  };
  for (const group of groups) {
    for (const parameter of group) {
      const size = bytesOf(parameter);
      if (bytes + size > MOST_BYTES || bucket[0]?.dtype !== parameter.dtype) close();
      bucket.push(parameter);
      bytes += size;
    }
    if (bytes >= least) close();
    ready.push(buckets.length);
  }
  close();
  return { buckets, ready };
}
