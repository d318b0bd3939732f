// The only file that loads qwen_pt_distributed.node, the addon in which several processes talk to each other. It lies
// beside the other, whose tensors it takes, and is loaded only where a run has more than one process.
import { createRequire } from "node:module";
import path from "node:path";
import { messageOf, UserError } from "../errors.js";
import { addonPath, buildCommand, type Handle, native } from "../torch/native.js";

declare const storeBrand: unique symbol;
/** A store as native code knows it. */
export interface StoreHandle {
  readonly [storeBrand]: "store";
}
declare const groupBrand: unique symbol;
/** A process group as native code knows it. */
export interface GroupHandle {
  readonly [groupBrand]: "group";
}
declare const ticketBrand: unique symbol;
/** A collective under way, as native code knows it. */
export interface TicketHandle {
  readonly [ticketBrand]: "ticket";
}
declare const heartbeatBrand: unique symbol;
/** The heartbeat of this rank as native code knows it. */
export interface HeartbeatHandle {
  readonly [heartbeatBrand]: "heartbeat";
}

/** What the addon exports: see native/distributed/distributed_addon.cc, where each function has its line. */
export interface DistributedAddon {
  openStore(
    host: string,
    port: number,
    serves: boolean,
    timeoutMs: number,
    prefix: string,
  ): Promise<StoreHandle>;
  storePort(store: StoreHandle): number;
  storeSet(store: StoreHandle, key: string, value: string): Promise<void>;
  storeGet(store: StoreHandle, key: string): Promise<string | undefined>;
  storeAdd(store: StoreHandle, key: string, amount: number): Promise<number>;
  joinGroup(
    store: StoreHandle,
    rank: number,
    size: number,
    timeoutMs: number,
    hostname: string,
  ): Promise<GroupHandle>;
  joinFakeGroup(rank: number, size: number): GroupHandle;
  openCards(path: string): string;
  cardName(index: number): Promise<string>;
  joinCards(group: GroupHandle, store: StoreHandle, index: number, timeoutMs: number): Promise<void>;
  collective(
    group: GroupHandle,
    kind: number,
    tensor: Handle | null,
    output: Handle | null,
    reduction: number,
    root: number,
  ): Promise<readonly [began: number, ended: number]>;
  begin(
    group: GroupHandle,
    kind: number,
    tensor: Handle | null,
    output: Handle | null,
    reduction: number,
    root: number,
  ): TicketHandle;
  await(ticket: TicketHandle): readonly [began: number, ended: number];
  releaseMemory(tensor: Handle): void;
  restoreMemory(tensor: Handle): void;
  send(group: GroupHandle, tensor: Handle, to: number, tag: number): Promise<void>;
  receive(group: GroupHandle, tensor: Handle, from: number, tag: number): Promise<void>;
  openRing(group: GroupHandle, ranks: readonly number[], place: number): number;
  waitingFor(group: GroupHandle): string;
  closeGroup(group: GroupHandle): Promise<void>;
  startHeartbeat(
    store: StoreHandle,
    group: GroupHandle,
    rank: number,
    size: number,
    limitMs: number,
  ): Promise<HeartbeatHandle>;
  silentRanks(heartbeat: HeartbeatHandle): Promise<string>;
  reportFault(heartbeat: HeartbeatHandle, reason: string): Promise<void>;
  stopAsked(heartbeat: HeartbeatHandle): boolean;
  askToStop(heartbeat: HeartbeatHandle): void;
  leave(heartbeat: HeartbeatHandle, waitMs: number): Promise<void>;
  layoutFault(): string;
}

let loaded: DistributedAddon | undefined;

/**
 * The addon, loaded and checked against libtorch at first use.
 * @throws UserError where it was not built, or libtorch's classes are not those that it was compiled for
 */
export function distributedAddon(): DistributedAddon {
  loaded ??= load();
  return loaded;
}

function load(): DistributedAddon {
  native(); // libtorch first, with its threads settled
  if (process.platform !== "linux")
    throw new UserError(
      `several processes are built for Linux alone, and this is ${process.platform}: train with one process`,
    );
  const file = path.join(path.dirname(addonPath() as string), "qwen_pt_distributed.node");
  let addon: DistributedAddon;
  try {
    addon = createRequire(import.meta.url)(file) as DistributedAddon;
  } catch (error) {
    const why = messageOf(error).split("\n")[0];
    throw new UserError(
      `several processes: their addon cannot be loaded (${why}): run ${buildCommand(true)}, or train with one process`,
    );
  }
  const fault = addon.layoutFault();
  if (fault !== "")
    throw new UserError(
      `several processes: this libtorch's process groups are not those that the addon was compiled for (${fault}); use libtorch 2.13, or train with one process`,
    );
  return addon;
}
