// What a checkpoint holds beside the weights, so that a resumed run is the run that was never interrupted, bit for
// bit: optimizer, schedule, random state, and the sums behind the logged loss. Safetensors and JSON, no pickle.
import { existsSync } from "node:fs";
import path from "node:path";
import { UserError } from "../../errors.js";
import { writeWhole } from "../../files/output-file.js";
import type { Optimizer } from "../../optim/index.js";
import {
  type Device,
  hasDevice,
  loadSafetensors,
  saveSafetensors,
  scope,
  setRngState,
  type Tensor,
} from "../../torch/index.js";
import { type LoopState, readLoop } from "./loop-numbers.js";
import { type Extents, readOptimizer } from "./optimizer-files.js";

/** A checkpoint's file of random states by device: rank 0's, and those of the other ranks beside it. */
export const RANDOM_FILE = "rng_state.safetensors";
/** The file of a rank's random states. */
export const randomFile = (rank: number): string =>
  rank === 0 ? RANDOM_FILE : RANDOM_FILE.replace(".", `_${rank}.`);
/** A checkpoint's file of where the schedule stands. */
export const SCHEDULER_FILE = "scheduler.json";
/** A checkpoint's file of the loop's numbers: {@link LoopState}. */
export const LOOP_FILE = "loop_state.json";

/** Random state by device, as saveRunState writes it. */
export type RandomStates = ReadonlyMap<Device, Tensor>;

/** Writes the random states of a rank into a checkpoint folder. */
export function saveRandom(dir: string, rank: number, random: RandomStates): void {
  saveSafetensors(path.join(dir, randomFile(rank)), random, { format: "pt" });
}

/** Writes schedule, loop numbers and the random states that are given, by rank, into a checkpoint folder. */
export function saveRunState(
  dir: string,
  state: { random: ReadonlyMap<number, RandomStates>; loop: LoopState; learningRate: number },
): void {
  for (const [rank, random] of state.random) saveRandom(dir, rank, random);
  const scheduler = { last_epoch: state.loop.scheduleSteps, last_lr: [state.learningRate] };
  writeWhole(path.join(dir, SCHEDULER_FILE), `${JSON.stringify(scheduler, null, 2)}\n`);
  writeWhole(path.join(dir, LOOP_FILE), `${JSON.stringify(state.loop, null, 2)}\n`);
}

/**
 * Restores optimizer (of `extents`, its part) and random state and returns the loop's numbers. A rank that the run did
 * not have then goes on with rank 0's random state.
 * @param step where trainer_state.json says it stands
 * @param notice told of random state that is not restored, for want of its device
 * @throws UserError where a file is missing, damaged, or does not fit the run
 */
export function loadRunState(
  dir: string,
  optimizer: Optimizer,
  step: number,
  { rank, extents }: { readonly rank: number; readonly extents: Extents | undefined },
  notice: (text: string) => void = () => {},
): LoopState {
  const file = path.join(dir, LOOP_FILE);
  const loop = readLoop(file, step);
  scope(() => {
    try {
      optimizer.loadStateDict(readOptimizer(dir, extents, optimizer));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new UserError(
        `${dir}: ${error.message}; resume with the recipe that wrote it (optim, finetuning_type, lora_*, freeze_*)`,
      );
    }
    const own = path.join(dir, randomFile(rank));
    for (const [device, state] of loadSafetensors(existsSync(own) ? own : path.join(dir, RANDOM_FILE))) {
      if (hasDevice(device)) setRngState(state.clone(), device);
      else
        notice(
          `${dir} was written on ${device}, which this machine does not have: its random state is left out, and dropout draws other numbers than there`,
        );
    }
  });
  return loop;
}
