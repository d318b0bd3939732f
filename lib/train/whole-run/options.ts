// What a run may be told by its caller, and how it says that it was ended before its first step.
import type { TrainEvent } from "../../events.js";
import type { TrainerCallback } from "../loop/callbacks.js";

/** An abort before the first step: nothing was written. */
export class AbortError extends Error {
  /** The class's name. */
  override readonly name = "AbortError";
}

/** Options of {@link runRecipe}. */
export interface RunOptions {
  /** Follows the run. */
  onEvent?: (event: TrainEvent) => void;
  /** Asked between a model's blocks; true ends the run after saving the last finished step. */
  isAborted?: () => boolean;
  /** Ends data preparation early. */
  signal?: AbortSignal;
  /** In the training loop, on this thread. */
  callbacks?: readonly TrainerCallback[];
}
