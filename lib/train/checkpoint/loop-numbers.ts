// What loop_state.json holds, and what it must say to be believed: the numbers that a resumed run counts on from. The
// file is our own; the check is for one that was damaged, or belongs to another checkpoint.

import type { LossScaleState } from "../../assembly/precision.js";
import { UserError } from "../../errors.js";
import { readJsonFile } from "../../files/json-file.js";
import {
  count,
  list,
  nullable,
  number,
  object,
  oneOf,
  optional,
  type Shape,
  table,
} from "../../files/shape.js";
import type { PlateauState } from "../../optim/index.js";
import type { SourceAccountState } from "../batches/source-account.js";
import type { BestState } from "../plan/best.js";
import type { Moment } from "../plan/intervals.js";

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

// a loss that is not finite is null in JSON: the run went on with NaN, and so does this one
const figure = nullable(number);

const SHAPE: Shape<LoopState> = object({
  scheduleSteps: count,
  lossSinceLog: figure as Shape<number>,
  lossBeforeLog: figure as Shape<number>,
  figuresSinceLog: optional(table(figure as Shape<number>)),
  loggedStep: count,
  skippedSteps: count,
  tokensSeen: count,
  totalFlos: figure as Shape<number>,
  lossScale: object({ scale: number, goodSteps: count }),
  rates: nullable(object({ rates: list(number), best: figure, bad: count, good: count })),
  best: object({ metric: figure, step: nullable(count), waited: count }),
  pending: nullable(oneOf("step", "epoch")),
  data: object({
    blocks: figure as Shape<number>,
    tokens: figure as Shape<number>,
    blockLength: figure as Shape<number>,
  }),
  sources: optional(list(object({ nats: figure as Shape<number>, labels: count, tokens: count }))),
}) as Shape<LoopState>;

/**
 * @param step the step that trainer_state.json beside it stands at
 * @throws UserError naming the file and what in it cannot be
 */
export function readLoop(file: string, step: number): LoopState {
  const loop = readJsonFile(file, SHAPE, {
    missing: "is missing: a checkpoint written with save_only_model: true cannot be resumed",
    remedy: "resume from another checkpoint",
  });
  const { scheduleSteps, loggedStep, skippedSteps } = loop;
  if (scheduleSteps <= step && scheduleSteps + skippedSteps >= step && loggedStep <= step) return loop;
  throw new UserError(
    `${file}: scheduleSteps ${scheduleSteps}, skippedSteps ${skippedSteps} and loggedStep ${loggedStep} do not belong to ` +
      `global_step ${step} of trainer_state.json; the file is damaged: resume from another checkpoint`,
  );
}
