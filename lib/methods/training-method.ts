// How a method for incremental pre-training meets the training loop: a few named points, each optional. The loop asks
// all methods in their order; it knows none of them, and a method knows neither the loop nor files but its own.
import type { Batch } from "../data/index.js";
import type { Tensor } from "../torch/index.js";

/** Numbers by the names under which they are logged. */
export type Figures = Readonly<Record<string, number>>;

/** What a micro-step's last hidden states come to. */
export interface Objective {
  /** What is differentiated: a 0-dimensional tensor. Its gradients count, multiplied by `scale`; its value is not read. */
  readonly total: Tensor;
  /** Its part that is the cross entropy, which is what is logged as the loss; multiplied by `scale` too. */
  readonly crossEntropy: Tensor;
}

/**
 * hidden [batch, seq, d], the last block's output, before the final norm; targets [batch * seq] int64, -100 where none
 * is wanted; `scale` is 1 / labels in the accumulation window, times the loss scale.
 */
export type ObjectiveOf = (hidden: Tensor, targets: Tensor, scale: number) => Objective;

/** What a method leaves behind after the last step. */
export interface MethodReport {
  /** Paths of the files that were written, and in a few words what each is. */
  readonly files: readonly { readonly path: string; readonly what: string }[];
  /** Lines for whoever watches. */
  readonly lines: readonly string[];
}

/** One method at work in one run. */
export interface TrainingMethod {
  /** Once, before the first step of this process; `resumed` is the checkpoint that the run goes on from. */
  begin?(resumed: string | undefined): Promise<void> | void;
  /** Before the first micro-step of a window. What an aborted window added up is dropped here. */
  startWindow?(): void;
  /**
   * Before a micro-step's forward pass, inside its scope: what takes the place of plain cross entropy. At most one
   * method of a run has it.
   * @param lossScale what `scale` was multiplied by
   */
  objective?(batch: Batch, lossScale: number): ObjectiveOf;
  /** Once a window, when `.grad` holds its gradients without a loss scale: adds to them. */
  addGradients?(): void;
  /** After every method has added, before clipping: clears what must not move. */
  maskGradients?(): void;
  /** The window's figures, for the log: each is averaged over the steps since the last log entry. */
  figures?(): Figures;
  /** After the optimizer's step, where one was applied. */
  afterStep?(): void;
  /** Writes into a checkpoint what `begin` needs to go on from it. */
  save?(dir: string): void;
  /** After the last step, with the weights that the run leaves; undefined where there is nothing to say. */
  finish?(): Promise<MethodReport | undefined>;
}
