// Gradients added up over the ranks: small ones end to end in a buffer, so that a collective's cost is paid once for
// many; large ones where they are. A parameter that no rank has a gradient for keeps none.
import { cat, type Tensor, zerosLike } from "../torch/index.js";
import type { World } from "./world.js";

/** Bytes of a bucket, as PyTorch's DistributedDataParallel has them. */
const BUCKET_BYTES = 25 << 20;

/** Sums the gradients of the same parameters on every rank, again and again. */
export class GradientBuckets {
  readonly #world: World;
  readonly #parameters: readonly Tensor[];

  /** @param parameters in the same order on every rank */
  constructor(parameters: readonly Tensor[], world: World) {
    this.#world = world;
    this.#parameters = parameters;
  }

  /**
   * Sums every gradient over the ranks, in place.
   * @param afterwards what is done with a sum: of one gradient, or of several end to end
   */
  async sum(afterwards?: (sum: Tensor) => void): Promise<void> {
    const world = this.#world;
    if (world.size === 1) return;
    const present = this.#parameters.map(hasGradient);
    const ranks = await world.sum(present.map(Number));
    const reduced = this.#parameters.filter((_, at) => (ranks[at] as number) > 0);
    for (const parameter of reduced) if (!hasGradient(parameter)) giveZeros(parameter);
    for (const bucket of buckets(reduced)) await this.#sumBucket(bucket, afterwards);
  }

  async #sumBucket(bucket: readonly Tensor[], afterwards?: (sum: Tensor) => void): Promise<void> {
    const gradients = bucket.map(({ grad }) => grad as Tensor);
    const [first] = gradients;
    const isWhole =
      gradients.length === 1 && first !== undefined && first.contiguous().dataPointer === first.dataPointer;
    const flat = isWhole ? first : flattened(gradients);
    await this.#world.allReduce(flat);
    afterwards?.(flat);
    if (!isWhole) {
      spread(flat, gradients);
      flat.dispose();
    }
    for (const gradient of gradients) gradient.dispose();
  }
}

function hasGradient(parameter: Tensor): boolean {
  const { grad } = parameter;
  grad?.dispose();
  return grad !== undefined;
}

function giveZeros(parameter: Tensor): void {
  const zeros = zerosLike(parameter);
  parameter.grad = zeros;
  zeros.dispose();
}

/** Parameters in runs of one dtype and at most {@link BUCKET_BYTES}. */
function* buckets(parameters: readonly Tensor[]): Generator<Tensor[]> {
  let bucket: Tensor[] = [];
  let bytes = 0;
  for (const parameter of parameters) {
    const size = parameter.numel() * (parameter.dtype === "float64" ? 8 : 4);
    if (bucket.length > 0 && (bytes + size > BUCKET_BYTES || bucket[0]?.dtype !== parameter.dtype)) {
      yield bucket;
      bucket = [];
      bytes = 0;
    }
    bucket.push(parameter);
    bytes += size;
  }
  if (bucket.length > 0) yield bucket;
}

function flattened(gradients: readonly Tensor[]): Tensor {
  const rows = gradients.map((gradient) => gradient.reshape([-1]));
  const flat = cat(rows);
  for (const row of rows) row.dispose();
  return flat;
}

function spread(flat: Tensor, gradients: readonly Tensor[]): void {
  let at = 0;
  for (const gradient of gradients) {
    const size = gradient.numel();
    const part = flat.narrow(0, at, size);
    const shaped = part.view(gradient.shape);
    gradient.copy_(shaped);
    part.dispose();
    shaped.dispose();
    at += size;
  }
}
