// Starts the processes of a run on this machine, with torchrun's variables, and waits for them: what torchrun does for
// Python. It knows no recipe, and not what the processes do.
import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:net";
import os from "node:os";
import { UserError } from "../errors.js";
import { cpuQuota } from "../torch/machine/cpu-quota.js";
import { saysThreads, threadsFor } from "../torch/machine/thread-settings.js";
import { type Environment, integer } from "./environment.js";

/** How many processes run where. */
export interface LaunchPlan {
  /** Processes on this machine. */
  readonly perNode: number;
  /** Machines. */
  readonly nodes: number;
  /** Number of this machine, from 0. */
  readonly node: number;
  /** Address of machine 0. */
  readonly address: string;
  /** Port there; undefined for a free one of this machine. */
  readonly port: number | undefined;
  /** How often the processes are started again after one of them failed. */
  readonly maxRestarts: number;
}

const isOn = (value: string | undefined): boolean => ["true", "y", "1"].includes((value ?? "").toLowerCase());

/**
 * What LLaMA-Factory's variables and a recipe ask for: FORCE_TORCHRUN, NNODES, NODE_RANK, NPROC_PER_NODE, MASTER_ADDR,
 * MASTER_PORT, MAX_RESTARTS. Undefined where this process is to train by itself.
 * @param wanted the recipe's nproc_per_node
 * @param cards of this machine that the run may use: one process for each, where there are several, as LLaMA-Factory does
 * @throws UserError for a variable that is no number, or a NODE_RANK beyond NNODES
 */
export function launchPlan(env: Environment, wanted: number | null, cards = 0): LaunchPlan | undefined {
  if (env["WORLD_SIZE"] !== undefined || env["SLURM_STEP_ID"] !== undefined) return undefined; // started by another
  const forced = isOn(env["FORCE_TORCHRUN"]) || (wanted === null && cards > 1);
  if (!forced && (wanted ?? 1) === 1) return undefined;
  const nodes = forced ? (integer(env, "NNODES", 1) ?? 1) : 1;
  const node = forced ? (integer(env, "NODE_RANK", 0) ?? 0) : 0;
  if (node >= nodes) throw new UserError(`NODE_RANK: ${node} is not below NNODES ${nodes}`);
  for (const name of ["RDZV_ID", "MIN_NNODES", "MAX_NNODES"])
    if (forced && env[name] !== undefined)
      throw new UserError(
        `${name}: only torchrun knows machines that come and go; start with torchrun, or unset it`,
      );
  if (nodes > 1 && (env["MASTER_ADDR"] ?? "") === "")
    throw new UserError(
      "MASTER_ADDR is not set: with NNODES above 1 it is the address of the machine of NODE_RANK 0",
    );
  return {
    perNode: wanted ?? integer(env, "NPROC_PER_NODE", 1) ?? Math.max(1, cards),
    nodes,
    node,
    address: env["MASTER_ADDR"] || "127.0.0.1",
    port: integer(env, "MASTER_PORT", 1) ?? (nodes > 1 ? 29500 : undefined),
    maxRestarts: integer(env, "MAX_RESTARTS", 0) ?? 0,
  };
}

/** What is started, and who hears of it. */
export interface Launched {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Environment;
  /** Told in a line of a process that a signal ended, and of restarts. */
  readonly say: (line: string) => void;
  /** Registers what a signal that this process gets does; gives what takes it off again. */
  readonly onSignal: (listener: (signal: NodeJS.Signals) => void) => () => void;
}

/** After one process has ended badly, how long the others may take to end by themselves. */
const GRACE_MS = 20_000;

/** Runs the processes to their end, restarting them where the plan says so. Resolves to the exit code of the first that failed. */
export async function launch(plan: LaunchPlan, launched: Launched): Promise<number> {
  for (let attempt = 0; ; attempt++) {
    const { code, interrupted } = await attemptOnce(plan, launched, attempt);
    if (code === 0 || interrupted || attempt >= plan.maxRestarts) return code;
    launched.say(`starting all processes again (restart ${attempt + 1} of ${plan.maxRestarts})`);
  }
}

async function attemptOnce(
  plan: LaunchPlan,
  { command, args, env, say, onSignal }: Launched,
  attempt: number,
): Promise<{ code: number; interrupted: boolean }> {
  const port = plan.port ?? (await freePort());
  const children: ChildProcess[] = [];
  let interrupted: NodeJS.Signals | undefined;
  // Not in the terminal's group: Ctrl-C comes here alone, and one rank that hears of it stops all.
  const off = onSignal((signal) => {
    interrupted = signal;
    children[0]?.kill(signal);
  });
  let first = 0;
  let grace: NodeJS.Timeout | undefined;
  const ends = Array.from({ length: plan.perNode }, (_, local) => {
    const child = spawn(command, args, {
      stdio: "inherit",
      detached: true,
      env: { ...env, ...variablesOf(plan, local, port, attempt, env) },
    });
    children.push(child);
    return new Promise<void>((resolve) => {
      child.on("error", (error) => {
        say(`rank ${plan.node * plan.perNode + local} could not be started: ${error.message}`);
        first ||= 1;
        resolve();
      });
      child.on("close", (code, signal) => {
        if (signal !== null) say(`rank ${plan.node * plan.perNode + local} was ended by ${signal}`);
        const ended = code ?? 128 + (os.constants.signals[signal as NodeJS.Signals] ?? 0);
        first ||= ended;
        if (ended !== 0 && grace === undefined)
          grace = setTimeout(() => children.forEach((other) => void other.kill("SIGKILL")), GRACE_MS);
        resolve();
      });
    });
  });
  await Promise.all(ends);
  clearTimeout(grace);
  off();
  if (interrupted === undefined) return { code: first, interrupted: false };
  return { code: first && 128 + os.constants.signals[interrupted], interrupted: true };
}

function variablesOf(
  { perNode, nodes, node, address }: LaunchPlan,
  local: number,
  port: number,
  attempt: number,
  env: Environment,
): Record<string, string> {
  const available = os.availableParallelism();
  const threads = Math.max(1, Math.floor((threadsFor(cpuQuota(), available) ?? available) / perNode));
  return {
    RANK: String(node * perNode + local),
    LOCAL_RANK: String(local),
    WORLD_SIZE: String(nodes * perNode),
    LOCAL_WORLD_SIZE: String(perNode),
    GROUP_RANK: String(node),
    MASTER_ADDR: address,
    MASTER_PORT: String(port),
    TORCHELASTIC_RESTART_COUNT: String(attempt),
    QWEN_PT_LAUNCHER: "1",
    ...(saysThreads(env) ? {} : { OMP_NUM_THREADS: String(threads) }),
  };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
