// The processes of a run as one of them sees them: its rank, collectives on tensors, what is agreed on, and the end.
// Which batches a rank has and what is done with gradients is not decided here.
import diagnostics from "node:diagnostics_channel";
import { messageOf, UserError } from "../errors.js";
import { empty, isHost, keep, noGrad, scope, type Tensor, tensor } from "../torch/index.js";
import { packageVersion } from "../version.js";
import { distributedAddon, type GroupHandle, type HeartbeatHandle } from "./addon.js";
import { cardLibrary, joinCards } from "./cards.js";
import { type RankPlace, rankPlace } from "./environment.js";
import { DistributedError, PeerError } from "./errors.js";
import { agree, openRunStore, ownAddress, type RunStore } from "./rendezvous.js";

/** How a reduction combines the ranks' elements; c10d's numbers. */
const REDUCTIONS = { sum: 0, avg: 1, product: 2, min: 3, max: 4 } as const;
/** How a reduction combines the ranks' elements. */
export type Reduction = "sum" | "product" | "min" | "max";

/** native/distributed/group/group.h's order. */
const KINDS = {
  allReduce: 0,
  broadcast: 1,
  allGather: 2,
  reduceScatter: 3,
  barrier: 4,
  allToAll: 5,
} as const;

/** Between which milliseconds of `process.hrtime` the elements of a collective moved, once every rank had begun it. */
export type Times = readonly [began: number, ended: number];

/** A collective under way, for a thread that blocks where it needs the result: inside a pass through a model. */
export interface Pending {
  /**
   * Blocks until it is done, whatever the event loop has to do; of a card's tensors, lets what is asked of the card from now
   * on wait for it. Throws what {@link World.explained} explains.
   */
  wait(): void;
}

/** A sum over the ranks under way, of which each gets a part. */
export interface PendingPart {
  /** Waits for this rank's part of it, [n]; the caller's to dispose of. */
  take(): Tensor;
}

/** What each {@link Pending} publishes to the channel `qwen-pt:waits` once it is done, for measurements. */
export interface WaitTimes {
  /** Milliseconds in which its elements moved between ranks. */
  readonly moving: number;
  /** Those of them in which this rank was computing. */
  readonly hidden: number;
}

const waits = diagnostics.channel("qwen-pt:waits");

/** Settings of {@link init}. */
export interface InitOptions {
  /** This process's place; default: what torchrun's variables say, and alone where they are not set. */
  place?: RankPlace | undefined;
  /** Seconds after which a collective gives up; default 1,800. */
  timeoutSeconds?: number;
  /** Seconds of silence after which a rank counts as dead, and every other ends; default 60. */
  heartbeatSeconds?: number;
  /**
   * What moves tensors: `gloo` those of the processor; `nccl` those of each process's card too, by a library that
   * `node scripts/nccl.mjs` builds. Default gloo.
   */
  backend?: "gloo" | "nccl";
}

/** c10d adds a time-out to the clock in nanoseconds: three years fit, LLaMA-Factory's usual 5.7 need not be waited for. */
const MOST_SECONDS = 1e8;
/** How long the processes may take to start, unless collectives give up earlier. */
const MOST_TO_START = 300;

/** Backends as ranks compare them: one that sees no card, among others that do, has chosen the first. */
const WHERE = { gloo: "gloo (processor)", nccl: "nccl (GPU)" } as const;

/** The processes of a run. Made by {@link init}. */
export class World {
  /** Number of this process, from 0. */
  readonly rank: number;
  /** Number of processes. */
  readonly size: number;
  /** How often the processes were started again after one of them failed, as torchrun counts. */
  readonly attempt: number;
  readonly #parts: WorldParts | undefined;
  #ended = false;

  /** @internal */
  constructor(place: Pick<RankPlace, "rank" | "size">, parts?: WorldParts) {
    this.rank = place.rank;
    this.size = place.size;
    this.attempt = parts?.place.attempt ?? 0;
    this.#parts = parts;
  }

  /** Reduces a tensor over the ranks, in place: every rank has the result. Any shape, contiguous; where, `backend` says. */
  async allReduce(value: Tensor, reduction: Reduction = "sum"): Promise<Tensor> {
    await this.#collective("allReduce", value, undefined, REDUCTIONS[reduction]);
    return value;
  }

  /**
   * {@link allReduce} by sum of a tensor that is left alone meanwhile: queued before it returns.
   * @internal
   */
  sumMeanwhile(value: Tensor): Promise<Times | undefined> {
    return this.#collective("allReduce", value, undefined, REDUCTIONS.sum);
  }

  /** Copies a tensor from rank `from` to every rank, in place. Any shape, contiguous; where, `backend` says. */
  async broadcast(value: Tensor, from = 0): Promise<Tensor> {
    await this.#collective("broadcast", value, undefined, 0, from);
    return value;
  }

  /** The ranks' tensors, stacked in the order of ranks: [size, ...shape], of the same dtype. */
  async allGather(value: Tensor): Promise<Tensor> {
    const input = value.contiguous();
    const output = empty([this.size, ...value.shape], { dtype: value.dtype, device: value.device });
    if (this.#parts === undefined) output.copy_(input);
    else await this.#collective("allGather", input, output);
    return output;
  }

  /**
   * Reduces a tensor of [size * n, ...] over the ranks and leaves each the part of its rank, [n, ...].
   * @throws RangeError where the first dimension is no multiple of the number of ranks
   */
  async reduceScatter(value: Tensor, reduction: Reduction = "sum"): Promise<Tensor> {
    const [first = 0, ...rest] = value.shape;
    if (first % this.size !== 0)
      throw new RangeError(`reduceScatter: ${first} rows cannot be shared by ${this.size} ranks`);
    const input = value.contiguous();
    const output = empty([first / this.size, ...rest], { dtype: value.dtype, device: value.device });
    if (this.#parts === undefined) output.copy_(input);
    else await this.#collective("reduceScatter", input, output, REDUCTIONS[reduction]);
    return output;
  }

  /**
   * Starts a collective in the order of all, of which `wait` blocks this thread: allReduce and broadcast in place,
   * allGather [n] into [size * n], reduceScatter [size * n] into [n], allToAll the rows of [size * n] to the ranks, of each
   * rank one into [size * n].
   */
  begin(
    kind: "allReduce" | "broadcast" | "allGather" | "reduceScatter" | "allToAll",
    value: Tensor,
    output?: Tensor,
  ): Pending {
    if (this.#parts === undefined) {
      output?.copy_(value);
      return { wait() {} };
    }
    const addon = distributedAddon();
    const { group } = this.#parts;
    const ticket = addon.begin(group, KINDS[kind], value._handle, output?._handle ?? null, 0, 0);
    return {
      wait() {
        const asked = Number(process.hrtime.bigint()) / 1e6;
        const [began, ended] = addon.await(ticket);
        if (!waits.hasSubscribers) return;
        const hidden = Math.max(0, Math.min(ended, asked) - began);
        waits.publish({ moving: ended - began, hidden } satisfies WaitTimes);
      },
    };
  }

  /**
   * Starts to add up tensors of [size * n] over the ranks, of which this one gets its part. Gloo has no reduce-scatter, and
   * c10d makes one of an all-reduce: an all-to-all and a sum in the order of ranks send half as much.
   */
  beginPart(value: Tensor): PendingPart {
    const { size } = this;
    const length = value.numel() / size;
    const form = { dtype: value.dtype, device: value.device };
    const isWhole = this.#parts?.cards !== undefined && value.device.split(":")[0] === this.#parts.cards;
    const received = keep(empty([isWhole ? length : size * length], form));
    const pending = this.begin(isWhole ? "reduceScatter" : "allToAll", value, received);
    return {
      take() {
        pending.wait();
        if (isWhole) return received;
        const sum = keep(scope(() => noGrad(() => received.view([size, length]).sum(0))));
        received.dispose();
        return sum;
      },
    };
  }

  /** Sends a tensor to a rank; done once it has been received there under the same tag. A card's goes by the host's memory. */
  async send(value: Tensor, to: number, tag = 0): Promise<void> {
    const sent = isHost(value.device) ? value.contiguous() : value.to({ device: "cpu" }).contiguous();
    await this.#call((addon, { group }) => addon.send(group, sent._handle, to, tag));
  }

  /** Fills a tensor, of the sender's shape and dtype, with what rank `from` sends under this tag. */
  async receive(value: Tensor, from: number, tag = 0): Promise<Tensor> {
    const there = isHost(value.device) ? value : empty(value.shape, { dtype: value.dtype });
    await this.#call((addon, { group }) => addon.receive(group, there._handle, from, tag));
    if (there !== value) noGrad(() => value.copy_(there));
    return value;
  }

  /**
   * The number by which ring attention (lib/nn) knows these ranks, of which this is one: each passes on to the next.
   * @internal
   */
  openRing(ranks: readonly number[]): number {
    if (this.#parts === undefined) throw new RangeError("openRing: there is one process");
    return distributedAddon().openRing(this.#parts.group, ranks, ranks.indexOf(this.rank));
  }

  /** Waits until every rank has come here. */
  async barrier(): Promise<void> {
    await this.#collective("barrier", undefined, undefined);
  }

  /** Sums lists of numbers over the ranks, element by element, in fp64. */
  async sum(values: readonly number[]): Promise<number[]> {
    if (this.#parts === undefined) return [...values];
    const summed = tensor([...values], { dtype: "float64" });
    await this.allReduce(summed);
    const result = summed.tolist() as number[];
    summed.dispose();
    return result;
  }

  /**
   * Compares what must be the same on every rank, through the store: nothing of it can time out.
   * @param label of the comparison, once a run
   * @throws UserError on rank 0, naming the rank and what differs; PeerError on the others
   */
  async agree(label: string, facts: Readonly<Record<string, string>>): Promise<void> {
    if (this.#parts !== undefined) await agree(this.#parts.store, this.#parts.place, label, facts);
  }

  /** Runs `work` on rank 0 first and on the others once it is done there; they wait without a collective. */
  async firstOnRank0<T>(label: string, work: () => Promise<T>): Promise<T> {
    if (this.#parts === undefined) return work();
    if (this.rank > 0) await this.#parts.store.wait(`${label}/done`);
    const result = await work();
    if (this.rank === 0) await this.#parts.store.set(`${label}/done`, "1");
    return result;
  }

  /** Asks all ranks to stop: {@link stopAsked} is true on each about a second later. */
  askToStop(): void {
    if (this.#parts !== undefined) distributedAddon().askToStop(this.#parts.heartbeat);
  }

  /** Whether some rank has asked that all stop. */
  get stopAsked(): boolean {
    return this.#parts !== undefined && distributedAddon().stopAsked(this.#parts.heartbeat);
  }

  /** Ends this rank's part; rank 0 waits for the others, since the store ends with it. */
  async close(): Promise<void> {
    if (this.#parts === undefined || this.#ended) return;
    this.#ended = true;
    const addon = distributedAddon();
    await addon.leave(this.#parts.heartbeat, this.rank === 0 && !this.#parts.place.hasStore ? 10_000 : 0);
    await addon.closeGroup(this.#parts.group);
  }

  /** Ends this rank because of an error: the other ranks end too, and rank 0 says why. */
  async fail(error: unknown): Promise<void> {
    if (this.#parts === undefined || this.#ended) return;
    this.#ended = true;
    const addon = distributedAddon();
    const { heartbeat, place } = this.#parts;
    const isOwn = !(error instanceof PeerError || error instanceof DistributedError);
    try {
      if (isOwn) await addon.reportFault(heartbeat, `rank ${this.rank}: ${messageOf(error)}`);
      await addon.leave(heartbeat, this.rank === 0 && !place.hasStore ? 5000 : 0);
    } catch {
      // the store is gone, and with it whoever could have been told
    }
  }

  #collective(
    kind: keyof typeof KINDS,
    value: Tensor | undefined,
    output: Tensor | undefined,
    reduction = 0,
    root = 0,
  ): Promise<Times | undefined> {
    return this.#call((addon, { group }) =>
      addon.collective(group, KINDS[kind], value?._handle ?? null, output?._handle ?? null, reduction, root),
    );
  }

  async #call<T>(
    start: (addon: ReturnType<typeof distributedAddon>, parts: WorldParts) => Promise<T>,
  ): Promise<T | undefined> {
    if (this.#parts === undefined) return undefined;
    const addon = distributedAddon();
    try {
      return await start(addon, this.#parts);
    } catch (error) {
      throw await this.explained(error);
    }
  }

  /** A failed collective's error, with the ranks that are gone: gloo names a port. Others stay as they are. */
  async explained(error: unknown): Promise<unknown> {
    if (!(error instanceof Error) || (error as NodeJS.ErrnoException).code !== "ERR_DISTRIBUTED")
      return error;
    const { group, heartbeat } = this.#parts as WorldParts;
    if (/do not agree/.test(error.message)) return new DistributedError(error.message, { cause: error });
    const addon = distributedAddon();
    const waiting = addon.waitingFor(group);
    const found = await addon.silentRanks(heartbeat);
    const silent = found.slice(1);
    if (found.startsWith("R")) return this.rank === 0 ? new DistributedError(silent) : new PeerError(silent);
    const what = waiting === "" ? "a message" : waiting;
    return new DistributedError(
      silent === ""
        ? `${what} failed on rank ${this.rank}: ${error.message}`
        : `${silent}; rank ${this.rank} was waiting for ${what}`,
      { cause: error },
    );
  }
}

interface WorldParts {
  readonly place: RankPlace;
  readonly store: RunStore;
  readonly group: GroupHandle;
  readonly heartbeat: HeartbeatHandle;
  /** The type of the devices whose tensors go by NCCL; undefined where there is none. */
  cards?: string;
}

/**
 * Joins the processes of a run: by torchrun's variables (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT), over c10d's store
 * and Gloo. A process that is alone gets a world of one, whose collectives do nothing.
 * @throws UserError for variables that do not fit, a port in use, ranks that do not come or run another version;
 *   PeerError on ranks above 0 where rank 0 throws
 */
export async function init(options: InitOptions = {}): Promise<World> {
  const place = "place" in options ? options.place : rankPlace(process.env);
  if (place === undefined || place.size === 1) return new World({ rank: 0, size: 1 });
  const { timeoutSeconds = 1800, heartbeatSeconds = 60, backend = "gloo" } = options;
  const seconds = Math.min(timeoutSeconds, MOST_SECONDS);
  const startMs = Math.min(seconds, MOST_TO_START) * 1000;
  const addon = distributedAddon();
  const store = await openRunStore(place, startMs);
  const facts = {
    WORLD_SIZE: String(place.size),
    "qwen-pt's version": packageVersion(),
    ddp_backend: WHERE[backend],
  };
  await agree(store, place, "start", facts, startMs);
  const timeoutMs = Math.round(seconds * 1000);
  const group = await addon.joinGroup(
    store.handle,
    place.rank,
    place.size,
    timeoutMs,
    await ownAddress(place.address, place.port),
  );
  const heartbeat = await addon.startHeartbeat(
    store.handle,
    group,
    place.rank,
    place.size,
    Math.round(heartbeatSeconds * 1000),
  );
  const parts: WorldParts = { place, store, group, heartbeat };
  const world = new World(place, parts);
  if (backend === "nccl") await withCards(world, parts, timeoutMs);
  return world;
}

/** The cards of a world whose processes have found each other; it ends where they cannot be connected. */
async function withCards(world: World, parts: WorldParts, timeoutMs: number): Promise<void> {
  try {
    await joinCards({ rank: world.rank, ...parts }, timeoutMs, (value) => world.allGather(value));
    const found = cardLibrary();
    if ("device" in found) parts.cards = found.device;
  } catch (raw) {
    const error = await world.explained(raw);
    const isEverywhere = error instanceof UserError || error instanceof PeerError; // each rank has found it
    await (isEverywhere ? world.close() : world.fail(error));
    throw error;
  }
}
