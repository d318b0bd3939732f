// How a method for incremental pre-training meets the training loop: a few named points, each optional. The loop asks
// all methods in their order; it knows none of them, and a method knows neither the loop nor files but its own.
import type { Batch } from "../data/index.js";
import type { ObjectiveOf } from "../step/objective.js";
import type { Tensor } from "../torch/index.js";

/** Numbers by the names under which they are logged. */
export type Figures = Readonly<Record<string, number>>;

/** What a method leaves behind after the last step. */
export interface MethodReport {
  /** Paths of the files that were written, and in a few words what each is. */
  readonly files: readonly { readonly path: string; readonly what: string }[];
  /** Lines for whoever watches. */
  readonly lines: readonly string[];
}

/** A model of which several processes keep a part each, as a method of one of them meets it. */
export interface Division {
  /** Number of this process, from 0. */
  readonly rank: number;
  /** Number of processes. */
  readonly size: number;
  /**
   * What this process keeps of a parameter: `part` has its elements from `from` on, in C order, and the sum of gradients;
   * undefined for nothing.
   */
  partOf(parameter: Tensor): { readonly part: Tensor; readonly from: number } | undefined;
  /** Adds a tensor up over the processes, in place. Every process asks, with the same shape. */
  sum(values: Tensor): void;
  /**
   * Calls `work` again and again, each time with some of the trained parameters in memory. The gradients that it leaves on
   * them are summed over the processes and added to the parts'. Every process asks, and leaves gradients on the same ones.
   */
  gathered(work: (isThere: (parameter: Tensor) => boolean) => void): void;
}

/** One method at work in one run. */
export interface TrainingMethod {
  /**
   * Where processes keep a part of the model each: once, before `begin`. From then on parameters are not in memory outside of
   * a pass, and gradients are the parts'. Left out: it does not look at either.
   */
  divide?(division: Division): void;
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
  /** Names of figures that are sums over the window's batches: over those of other processes too, where there are some. */
  readonly sharedFigures?: readonly string[];
  /** The window's figures, for the log: each is averaged over the steps since the last log entry. */
  figures?(): Figures;
  /** After the optimizer's step, where one was applied. */
  afterStep?(): void;
  /** Writes into a checkpoint what `begin` needs to go on from it. */
  save?(dir: string): void;
  /** After the last step, with the weights that the run leaves; undefined where there is nothing to say. */
  finish?(): Promise<MethodReport | undefined>;
}
