// A process's place in its run, from its environment to a strategy; and what is not built for several processes.
import { contextParts, type Recipe, shardingOf } from "../../config/index.js";
import { cardLibrary, init, PeerError, rankPlace, type World } from "../../distributed/index.js";
import { messageOf, UserError } from "../../errors.js";
import { accelerator, isHost } from "../../torch/index.js";
import { contextGroup } from "./context-group.js";
import { dataParallel } from "./data-parallel.js";
import { sharded } from "./sharded.js";
import { oneProcess, type Strategy } from "./strategy.js";

/** The strategy of a run, and how this process leaves it. */
export interface Joined {
  readonly strategy: Strategy;
  /** Ends this process's part of a run that went well. */
  close(): Promise<void>;
  /** Ends the run on every process because of an error here; gives what is left for this process to throw. */
  fail(error: unknown): Promise<unknown>;
}

const alone: Joined = { strategy: oneProcess, close: async () => {}, fail: async (error) => error };

/**
 * Joins the processes that torchrun's variables name; a process for which they are not set is alone.
 * @throws UserError for variables that do not fit, and for what is not built
 */
export async function joinRun(recipe: Recipe): Promise<Joined> {
  const place = rankPlace(process.env);
  if (place === undefined) {
    const { nproc_per_node: wanted } = recipe;
    if (wanted !== null && wanted > 1 && process.env["WORLD_SIZE"] === undefined)
      throw new UserError(
        `nproc_per_node: ${wanted} processes are started by the command line (qwen-pt train) or torchrun, not by a program; leave it out`,
      );
    return alone;
  }
  const { backend, fault = "" } = backendOf(recipe);
  const world = await init({
    place,
    backend,
    timeoutSeconds: recipe.ddp_timeout,
    heartbeatSeconds: recipe.heartbeat_timeout,
  });
  await world.agree("backend", { "what moves tensors": fault || backend });
  if (fault !== "") {
    await world.close(); // every rank has found it, and rank 0 says it
    throw world.rank > 0 ? new PeerError(fault) : new UserError(fault);
  }
  const sharding = world.size > 1 ? shardingOf(recipe) : undefined;
  const context = contextGroup(world, contextParts(recipe));
  const strategy = sharding === undefined ? dataParallel(world, context) : sharded(world, sharding, context);
  return { strategy, close: () => world.close(), fail: (error) => fail(world, error) };
}

/** What moves this run's tensors, NCCL on GPUs and gloo on the processor; or why not what the recipe wants. */
function backendOf(recipe: Recipe): { backend: "gloo" | "nccl"; fault?: string } {
  const { ddp_backend: wanted } = recipe;
  const device = recipe.use_cpu ? "cpu" : (accelerator()?.type ?? "cpu");
  if (isHost(device)) {
    if (wanted !== "nccl") return { backend: "gloo" };
    const library = cardLibrary();
    if ("device" in library && library.device === device) return { backend: "nccl" };
    return {
      backend: "gloo",
      fault:
        "ddp_backend: nccl moves tensors of GPUs, and this run computes on the processor; take gloo, or leave the key out",
    };
  }
  if (wanted === "gloo")
    return {
      backend: "gloo",
      fault:
        "ddp_backend: gloo moves tensors of the processor, and this run computes on GPUs; take nccl, or set use_cpu: true",
    };
  if (contextParts(recipe) > 1)
    return {
      backend: "gloo",
      fault:
        "parallelism_config: cp_size: attention over rows in parts is computed on the processor alone; leave it out, or set use_cpu: true",
    };
  return { backend: "nccl" };
}

async function fail(world: World, raw: unknown): Promise<unknown> {
  const error = await world.explained(raw);
  await world.fail(error);
  const isOwn = !(error instanceof PeerError) && (error as Error)?.name !== "DistributedError";
  return isOwn && world.rank > 0 ? new PeerError(messageOf(error)) : error; // rank 0 prints it
}
