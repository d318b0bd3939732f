// What loop_state.json holds, and what it must say to be believed: the numbers that a resumed run counts on from. The
// file is our own; the check is for one that was damaged, or belongs to another checkpoint.

import type { LossScaleState } from "../../assembly/precision.js";
import { UserError } from "../../errors.js";
import { isObject } from "../../files/json.js";
import type { PlateauState } from "../../optim/index.js";
import type { SourceAccountState } from "../batches/source-account.js";
import type { BestState } from "../plan/best.js";
import type { Moment } from "../plan/intervals.js";

const COUNTS = ["scheduleSteps", "loggedStep", "skippedSteps", "tokensSeen"] as const;
const NUMBERS = ["lossSinceLog", "lossBeforeLog", "totalFlos"] as const;

/** The numbers of a run in progress, at the end of a step. */
export interface LoopState {
  /** Optimizer steps that count for the schedule: all but those that a loss scale took back. */
  scheduleSteps: number;
  /** Sum of step losses since the last log entry, and before it (float32 sums, as the logged ones). */
  lossSinceLog: number;
  lossBeforeLog: number;
  /** Sums of the methods' figures over the applied steps since the last log entry, where there are any. */
  figuresSinceLog?: Record<string, number>;
  /** Step of the last log entry. */
  loggedStep: number;
  /** Steps that were not applied. */
  skippedSteps: number;
  tokensSeen: number;
  totalFlos: number;
  lossScale: LossScaleState;
  /** Of a schedule that follows a metric. */
  rates: PlateauState | null;
  best: Readonly<BestState>;
  /** What an interruption left undone of the step's end. */
  pending: Moment | null;
  /** What the data looked like: a resumed run on other data is told so. */
  data: { blocks: number; tokens: number; blockLength: number };
  /** What was trained on, where blocks have sources. */
  sources?: SourceAccountState | undefined;
}

/**
 * @param step the step that trainer_state.json beside it stands at
 * @throws UserError naming the file and what in it cannot be
 */
export function checkLoop(loop: unknown, step: number, file: string): asserts loop is LoopState {
  const refuse = (why: string): UserError =>
    new UserError(`${file}: ${why}; the file is damaged: resume from another checkpoint`);
  if (!isObject(loop)) throw refuse("not an object");
  for (const key of COUNTS) {
    const value = loop[key];
    if (!Number.isSafeInteger(value) || (value as number) < 0) throw refuse(`${key} is not a count`);
  }
  // a loss that is not finite is null in JSON: the run went on with NaN, and so does this one
  for (const key of NUMBERS) {
    if (typeof loop[key] !== "number" && loop[key] !== null) throw refuse(`${key} is not a number`);
  }
  for (const key of ["lossScale", "data"] as const)
    if (!isObject(loop[key])) throw refuse(`${key} is missing`);
  const { scheduleSteps, loggedStep, skippedSteps } = loop as unknown as LoopState;
  const isStep = scheduleSteps <= step && scheduleSteps + skippedSteps >= step && loggedStep <= step;
  if (!isStep) {
    throw refuse(
      `scheduleSteps ${scheduleSteps}, skippedSteps ${skippedSteps} and loggedStep ${loggedStep} do not belong to global_step ${step} of trainer_state.json`,
    );
  }
}
