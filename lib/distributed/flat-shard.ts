// Parameters of one dtype end to end in one buffer, of which each rank keeps an N-th: gathered for as long as they are
// computed with, their gradients reduced to the part of each rank. The tensors stay the same ones all the while, views of
// the buffer whose memory comes and goes, so that a model and autograd need not know. When: the caller decides.
import {
  type Device,
  type DType,
  empty,
  keep,
  noGrad,
  op,
  releasePages,
  scope,
  type Tensor,
  zeros,
} from "../torch/index.js";
import { distributedAddon } from "./addon.js";
import type { Pending, PendingPart, World } from "./world.js";

const setData = op<(self: Tensor, newData: Tensor) => void>("aten::set_data");

/**
 * A member, and a rank's part of it, begins at a multiple of as many elements: kernels read whole cache lines, and an
 * optimizer's state has numbers for runs of as many (lib/optim's LONGEST_RUN).
 */
const ALIGNMENT = 256;

const aligned = (count: number): number => Math.ceil(count / ALIGNMENT) * ALIGNMENT;

interface Member {
  readonly name: string;
  parameter: Tensor;
  /** Of its first element in the buffer. */
  readonly at: number;
  readonly shape: readonly number[];
  readonly size: number;
  /** Whether a backward pass of this window has given it a gradient. */
  hasGradient: boolean;
}

/** What a rank keeps of one parameter. */
export interface OwnPart {
  /** The parameter's name. */
  readonly name: string;
  /** Its elements from `from` on, in C order: [length]. Its `grad` is the sum over the ranks. */
  readonly part: Tensor;
  readonly from: number;
  /** The parameter's. */
  readonly shape: readonly number[];
}

interface Reduction {
  /** Whole gradients, [size * length], and this rank's part of their sum. */
  readonly sent: Tensor;
  readonly part: PendingPart;
}

/** Parameters of which this rank keeps a part. */
export class FlatShard {
  /** What this rank keeps, in the order of the parameters. */
  readonly parts: readonly OwnPart[];
  /** The parameters' names. */
  readonly names: readonly string[];
  readonly #world: World;
  readonly #members: readonly Member[];
  /** Whether its parameters are trained. */
  readonly isTrained: boolean;
  /** Where it is kept. */
  readonly device: Device;
  /** Elements of a rank. */
  readonly #length: number;
  /** All members, [size * length]; without memory while they are not gathered. */
  readonly #whole: Tensor;
  readonly #own: Tensor;
  #gathering: Pending | undefined;
  #isWhole = true;
  #reduction: Reduction | undefined;

  /**
   * Takes over parameters, whole on every rank, and lets go of all but this rank's part. What is trained is rank 0's
   * afterwards.
   * @param named all trained or all frozen; in the same order on every rank
   * @param dtype which all of them have from now on
   */
  constructor(named: readonly (readonly [string, Tensor])[], world: World, dtype: DType) {
    const [, first] = named[0] as readonly [string, Tensor];
    this.#world = world;
    this.isTrained = first.requiresGrad;
    let end = 0;
    this.#members = named.map(([name, parameter]) => {
      const [at, size] = [aligned(end), parameter.numel()];
      end = at + size;
      return { name, parameter, at, shape: parameter.shape, size, hasGradient: false };
    });
    this.names = named.map(([name]) => name);
    this.#length = aligned(Math.ceil(end / world.size));
    const { device } = first;
    this.device = device;
    this.#whole = keep(zeros([world.size * this.#length], { dtype, device }));
    for (const member of this.#members) this.#takeIn(member, member.parameter);
    if (this.isTrained) world.begin("broadcast", this.#whole).wait();
    this.#own = keep(empty([this.#length], { dtype, device }));
    this.parts = this.#cut();
    this.#keepOwn();
    this.release();
  }

  /** Starts to gather the parameters; {@link ready} waits for them. */
  gather(): void {
    if (this.#isWhole || this.#gathering !== undefined) return;
    distributedAddon().restoreMemory(this.#whole._handle);
    this.#gathering = this.#world.begin("allGather", this.#own, this.#whole);
  }

  /** The parameters can be read and written. */
  ready(): void {
    this.gather();
    this.#gathering?.wait();
    this.#gathering = undefined;
    this.#isWhole = true;
  }

  /** Their memory goes, but for this rank's part. */
  release(): void {
    if (this.#gathering !== undefined) this.ready();
    if (this.#isWhole) distributedAddon().releaseMemory(this.#whole._handle);
    this.#isWhole = false;
  }

  /** Starts to add this rank's gradients to those of the others; they are taken from the parameters. */
  reduce(): void {
    this.settle();
    if (!this.isTrained) return;
    const { size } = this.#world;
    scope(() =>
      noGrad(() => {
        const gradients = this.#members.map(({ parameter }) => parameter.grad);
        if (gradients.every((gradient) => gradient === undefined)) return;
        const { dtype, device } = this.#own;
        const sent = keep(zeros([size * this.#length], { dtype, device }));
        for (const [at, member] of this.#members.entries()) {
          const gradient = gradients[at];
          if (gradient === undefined) continue;
          this.#sliceOf(member, sent).copy_(gradient.reshape([-1]));
          member.parameter.grad = undefined;
          member.hasGradient = true;
        }
        this.#reduction = { sent, part: this.#world.beginPart(sent) };
      }),
    );
  }

  /** Waits for what {@link reduce} began: this rank's part of the sum is added to the gradients of its {@link parts}. */
  settle(): void {
    const reduction = this.#reduction;
    if (reduction === undefined) return;
    this.#reduction = undefined;
    const sum = reduction.part.take();
    reduction.sent.dispose();
    scope(() => noGrad(() => this.#add(sum)));
    sum.dispose();
  }

  /** Whether all of these are other tensors than the parameters so far. */
  differs(named: ReadonlyMap<string, Tensor>): boolean {
    return this.#members.every(({ name, parameter }) => named.get(name) !== parameter);
  }

  /**
   * Gives every rank its part of what rank 0 has: in its parameters, which are whole there now, or in place of them.
   * @param named rank 0's
   */
  renew(named: ReadonlyMap<string, Tensor>): void {
    if (!this.#isWhole) distributedAddon().restoreMemory(this.#whole._handle);
    if (this.#world.rank === 0)
      for (const member of this.#members) {
        const found = named.get(member.name) as Tensor;
        if (found !== member.parameter) this.#takeIn(member, found);
      }
    this.#isWhole = true;
    this.#world.begin("broadcast", this.#whole).wait();
    this.#keepOwn();
    this.release();
  }

  #sliceOf({ at, size }: Member, buffer: Tensor): Tensor {
    return buffer.narrow(0, at, size);
  }

  /** Copies a parameter into the buffer and makes it a view of that. */
  #takeIn(member: Member, parameter: Tensor): void {
    member.parameter = parameter;
    scope(() =>
      noGrad(() => {
        const slice = this.#sliceOf(member, this.#whole);
        const stored = parameter.detach();
        slice.copy_(stored.reshape([-1]));
        releasePages(stored);
        setData(parameter, slice.view([...member.shape]));
        parameter._forget(); // its dtype may be another
      }),
    );
  }

  #keepOwn(): void {
    const { rank } = this.#world;
    scope(() => noGrad(() => this.#own.copy_(this.#whole.narrow(0, rank * this.#length, this.#length))));
  }

  /** The parts of the members that are in this rank's range of the buffer. */
  #cut(): OwnPart[] {
    const start = this.#world.rank * this.#length;
    const found: OwnPart[] = [];
    for (const { name, at, size, shape } of this.#members) {
      const from = Math.max(at, start);
      const length = Math.min(at + size, start + this.#length) - from;
      if (length <= 0) continue;
      const part = noGrad(() => keep(this.#own.narrow(0, from - start, length)));
      part.requiresGrad = this.isTrained;
      found.push({ name, part, from: from - at, shape });
    }
    return found;
  }

  /** Adds a sum of gradients, [length], to what this window has so far. */
  #add(sum: Tensor): void {
    const present = new Set(this.#members.filter(({ hasGradient }) => hasGradient).map(({ name }) => name));
    const start = this.#world.rank * this.#length;
    const places = new Map(this.#members.map(({ name, at }) => [name, at]));
    for (const { name, part, from } of this.parts) {
      if (!present.has(name)) continue;
      const slice = sum.narrow(0, (places.get(name) as number) + from - start, part.numel());
      const { grad } = part;
      if (grad === undefined) part.grad = slice.clone();
      else grad.add_(slice);
    }
    for (const member of this.#members) member.hasGradient = false;
  }
}
