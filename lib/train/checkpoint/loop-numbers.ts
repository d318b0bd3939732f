// What loop_state.json must say to be believed: the numbers that a resumed run counts on from. The file is our own; this
// is for one that was damaged, or belongs to another checkpoint.
import { UserError } from "../../errors.js";
import type { LoopState } from "./run-state.js";

const COUNTS = ["scheduleSteps", "loggedStep", "skippedSteps", "tokensSeen"] as const;
const NUMBERS = ["lossSinceLog", "lossBeforeLog", "totalFlos"] as const;

const isTable = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * @param step the step that trainer_state.json beside it stands at
 * @throws UserError naming the file and what in it cannot be
 */
export function checkLoop(loop: unknown, step: number, file: string): asserts loop is LoopState {
  const refuse = (why: string): UserError =>
    new UserError(`${file}: ${why}; the file is damaged: resume from another checkpoint`);
  if (!isTable(loop)) throw refuse("not an object");
  for (const key of COUNTS) {
    const value = loop[key];
    if (!Number.isSafeInteger(value) || (value as number) < 0) throw refuse(`${key} is not a count`);
  }
  // a loss that is not finite is null in JSON: the run went on with NaN, and so does this one
  for (const key of NUMBERS) {
    if (typeof loop[key] !== "number" && loop[key] !== null) throw refuse(`${key} is not a number`);
  }
  for (const key of ["lossScale", "data"] as const)
    if (!isTable(loop[key])) throw refuse(`${key} is missing`);
  const { scheduleSteps, loggedStep, skippedSteps } = loop as unknown as LoopState;
  const isStep = scheduleSteps <= step && scheduleSteps + skippedSteps >= step && loggedStep <= step;
  if (!isStep) {
    throw refuse(
      `scheduleSteps ${scheduleSteps}, skippedSteps ${skippedSteps} and loggedStep ${loggedStep} do not belong to global_step ${step} of trainer_state.json`,
    );
  }
}
