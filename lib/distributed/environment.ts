// Which process of a run this is, by torchrun's variables: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT, and
// those by which torchrun says that its agent keeps the store. Slurm's variables stand in where torchrun's are not set.
import { UserError } from "../errors.js";

/** A process's place among those of a run, and where they meet. */
export interface RankPlace {
  /** Number of this process, from 0. */
  readonly rank: number;
  /** Number of processes. */
  readonly size: number;
  /** Number of this process on its machine, from 0. */
  readonly localRank: number;
  /** Processes on this machine; undefined where nobody says. */
  readonly localSize: number | undefined;
  /** Address of the machine of rank 0. */
  readonly address: string;
  /** Port of the store there. */
  readonly port: number;
  /** Whether someone else (torchrun's agent) keeps the store, and rank 0 is a client of it too. */
  readonly hasStore: boolean;
  /** How often torchrun has restarted the processes: keys of an earlier attempt must not be read. */
  readonly attempt: number;
}

/** Variables of a process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A variable that is a whole number from `least` on; undefined where it is not set. @throws UserError for another text */
export function integer(env: Environment, name: string, least: number): number | undefined {
  const text = env[name];
  if (text === undefined || text === "") return undefined;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < least)
    throw new UserError(
      `${name}: "${text}" is not a whole number from ${least} on; unset it, or start with torchrun`,
    );
  return value;
}

function needed(env: Environment, name: string): string {
  const value = env[name];
  if (value === undefined || value === "")
    throw new UserError(
      `${name} is not set, though WORLD_SIZE is; start with torchrun or nproc_per_node, which set them all`,
    );
  return value;
}

/** Where a Slurm job step put this process; what torchrun's variables say comes first. */
function withSlurm(env: Environment): Environment {
  if (env["WORLD_SIZE"] !== undefined || env["SLURM_STEP_ID"] === undefined) return env;
  const { SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID, MASTER_ADDR } = env;
  if (SLURM_PROCID === undefined || SLURM_NTASKS === undefined || MASTER_ADDR === undefined) return env;
  return { ...env, RANK: SLURM_PROCID, WORLD_SIZE: SLURM_NTASKS, LOCAL_RANK: SLURM_LOCALID };
}

/**
 * The place that the environment gives this process; undefined where it is alone.
 * @throws UserError for variables that contradict each other
 */
export function rankPlace(environment: Environment): RankPlace | undefined {
  const env = withSlurm(environment);
  const size = integer(env, "WORLD_SIZE", 1);
  if (size === undefined || size === 1) return undefined;
  needed(env, "RANK");
  const rank = integer(env, "RANK", 0) as number;
  if (rank >= size)
    throw new UserError(
      `RANK: ${rank} is not below WORLD_SIZE ${size}; ranks are counted from 0: mend what starts the processes`,
    );
  return {
    rank,
    size,
    localRank: integer(env, "LOCAL_RANK", 0) ?? rank,
    localSize: integer(env, "LOCAL_WORLD_SIZE", 1),
    address: needed(env, "MASTER_ADDR"),
    port: integer(env, "MASTER_PORT", 1) ?? Number(needed(env, "MASTER_PORT")),
    hasStore: env["TORCHELASTIC_USE_AGENT_STORE"] === "True",
    attempt: integer(env, "TORCHELASTIC_RESTART_COUNT", 0) ?? 0,
  };
}
