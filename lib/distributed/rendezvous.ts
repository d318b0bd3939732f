// How the ranks of a run find each other: through the store, with no collective, so that those who are missing can be
// named and no time-out of a collective can strike. Everything after that is world.ts.
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { setTimeout as after } from "node:timers/promises";
import { messageOf, UserError } from "../errors.js";
import { distributedAddon, type StoreHandle } from "./addon.js";
import type { RankPlace } from "./environment.js";
import { DistributedError, PeerError } from "./errors.js";

/** Milliseconds between questions; in large runs one for each rank, so that the store has a thousand a second to answer. */
const pollMs = ({ size }: RankPlace): number => Math.max(50, size);

/** The store of a run, as one of its ranks uses it. */
export class RunStore {
  /** @internal */
  readonly handle: StoreHandle;
  readonly #place: RankPlace;

  constructor(handle: StoreHandle, place: RankPlace) {
    this.handle = handle;
    this.#place = place;
  }

  /** Sets a key. */
  set(key: string, value: string): Promise<void> {
    return this.#asked(distributedAddon().storeSet(this.handle, key, value));
  }

  /** The value of a key; undefined where it has none yet. */
  get(key: string): Promise<string | undefined> {
    return this.#asked(distributedAddon().storeGet(this.handle, key));
  }

  /** Adds to a key's number, 0 at first, and gives the sum. */
  add(key: string, amount: number): Promise<number> {
    return this.#asked(distributedAddon().storeAdd(this.handle, key, amount));
  }

  /** Waits for a key, however long: only requests that are answered at once, so nothing can time out. */
  async wait(key: string): Promise<string> {
    for (;;) {
      const value = await this.get(key);
      if (value !== undefined) return value;
      await after(pollMs(this.#place));
    }
  }

  /** Waits until a key's number has reached `least`. False: not within `limitMs`. */
  async reaches(key: string, least: number, limitMs: number): Promise<boolean> {
    const end = performance.now() + limitMs;
    while ((await this.add(key, 0)) < least) {
      if (performance.now() > end) return false;
      await after(pollMs(this.#place));
    }
    return true;
  }

  async #asked<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      const { rank, hasStore } = this.#place;
      const keeper = hasStore ? "torchrun's agent" : "rank 0";
      throw new DistributedError(`rank ${rank}: ${keeper}, which keeps the store, is gone`, { cause: error });
    }
  }
}

/**
 * Connects to the store; rank 0 opens it, unless torchrun's agent has.
 * @param limitMs how long to try
 * @throws UserError where nobody answers, or the port is taken
 */
export async function openRunStore(place: RankPlace, limitMs: number): Promise<RunStore> {
  const { rank, address, port, hasStore, attempt } = place;
  const serves = rank === 0 && !hasStore;
  const inUse = (): UserError =>
    new UserError(
      `MASTER_PORT: port ${port} of ${address} is in use; choose another, or end what listens there`,
    );
  // before libtorch tries, which prints what it meets
  if (serves && (await isListening("127.0.0.1", port))) throw inUse();
  try {
    const prefix = `qwen-pt/${attempt}/`;
    const opening = distributedAddon().openStore(address, port, serves, limitMs, prefix);
    return new RunStore(await (serves ? opening : answered(opening, place)), place);
  } catch (error) {
    if (error instanceof UserError) throw error;
    const why = messageOf(error);
    if (/EADDRINUSE|address already in use/i.test(why)) throw inUse();
    throw new UserError(
      `rank ${rank} cannot reach rank 0 at ${address}:${port} (${why}); check MASTER_ADDR and MASTER_PORT, and that rank 0 has started`,
    );
  }
}

/** Milliseconds between looks at who listens where a store should answer: it does at once. */
const SILENCE = 15_000;

/**
 * The store once it answers. libtorch waits without an end for whatever else listens at its port and says nothing.
 * @throws UserError naming the port
 */
async function answered(
  opening: Promise<StoreHandle>,
  { rank, address, port }: RankPlace,
): Promise<StoreHandle> {
  const done = new AbortController();
  const silence = async (): Promise<never> => {
    for (let seen = 0; ; ) {
      await after(SILENCE, undefined, { signal: done.signal, ref: false });
      seen = (await isListening(address, port)) ? seen + 1 : 0;
      if (seen < 2) continue; // it may have come this moment
      throw new UserError(
        `MASTER_PORT: what listens at port ${port} of ${address} does not answer rank ${rank} as the store of a run does; choose another port, or end what listens there`,
      );
    }
  };
  try {
    return await Promise.race([opening, silence()]);
  } finally {
    done.abort();
  }
}

/** Whether somebody listens at a port. */
function isListening(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 2000 });
    const end = (found: boolean): void => {
      socket.destroy();
      resolve(found);
    };
    socket.once("connect", () => end(true));
    socket.once("timeout", () => end(false));
    socket.once("error", () => end(false));
  });
}

type Facts = Readonly<Record<string, string>>;

/**
 * Compares what must be the same on every rank; returns once rank 0 knows that it is. Every rank compares itself with
 * rank 0, so that no rank has more to do the more there are.
 * @param label of the comparison, once a run
 * @param limitMs how long rank 0 waits for the others
 * @throws UserError on rank 0, naming a rank and what differs; PeerError on the others
 */
export async function agree(
  store: RunStore,
  { rank, size }: RankPlace,
  label: string,
  facts: Facts,
  limitMs = Number.POSITIVE_INFINITY,
): Promise<void> {
  if ((await store.add(`${label}/rank/${rank}`, 1)) > 1)
    throw new UserError(`RANK: two processes are rank ${rank}; mend what starts the processes`);
  if (rank > 0) {
    await compareWithFirst(store, rank, label, facts);
    if ((await store.wait(`${label}/verdict`)) !== "") {
      await store.add(`${label}/read`, 1);
      throw new PeerError(`the ranks do not agree: rank 0 says in what`);
    }
    return;
  }
  await store.set(`${label}/facts`, JSON.stringify(facts));
  const complete = await store.reaches(`${label}/arrived`, size - 1, limitMs);
  const fault = complete ? await difference(store, size, label) : await absence(store, size, label, limitMs);
  await store.set(`${label}/verdict`, fault);
  if (fault === "") return;
  await store.reaches(`${label}/read`, size - 1, 3000); // the store ends with this process
  throw new UserError(fault);
}

async function absence(store: RunStore, size: number, label: string, limitMs: number): Promise<string> {
  const missing: number[] = [];
  for (let rank = 0; rank < size; rank++)
    if ((await store.add(`${label}/rank/${rank}`, 0)) === 0) missing.push(rank);
  const who = `rank${missing.length === 1 ? "" : "s"} ${missing.slice(0, 8).join(", ")}${missing.length > 8 ? ", ..." : ""}`;
  return `${who} of ${size} did not come within ${limitMs / 1000} s; check WORLD_SIZE, and that every process was started`;
}

/** Leaves what differs here from rank 0, and then that this rank has come. */
async function compareWithFirst(store: RunStore, rank: number, label: string, facts: Facts): Promise<void> {
  const first = JSON.parse(await store.wait(`${label}/facts`)) as Facts;
  const name = [...new Set([...Object.keys(first), ...Object.keys(facts)])].find(
    (one) => first[one] !== facts[one],
  );
  if (name !== undefined) {
    const [there, here] = [facts[name], first[name]].map((value) => value ?? "nothing");
    const fault = `rank ${rank} differs from rank 0 in ${name}: ${there} there, ${here} here; start every rank with the same recipe, data and version`;
    await store.set(`${label}/differs/${rank}`, fault);
    await store.add(`${label}/differing`, 1);
  }
  await store.add(`${label}/arrived`, 1);
}

/** What the first rank that differs has left. */
async function difference(store: RunStore, size: number, label: string): Promise<string> {
  if ((await store.add(`${label}/differing`, 0)) === 0) return "";
  for (let rank = 1; rank < size; rank++) {
    const fault = await store.get(`${label}/differs/${rank}`);
    if (fault !== undefined) return fault;
  }
  return "";
}

/** The address of this machine by which others reach it: the one from which packets to rank 0 leave. */
export function ownAddress(address: string, port: number): Promise<string> {
  if (address === "localhost" || address.startsWith("127.")) return Promise.resolve("127.0.0.1");
  return new Promise((resolve) => {
    const socket = createSocket(address.includes(":") ? "udp6" : "udp4"); // connected, it sends nothing
    const end = (found: string): void => {
      socket.close();
      resolve(found);
    };
    socket.on("error", () => end(""));
    socket.connect(port, address, () => end(socket.address().address));
  });
}
