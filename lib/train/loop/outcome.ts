// How a training loop ended. A type alone.

/** How `Trainer.run` ended. */
export interface Outcome {
  /** Whether `isAborted` ended it before the last step. */
  interrupted: boolean;
  /** The last checkpoint that was written. */
  checkpoint: string | undefined;
}
