// What a stream of steps looks like to the trainer. Types alone; streaming/block-stream.ts makes one.

/** What one optimizer step trains on. */
export interface StreamWindow {
  /** Batches of blocks; the last batch of a pass may be short. */
  readonly batches: readonly (readonly Int32Array[])[];
  /** The pass over the corpus, from 0. */
  readonly pass: number;
  /** Steps of this pass before this one. */
  readonly before: number;
}

/** A corpus as a sequence of optimizer steps. */
export interface BlockStream {
  /**
   * The batches of step `step` (from 0). Steps between the last one asked for and this one are read through, so that a
   * resumed run reaches its place.
   *
   * @throws UserError for a defect in the corpus, or one too small for a step
   */
  window(step: number): Promise<StreamWindow>;
}

/** One of the processes that share a stream. */
export interface StreamShare {
  readonly rank: number;
  readonly size: number;
}
